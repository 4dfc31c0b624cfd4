/**
 * The Internet checksum (RFC 1071).
 *
 * Sums are taken over 16-bit words in the machine's byte order (little-endian on x86-64 and arm64) and stored in the same
 * order: with the bytes of all words swapped, the bytes of the one's complement sum are swapped too, and nothing else.
 */

/** Memory to be summed, with a view of its 16-bit words; made once per buffer. */
export interface Words {
  bytes: Uint8Array;
  halves: Uint16Array;
}

/** Views over the memory of `bytes`, which must begin at an even address. */
export function wordsOf(bytes: Uint8Array): Words {
  return { bytes, halves: new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length >> 1) };
}

/** Folds the carries of a sum below 2^32 into 16 bits. */
export function fold(sum: number): number {
  sum = (sum & 0xffff) + (sum >>> 16);
  return (sum & 0xffff) + (sum >>> 16);
}

/** A 16-bit number in the other byte order: what a number adds to a sum. */
export function swap(half: number): number {
  return ((half & 0xff) << 8) | (half >>> 8);
}

/** The folded sum of the `length` bytes (at most 65,536) at `at`; both may be odd. A missing last byte counts as 0. */
export function sum(words: Words, at: number, length: number): number {
  const { bytes, halves } = words;
  if (length <= 0) return 0;
  // At an odd address: the first byte is the low half of its word, the rest is summed from an even address and swapped.
  if (at & 1) return fold(bytes[at]! + swap(sum(words, at + 1, length - 1)));
  const end = (at + length) >> 1;
  let i = at >> 1;
  let a = 0;
  let b = 0;
  // 32,768 words of at most 65,535 stay below 2^31. Two independent sums are twice as fast as one.
  for (const last = end - 8; i <= last; i += 8) {
    a = (a + halves[i]! + halves[i + 1]! + halves[i + 2]! + halves[i + 3]!) | 0;
    b = (b + halves[i + 4]! + halves[i + 5]! + halves[i + 6]! + halves[i + 7]!) | 0;
  }
  for (; i < end; i++) a = (a + halves[i]!) | 0;
  if (length & 1) a = (a + bytes[at + length - 1]!) | 0;
  return fold(a + b);
}

/** Writes the checksum at `at`: the complement of `total`, a folded sum. */
export function writeChecksum(bytes: Uint8Array, at: number, total: number): void {
  bytes[at] = ~total & 0xff;
  bytes[at + 1] = (~total >>> 8) & 0xff;
}

/**
 * Finishes the checksum of the TCP segment of `length` bytes (header and payload) at `at`, whose checksum field holds
 * the folded pseudo-header sum.
 */
export function finishTcpChecksum(words: Words, at: number, length: number): void {
  writeChecksum(words.bytes, at + 16, sum(words, at, length));
}
