/**
 * Keeps xcopy below a share of the CPU, by pauses of the workers: whatever needs no leave of the host's (a cgroup does)
 * always works. The CPU time of the whole process counts, so that several workers together keep the limit, and so does
 * what the kernel does on their behalf.
 */

/** us that may be saved up: after an idle time so much, times the share, is used at once. */
const SAVED = 100_000;

export class CpuLimit {
  private credit: number;

  /** `share`: CPUs that may be used, 0.5 for half of one. `now` and `used`, here and below: us, the CPU time so far. */
  constructor(
    private readonly share: number,
    private at: number,
    private used: number,
  ) {
    this.credit = share * SAVED;
  }

  /** us to do nothing for, 0 for none. */
  wait(now: number, used: number): number {
    this.credit += (now - this.at) * this.share - (used - this.used);
    this.credit = Math.min(this.credit, this.share * SAVED);
    this.at = now;
    this.used = used;
    return this.credit >= 0 ? 0 : -this.credit / this.share;
  }
}
