/**
 * Whether a captured packet is as its sender made it: the checks of the IPv4 header (net/ipv4/ip_input.c, ip_rcv_core) and of the
 * TCP or UDP checksum (RFC 9293 section 3.1, RFC 768, RFC 8200 section 8.1) by which production drops a packet before its TCP
 * or its service sees it.
 *
 * Sums are taken over 16-bit words in little-endian order: see src/wire/checksum.ts.
 */
import { fold } from "../wire/checksum.ts";
import { IPPROTO_TCP } from "../wire/ip.ts";
import type { Packet } from "../wire/packet.ts";
import { IPPROTO_UDP, UDP_HEADER } from "../wire/udp.ts";

/**
 * What is accepted besides right checksums, as bits.
 *
 * OFFLOADED: the checksum field has what a sender leaves to its NIC, the folded sum of the pseudo header, with or without the
 * length (Linux's CHECKSUM_PARTIAL): packets of this host, of its containers, and those that GRO has put together. Where the
 * capture does not tell them from packets of the wire, an attacker can pretend to be one.
 */
export const OFFLOADED = 1;
/** TCP packets that are longer than an Ethernet frame: put together by a NIC (LRO), they may have the checksum of the first part. */
export const MERGED = 2;
/** A checksum field of 0, in IPv4 and TCP headers: other systems capture so what their NIC is to finish. */
export const BLANK = 4;

/** Whether a checksum is right. UNKNOWN: it cannot be told. */
export const WRONG = 0;
export const RIGHT = 1;
export const UNKNOWN = 2;
export type Verdict = typeof WRONG | typeof RIGHT | typeof UNKNOWN;

const LARGEST_FRAME = 1500;

/** The verdict on an IPv4 header; an IPv6 header has no checksum and is RIGHT. `accepted`: see above. */
export function checkIpHeader({ view, ip }: Packet, accepted: number): Verdict {
  const first = view.getUint8(ip);
  if (first >> 4 !== 4) return RIGHT;
  if (accepted & BLANK && view.getUint16(ip + 10) === 0) return UNKNOWN;
  return fold(sumOf(view, ip, ip + (first & 0x0f) * 4)) === 0xffff ? RIGHT : WRONG;
}

/**
 * The verdict on the checksum of a whole TCP or UDP packet. UDP without a checksum is UNKNOWN over IPv4 and WRONG over IPv6. Costs
 * about 0.3 us for 1 KB, nothing where `packet.isVerified`.
 */
export function checkTransport(packet: Packet, accepted: number): Verdict {
  if (packet.isVerified) return RIGHT;
  const { view, tcp } = packet;
  const isUdp = packet.payload - tcp === UDP_HEADER;
  let length = packet.payload - tcp + packet.length;
  // A packet of more bytes than IP can say was put together by GRO.
  if (length > 0xffff) return UNKNOWN;
  if (isUdp) {
    const said = view.getUint16(tcp + 4);
    // Lengths that contradict each other are counted apart.
    if (said < UDP_HEADER || said > length) return UNKNOWN;
    length = said;
  }
  const checksum = view.getUint16(tcp + (isUdp ? 6 : 16), true);
  if (checksum === 0) {
    if (isUdp) return packet.family === 4 ? UNKNOWN : WRONG;
    if (accepted & BLANK) return UNKNOWN;
  }
  const pseudo = pseudoSum(packet, isUdp ? IPPROTO_UDP : IPPROTO_TCP);
  const whole = fold(pseudo + swap(length));
  if (accepted & OFFLOADED && (checksum === whole || checksum === fold(pseudo))) return RIGHT;
  // The capture has cut it.
  if (tcp + length > packet.end) return UNKNOWN;
  if (fold(whole + sumOf(view, tcp, tcp + length)) === 0xffff) return RIGHT;
  const isMerged = accepted & MERGED && !isUdp && tcp - packet.ip + length > LARGEST_FRAME;
  return isMerged ? UNKNOWN : WRONG;
}

/** The sum of the pseudo header without the length. */
function pseudoSum({ view, ip, family }: Packet, protocol: number): number {
  const isIp4 = family === 4;
  const addresses = isIp4 ? ip + 12 : ip + 8;
  return sumOf(view, addresses, addresses + (isIp4 ? 8 : 32)) + swap(protocol);
}

function swap(half: number): number {
  return ((half & 0xff) << 8) | (half >>> 8);
}

/** The sum, not folded, of the at most 65,535 bytes from `at` to `end`; a missing last byte counts as 0. */
function sumOf(view: DataView, at: number, end: number): number {
  let a = 0;
  let b = 0;
  for (const last = end - 16; at <= last; at += 16) {
    a = (a + view.getUint16(at, true) + view.getUint16(at + 2, true)) | 0;
    b = (b + view.getUint16(at + 4, true) + view.getUint16(at + 6, true)) | 0;
    a = (a + view.getUint16(at + 8, true) + view.getUint16(at + 10, true)) | 0;
    b = (b + view.getUint16(at + 12, true) + view.getUint16(at + 14, true)) | 0;
  }
  for (; at + 2 <= end; at += 2) a = (a + view.getUint16(at, true)) | 0;
  return at < end ? a + b + view.getUint8(at) : a + b;
}
