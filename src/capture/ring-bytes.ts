/** How large the rings are that records pass through. */

/** Bytes of one of `rings` rings, a power of two: together at most `total`, unless that were below `least` each. */
export function ringBytes({ total, least }: { total: number; least: number }, rings: number): number {
  return Math.max(least, 2 ** Math.floor(Math.log2(total / rings)));
}
