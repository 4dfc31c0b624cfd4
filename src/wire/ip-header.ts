/** Reading the IP header of a captured packet: where the transport layer begins and how long the packet is. */

const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const AUTHENTICATION = 51;
const DESTINATION_OPTIONS = 60;
/** Some more than bpf/packet/parse.h walks; each has at least 8 bytes. */
const MAX_EXTENSION_HEADERS = 8;
const OPTION_JUMBO = 0xc2;

/** The largest packet that Linux makes (GSO_MAX_SIZE, 8 * 65535) and its headers; a longer one is malformed. */
export const MAX_IP_LENGTH = 524_280 + 512;

export const IP_OK = 0;
/** Not an IP packet, or one whose lengths contradict each other. */
export const IP_MALFORMED = 1;
/** The capture ends within the headers. */
export const IP_CUT = 2;

/** What `parseIp` finds; reused. Offsets are into the view that was parsed. */
export class IpHeader {
  family: 4 | 6 = 4;
  /** Of what is behind the IP header and the extension headers, in a fragment: of the whole datagram. */
  protocol = 0;
  ip = 0;
  /** Offset behind the IP header and the extension headers; in a fragment: where its piece of the datagram begins. */
  transport = 0;
  /** Bytes of the IP packet on the wire, header included. */
  length = 0;
  /** Offset behind the last captured byte, without what pads the frame. */
  end = 0;
  isFragment = false;
  /** Where the piece belongs in the datagram, bytes. */
  fragmentOffset = 0;
  moreFragments = false;
  /** Identification; 16 bits in IPv4, 32 bits in IPv6. */
  id = 0;
  /** Offset of the IPv6 fragment header and of the byte that announces it; 0 without one. */
  fragmentHeader = 0;
  fragmentNext = 0;
}

/**
 * Reads the IP header at `ip` into `into`. The bytes were captured up to `end`; on the wire the frame went on to
 * `wireEnd`, which counts where the header has no length: in what a sender's TSO or BIG TCP hands to its interface
 * the IPv4 total length (or the IPv6 payload length) is 0 (include/net/ip.h, iph_totlen). Returns IP_OK, IP_MALFORMED or
 * IP_CUT; `into` counts only for the first.
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
      // One that is the whole datagram is read as if it had no fragment header (RFC 6946).
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
    // What is behind the fragment header belongs to the datagram, and is only there in the first.
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

/** Bytes of the IPv6 packet that a jumbo payload option (RFC 2675) in the options header at `at` tells; 0 without one. */
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
