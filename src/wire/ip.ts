/** Writing the IP headers of the packets that we send (RFC 791, RFC 8200). */

export const IPPROTO_TCP = 6;

/** Bytes of the IP header that we write for a family. */
export function ipHeaderLength(family: 4 | 6): number {
  return family === 4 ? 20 : 40;
}

/** Source and destination address of packets, with what their headers have in common. */
export interface IpPair {
  family: 4 | 6;
  /** Both addresses as 32-bit words in host byte order: 1 word for IPv4, 4 for IPv6. */
  source: Uint32Array;
  destination: Uint32Array;
  /** Unfolded sum of the pseudo header without the length (RFC 9293 section 3.1). */
  pseudoSum: number;
}

function words(address: Uint8Array): Uint32Array {
  const view = new DataView(address.buffer, address.byteOffset, address.byteLength);
  return Uint32Array.from({ length: address.length / 4 }, (_, i) => view.getUint32(i * 4));
}

function halfwordSum(address: Uint32Array): number {
  let sum = 0;
  for (const word of address) sum += (word >>> 16) + (word & 0xffff);
  return sum;
}

/** `source` and `destination`: 4 or 16 bytes in network order, both of one family. */
export function ipPair(source: Uint8Array, destination: Uint8Array): IpPair {
  const from = words(source);
  const to = words(destination);
  return {
    family: source.length === 4 ? 4 : 6,
    source: from,
    destination: to,
    pseudoSum: halfwordSum(from) + halfwordSum(to) + IPPROTO_TCP,
  };
}

/**
 * Sets the source address of a pair: four 32-bit words in `words` at `at`, IPv4 as IPv4-mapped IPv6. It must be of the
 * pair's family.
 */
export function setSource(pair: IpPair, words: Int32Array, at: number): void {
  const { source } = pair;
  let sum = pair.pseudoSum;
  for (let i = 0, from = at + 4 - source.length; i < source.length; i++, from++) {
    const before = source[i]!;
    const word = words[from]! >>> 0;
    sum += (word >>> 16) + (word & 0xffff) - (before >>> 16) - (before & 0xffff);
    source[i] = word;
  }
  pair.pseudoSum = sum;
}

function fold(sum: number): number {
  sum = (sum & 0xffff) + (sum >>> 16);
  return (sum & 0xffff) + (sum >>> 16);
}

/** The value of the TCP checksum field before it is finished (CHECKSUM_PARTIAL): the folded pseudo-header sum. */
export function pseudoChecksum(pair: IpPair, tcpLength: number): number {
  return fold(pair.pseudoSum + tcpLength);
}

const VERSION_LENGTH = 0x45;
const DONT_FRAGMENT = 0x4000;
const TTL = 64;

/**
 * Writes a complete IP header for TCP at `at`: with don't-fragment flag, TTL 64 and checksum. `id`: the 16-bit identification
 * of IPv4. `payloadLength`: all bytes after the IP header.
 */
export function writeIpHeader(
  view: DataView,
  at: number,
  pair: IpPair,
  payloadLength: number,
  id: number,
): void {
  const { source, destination } = pair;
  if (pair.family === 4) {
    const length = 20 + payloadLength;
    const from = source[0]!;
    const to = destination[0]!;
    const sum =
      (VERSION_LENGTH << 8) +
      length +
      id +
      DONT_FRAGMENT +
      ((TTL << 8) | IPPROTO_TCP) +
      (from >>> 16) +
      (from & 0xffff) +
      (to >>> 16) +
      (to & 0xffff);
    view.setUint32(at, (VERSION_LENGTH << 24) | length);
    view.setUint32(at + 4, (id << 16) | DONT_FRAGMENT);
    view.setUint32(at + 8, (TTL << 24) | (IPPROTO_TCP << 16) | (~fold(sum) & 0xffff));
    view.setUint32(at + 12, from);
    view.setUint32(at + 16, to);
    return;
  }
  view.setUint32(at, 6 << 28);
  view.setUint32(at + 4, (payloadLength << 16) | (IPPROTO_TCP << 8) | TTL);
  for (let i = 0; i < 4; i++) {
    view.setUint32(at + 8 + i * 4, source[i]!);
    view.setUint32(at + 24 + i * 4, destination[i]!);
  }
}
