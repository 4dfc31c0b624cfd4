/** Recognizing QUIC by the long header of its handshake (RFC 8999 section 5.1, RFC 9000 section 17.2). */

const LONG_HEADER = 0x80;
const FIXED_BIT = 0x40;
const LONGEST_CONNECTION_ID = 20;

/** Whether the `length` bytes at `at` begin like a QUIC packet with a long header and a version. */
export function isQuic(bytes: Uint8Array, at: number, length: number): boolean {
  if (length < 7) return false;
  const form = LONG_HEADER | FIXED_BIT;
  if ((bytes[at]! & form) !== form) return false;
  const hasVersion = (bytes[at + 1]! | bytes[at + 2]! | bytes[at + 3]! | bytes[at + 4]!) !== 0;
  return hasVersion && bytes[at + 5]! <= LONGEST_CONNECTION_ID && length > 6 + bytes[at + 5]!;
}
