/** Waiting for others with the event loop, which may itself be kept waiting. */

/** Parts of a wait: so often at least is looked at what has come before it counts as nothing. */
const PARTS = 20;

/**
 * Calls `end` after `ms`, and later where this process had no time to look at what came meanwhile: an answer that waits in a
 * socket is taken first. Returns what calls it off.
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
