/** Writing PROXY protocol headers, versions 1 and 2 (haproxy's doc/proxy-protocol.txt): the client's address and port. */

/** Bytes of the longest header: a line of version 1. */
export const MAX_PROXY_HEADER = 107;

const SIGNATURE = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
/** Version 2, command PROXY. */
const VERSION_COMMAND = 0x21;
const TCP_OVER_IPV4 = 0x11;
const TCP_OVER_IPV6 = 0x21;

function ipv4Text(word: number): string {
  return [24, 16, 8, 0].map((shift) => (word >>> shift) & 255).join(".");
}

function ipv6Text(words: ArrayLike<number>, at: number): string {
  return Array.from({ length: 8 }, (_, i) =>
    ((words[at + (i >> 1)]! >>> (i & 1 ? 0 : 16)) & 0xffff).toString(16),
  ).join(":");
}

/**
 * Writes the header for a connection from `words[source...]` to `words[destination...]` (four 32-bit words each, IPv4 as
 * IPv4-mapped IPv6) at the start of `into` and returns its bytes.
 */
export function writeProxyHeader(
  into: Uint8Array,
  version: 1 | 2,
  words: Int32Array,
  source: number,
  destination: number,
  sourcePort: number,
  destinationPort: number,
): number {
  const isIpv4 = words[source] === 0 && words[source + 1] === 0 && words[source + 2] === 0xffff;
  if (version === 1) {
    const text = isIpv4
      ? `PROXY TCP4 ${ipv4Text(words[source + 3]!)} ${ipv4Text(words[destination + 3]!)}`
      : `PROXY TCP6 ${ipv6Text(words, source)} ${ipv6Text(words, destination)}`;
    return new TextEncoder().encodeInto(`${text} ${sourcePort} ${destinationPort}\r\n`, into).written;
  }
  const view = new DataView(into.buffer, into.byteOffset);
  into.set(SIGNATURE);
  into[12] = VERSION_COMMAND;
  into[13] = isIpv4 ? TCP_OVER_IPV4 : TCP_OVER_IPV6;
  const count = isIpv4 ? 1 : 4;
  view.setUint16(14, count * 8 + 4);
  let at = 16;
  for (const address of [source, destination]) {
    for (let i = 4 - count; i < 4; i++, at += 4) view.setUint32(at, words[address + i]!);
  }
  view.setUint16(at, sourcePort);
  view.setUint16(at + 2, destinationPort);
  return at + 4;
}
