/** Makes an input that shows a fault as small and as plain as it can. */

/** Most tries, which bounds the time. */
const MOST_TRIES = 3000;

/** `shows`: whether an input shows the same fault. */
export function minimize(input: Uint8Array, shows: (input: Uint8Array) => boolean): Uint8Array {
  let tries = 0;
  let best: Uint8Array = input;
  const takes = (candidate: Uint8Array) => {
    if (tries++ >= MOST_TRIES || !shows(Uint8Array.from(candidate))) return false;
    best = candidate;
    return true;
  };
  for (let size = best.length >> 1; size > 0; size >>= 1) {
    for (let at = 0; at < best.length; ) {
      const without = new Uint8Array(best.length - Math.min(size, best.length - at));
      without.set(best.subarray(0, at));
      without.set(best.subarray(Math.min(best.length, at + size)), at);
      if (!takes(without)) at += size;
    }
  }
  for (let at = 0; at < best.length; at++) {
    if (best[at] === 0) continue;
    const plain = Uint8Array.from(best);
    plain[at] = 0;
    takes(plain);
  }
  return best;
}
