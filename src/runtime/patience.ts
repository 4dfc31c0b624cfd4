/** A timeout for the answers of others that takes into account that our own event loop may be delayed. */

/** A wait consists of so many timers: in between, the event loop handles what has arrived. */
const PARTS = 20;

/**
 * Calls `end` after `ms`, or later if the event loop was delayed: answers that have arrived by then are handled first. Returns
 * the function that cancels it.
 */
export function afterPatience(ms: number, end: () => void): () => void {
  let left = PARTS;
  const wait = (): ReturnType<typeof setTimeout> => setTimeout(pass, ms / PARTS);
  const pass = (): void => {
    if (--left === 0) end();
    else timer = wait();
  };
  let timer = wait();
  return () => clearTimeout(timer);
}
