/** Converts times of CLOCK_MONOTONIC, which the kernel gives captured packets, to the time of day. */

/** Both in us. */
export interface Clocks {
  monotonic(): number;
  realtime(): number;
}

/** Readings per measurement: the one that took least time counts. */
const READINGS = 3;
/** us: a smaller difference is the time that reading the clocks takes. */
const NOISE = 20;

export class WallClock {
  /** us to add to a time of CLOCK_MONOTONIC to get us since 1970. */
  offset: number;

  constructor(private readonly clocks: Clocks) {
    this.offset = this.#measure();
  }

  /** us since 1970, whole. */
  timeOf(monotonic: number): number {
    return Math.round(monotonic + this.offset);
  }

  /** Looks at both clocks again; returns by how many us the time of day was set meanwhile, 0 where it was not. */
  adjust(): number {
    const offset = this.#measure();
    const step = offset - this.offset;
    if (Math.abs(step) < NOISE) return 0;
    this.offset = offset;
    return step;
  }

  #measure(): number {
    let least = Number.POSITIVE_INFINITY;
    let offset = 0;
    for (let reading = 0; reading < READINGS; reading++) {
      const before = this.clocks.monotonic();
      const time = this.clocks.realtime();
      const after = this.clocks.monotonic();
      if (after - before >= least) continue;
      least = after - before;
      offset = time - (before + after) / 2;
    }
    return offset;
  }
}
