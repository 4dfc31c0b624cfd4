/**
 * Whether records come so rarely that being woken by the kernel is cheaper than polling the rings. Counted over windows of 100 ms:
 * of the polls that fit into one, how many found something.
 *
 * Measured on a veth with requests at a steady rate, CPU time of the worker per request: at 50/s 800 us with two empty polls after
 * each answer and 520 us without; at 200/s 188 us and 219 us, at 1,000/s 95 us and 121 us.
 */

/** us. */
const WINDOW = 100_000;
/** Shares of a window's polls: sparse below the first, not any more above the second. */
const FEW = 0.3;
const MANY = 0.5;

export class Sparse {
  /** Whether records are rare; at first not. */
  is = false;
  private began = -1;
  private found = 0;
  private readonly few: number;
  private readonly many: number;

  /** `interval`: us between two polls. */
  constructor(interval: number) {
    this.few = (WINDOW / interval) * FEW;
    this.many = (WINDOW / interval) * MANY;
  }

  /** Counts a round at `now` (us) that found so many records. */
  count(records: number, now: number): void {
    if (this.began < 0) this.began = now;
    const span = now - this.began;
    if (span >= WINDOW) {
      // A wait in the kernel may make a window longer.
      const perWindow = (this.found * WINDOW) / span;
      if (perWindow < this.few) this.is = true;
      else if (perWindow > this.many) this.is = false;
      this.found = 0;
      this.began = now;
    }
    if (records > 0) this.found++;
    // A burst need not wait for the end of the window.
    if (this.found > this.many) this.is = false;
  }
}
