/** When a connection that was lost, or never made, is tried again. */

/** us: the first wait, and the longest. */
const FIRST = 100_000;
const LONGEST = 5_000_000;

/** Waits between tries: 100 ms, twice as long each time up to 5 s; half of each wait is random. */
export class Backoff {
  #span = FIRST;

  /** us until the next try. `chance`: a new random number from 0 to 1. */
  next(chance: number): number {
    const span = this.#span;
    this.#span = Math.min(span * 2, LONGEST);
    return span / 2 + (span / 2) * chance;
  }

  /** To be called when a connection has worked: the next wait is the shortest again. */
  reset(): void {
    this.#span = FIRST;
  }
}
