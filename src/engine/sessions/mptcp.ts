/** The option of Multipath TCP (RFC 8684 section 3; `multipath` of TcpOptions is its offset). */
import type { Packet } from "../../wire/packet.ts";

/** Subtypes. */
export const MP_CAPABLE = 0;
export const MP_JOIN = 1;
export const DSS = 2;

/** Bytes of MP_CAPABLE with both keys and the length of the data (version 1): a mapping of the connection's first bytes. */
const CAPABLE_WITH_DATA = 22;

// Flags of DSS (section 3.3).
const HAS_ACK = 1 << 0;
const ACK_IS_LONG = 1 << 1;
const HAS_MAPPING = 1 << 2;
const DSN_IS_LONG = 1 << 3;

/** The subtype of the option at `at`. */
export function multipathSubtype({ bytes }: Packet, at: number): number {
  return bytes[at + 2]! >> 4;
}

/**
 * What a segment's mapping adds to sequence numbers of its subflow (from 1 on) to make them those of the connection: modulo 2^32, as
 * a signed number. It stays the same as long as all data takes this subflow. NaN if the option at `at` has no mapping of data.
 * `sha256`: gives the 32 bytes of the hash; absent: the mapping of the connection's first bytes is not read.
 */
export function mappingShift(packet: Packet, at: number, sha256?: (bytes: Uint8Array) => Uint8Array): number {
  const { bytes, view } = packet;
  const length = bytes[at + 1]!;
  const subtype = multipathSubtype(packet, at);
  if (subtype === MP_CAPABLE) {
    if (!sha256 || length < CAPABLE_WITH_DATA || (bytes[at + 2]! & 15) !== 1) return NaN;
    // The first data sequence number follows the low 64 bits of the SHA-256 of the sender's key.
    const hash = sha256(bytes.subarray(at + 4, at + 12));
    return new DataView(hash.buffer, hash.byteOffset).getInt32(28);
  }
  const flags = bytes[at + 3]!;
  if (subtype !== DSS || !(flags & HAS_MAPPING)) return NaN;
  const isLong = (flags & DSN_IS_LONG) !== 0;
  let acknowledgement = 0;
  if (flags & HAS_ACK) acknowledgement = flags & ACK_IS_LONG ? 8 : 4;
  const low = at + 4 + acknowledgement + (isLong ? 4 : 0);
  if (low + 10 > at + length) return NaN;
  const ofSubflow = view.getUint32(low + 4);
  // That of a DATA_FIN without data.
  if (ofSubflow === 0) return NaN;
  return (view.getUint32(low) - ofSubflow) | 0;
}
