/** Copying bytes quickly, without allocation. */

const copy = Buffer.prototype.copy;

/**
 * Copies `length` bytes between arrays that do not overlap. Buffer's native copy costs 15 ns and allocates nothing;
 * `set` needs a `subarray` object, a loop is slower from 16 bytes on.
 */
export function copyBytes(
  from: Uint8Array,
  offset: number,
  length: number,
  to: Uint8Array,
  at: number,
): void {
  copy.call(from, to, at, offset, offset + length);
}
