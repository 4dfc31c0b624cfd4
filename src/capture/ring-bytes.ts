/** The size of the rings that records pass through. */

/** Bytes of each of `rings` rings, a power of two: together at most `total`, but each at least `least`. */
export function ringBytes({ total, least }: { total: number; least: number }, rings: number): number {
  return Math.max(least, 2 ** Math.floor(Math.log2(total / rings)));
}
