/** How many requests are answered: a number a second, and a number at a time. */

/** Requests a second, on average and at once. */
const RATE = 50;
const BURST = 100;

/** Whether one more request may be answered now; `now` is a clock in ms that never goes back. */
export function createLimit(now: () => number): () => boolean {
  let tokens = BURST;
  let last = now();
  return () => {
    const at = now();
    tokens = Math.min(BURST, tokens + ((at - last) * RATE) / 1000);
    last = at;
    if (tokens < 1) return false;
    tokens--;
    return true;
  };
}
