/** Takes pairs out of the workers' rings, a bit at a time, so that signals, the status line and the live page are never kept waiting. */
import type { Pair } from "../../pairs/pair.ts";
import type { PairReader } from "../../pairs/ring.ts";

/** ms of work at a time. What is behind waits in the rings; what they have no room for is counted there. */
const BUDGET = 20;
/** Pairs between two looks at the clock. */
const BATCH = 8;
/** ms to the next look: with more in the rings, after some pairs, after none. */
const PAUSES = { more: 2, some: 20, none: 100 };

export class Collector {
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly readers: readonly PairReader[],
    private readonly take: (pair: Pair) => void,
  ) {}

  /** Pairs that no ring had room for. */
  get lost(): number {
    return this.readers.reduce((sum, { lost }) => sum + lost, 0);
  }

  start(): void {
    const look = () => {
      const taken = this.drain(performance.now() + BUDGET);
      const pause = taken.isMore ? PAUSES.more : taken.count > 0 ? PAUSES.some : PAUSES.none;
      this.timer = setTimeout(look, pause);
    };
    this.timer = setTimeout(look, PAUSES.some);
  }

  /** Takes what is left, however long it takes: the workers have ended. */
  finish(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    while (this.drain(Number.POSITIVE_INFINITY).isMore);
  }

  private drain(until: number): { count: number; isMore: boolean } {
    let count = 0;
    for (;;) {
      let round = 0;
      for (const reader of this.readers) round += reader.drain(this.take, BATCH);
      count += round;
      if (round === 0) return { count, isMore: false };
      if (performance.now() > until) return { count, isMore: true };
    }
  }
}
