/** Reading the IP header of a captured packet: where the transport layer begins and how long the packet is. */
import { fold } from "./checksum.ts";

const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const AUTHENTICATION = 51;
const DESTINATION_OPTIONS = 60;
/** More than bpf/packet/parse.h reads; each has at least 8 bytes. */
const MAX_EXTENSION_HEADERS = 8;
const OPTION_JUMBO = 0xc2;

/** The largest packet that Linux makes (GSO_MAX_SIZE, 8 * 65535) with its headers, bytes; a longer one is malformed. */
export const MAX_IP_LENGTH = 524_280 + 512;

export const IP_OK = 0;
/** Not an IP packet, or one whose lengths contradict each other. */
export const IP_MALFORMED = 1;
/** The capture ends within the headers. */
export const IP_CUT = 2;

/** The result of `parseIp`; reused. Offsets are into the view that was parsed. */
export class IpHeader {
  family: 4 | 6 = 4;
  /** The protocol number after the IP header and the extension headers; in a fragment, that of the whole datagram. */
  protocol = 0;
  ip = 0;
  /** Offset after the IP header and the extension headers; in a fragment, that of the fragment's data. */
  transport = 0;
  /** Bytes of the IP packet on the wire, header included. */
  length = 0;
  /** Offset after the last captured byte of the IP packet, without the padding of the frame. */
  end = 0;
  isFragment = false;
  /** Offset of the fragment's data in the datagram, bytes. */
  fragmentOffset = 0;
  moreFragments = false;
  /** Identification; 16 bits in IPv4, 32 bits in IPv6. */
  id = 0;
  /** Offset of the IPv6 fragment header, and of the Next Header field that names it; 0 if there is none. */
  fragmentHeader = 0;
  fragmentNext = 0;
}

/**
 * Reads the IP header at `ip` into `into`. The bytes were captured up to `end`; on the wire the frame ended at `wireEnd`,
 * which is used if the header has no length: with TSO or BIG TCP the IPv4 total length (or the IPv6 payload length) of what a
 * host gives to its interface may be 0 (include/net/ip.h, iph_totlen). Returns IP_OK, IP_MALFORMED or IP_CUT; `into` is valid
 * for IP_OK only.
 */
export function parseIp(view: DataView, ip: number, end: number, wireEnd: number, into: IpHeader): number {
  if (ip >= end) return IP_CUT;
  into.ip = ip;
  into.isFragment = false;
  into.fragmentHeader = 0;
  const version = view.getUint8(ip) >> 4;
  if (version === 4) return parseIp4(view, ip, end, wireEnd, into);
  if (version === 6) return parseIp6(view, ip, end, wireEnd, into);
  return IP_MALFORMED;
}

function parseIp4(view: DataView, ip: number, end: number, wireEnd: number, into: IpHeader): number {
  if (ip + 20 > end) return IP_CUT;
  const header = (view.getUint8(ip) & 0x0f) * 4;
  const length = view.getUint16(ip + 2) || wireEnd - ip;
  if (header < 20 || length < header || length > MAX_IP_LENGTH) return IP_MALFORMED;
  if (ip + header > end) return IP_CUT;
  const fragment = view.getUint16(ip + 6);
  into.family = 4;
  into.protocol = view.getUint8(ip + 9);
  into.transport = ip + header;
  into.length = length;
  into.end = Math.min(end, ip + length);
  into.moreFragments = (fragment & 0x2000) !== 0;
  into.fragmentOffset = (fragment & 0x1fff) * 8;
  into.isFragment = (fragment & 0x3fff) !== 0;
  into.id = view.getUint16(ip + 4);
  return IP_OK;
}

function parseIp6(view: DataView, ip: number, end: number, wireEnd: number, into: IpHeader): number {
  if (ip + 40 > end) return IP_CUT;
  const payload = view.getUint16(ip + 4);
  let next = view.getUint8(ip + 6);
  let length = payload > 0 ? payload + 40 : wireEnd - ip;
  let nextAt = ip + 6;
  let at = ip + 40;
  for (let count = 0; count < MAX_EXTENSION_HEADERS; count++) {
    if (next === FRAGMENT) {
      if (at + 8 > end) return IP_CUT;
      const fragment = view.getUint16(at + 2);
      into.moreFragments = (fragment & 1) !== 0;
      into.fragmentOffset = fragment & 0xfff8;
      into.id = view.getUint32(at + 4);
      // An atomic fragment, which is the whole datagram, is read as if it had no fragment header (RFC 6946).
      into.isFragment = (fragment & 0xfff9) !== 0;
      into.fragmentHeader = at;
      into.fragmentNext = nextAt;
    } else if (
      next !== HOP_BY_HOP &&
      next !== ROUTING &&
      next !== AUTHENTICATION &&
      next !== DESTINATION_OPTIONS
    ) {
      break;
    }
    if (at + 8 > end) return IP_CUT;
    nextAt = at;
    const units = view.getUint8(at + 1);
    if (payload === 0 && next === HOP_BY_HOP) length = jumboLength(view, at, (units + 1) * 8, end) || length;
    const size = next === FRAGMENT ? 8 : next === AUTHENTICATION ? (units + 2) * 4 : (units + 1) * 8;
    next = view.getUint8(at);
    at += size;
    // The headers after the fragment header are part of the datagram: only its first fragment has them.
    if (into.isFragment) break;
  }
  if (length < at - ip || length > MAX_IP_LENGTH) return IP_MALFORMED;
  if (at > end) return IP_CUT;
  into.family = 6;
  into.protocol = next;
  into.transport = at;
  into.length = length;
  into.end = Math.min(end, ip + length);
  return IP_OK;
}

/** Bytes of the IPv6 packet by the jumbo payload option (RFC 2675) in the hop-by-hop header at `at`; 0 without the option. */
function jumboLength(view: DataView, at: number, size: number, end: number): number {
  const last = Math.min(end, at + size);
  let option = at + 2;
  while (option + 6 <= last) {
    const kind = view.getUint8(option);
    if (kind === 0) {
      option++;
      continue;
    }
    if (kind === OPTION_JUMBO && view.getUint8(option + 1) === 4) return view.getUint32(option + 2) + 40;
    option += 2 + view.getUint8(option + 1);
  }
  return 0;
}

/** Next headers that an IPv6 packet in a pseudowire or a guessed tunnel may have: extensions, transports, tunnels, ICMP. */
const IPV6_NEXT = [0, 4, 6, 17, 41, 43, 44, 47, 51, 58, 60];

/**
 * Whether the captured bytes at `at` look like an IP header: in IPv4 its checksum is right, in IPv6
 * its next header is one that is in use.
 */
export function isLikelyIp(view: DataView, at: number, end: number): boolean {
  if (at + 20 > end) return false;
  const first = view.getUint8(at);
  if (first >> 4 === 6) {
    return at + 40 <= end && view.getUint8(at + 7) > 0 && IPV6_NEXT.includes(view.getUint8(at + 6));
  }
  const header = (first & 0x0f) * 4;
  if (first >> 4 !== 4 || header < 20 || at + header > end) return false;
  return headerSum(view, at, header) === 0xffff;
}

/** Bytes of the likely IP packet at `at` by its header; 0 if it does not say. */
export function likelyLength(view: DataView, at: number): number {
  if (view.getUint8(at) >> 4 === 4) return view.getUint16(at + 2);
  const payload = view.getUint16(at + 4);
  return payload === 0 ? 0 : payload + 40;
}

function headerSum(view: DataView, at: number, bytes: number): number {
  let sum = 0;
  for (let i = 0; i < bytes; i += 2) sum += view.getUint16(at + i);
  return fold(sum);
}
