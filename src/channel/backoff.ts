/** When a connection that was lost, or never made, is tried again. */

const FIRST = 100_000;
const LONGEST = 5_000_000;

/** When to try a connection again: after 100 ms, twice as long each time up to 5 s, half of it by chance. */
export class Backoff {
  #span = FIRST;

  /** us until the next try. `chance`: over 0 to 1, new for each. */
  next(chance: number): number {
    const span = this.#span;
    this.#span = Math.min(span * 2, LONGEST);
    return span / 2 + (span / 2) * chance;
  }

  /** After a connection that worked. */
  reset(): void {
    this.#span = FIRST;
  }
}
