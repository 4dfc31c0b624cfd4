/** GRE (RFC 2784, RFC 2890), and what comes in it: ERSPAN (draft-foschiano-erspan-03), PPTP (RFC 2637), EoIP, WCCP. */
import { byEtherType, ethernet, ip, ppp } from "./ether-type.ts";

const CHECKSUM = 0x8000;
const ROUTING = 0x4000;
const KEY = 0x2000;
const SEQUENCE = 0x1000;
const ACKNOWLEDGEMENT = 0x0080;
const VERSION = 0x0007;

const ERSPAN = 0x88be;
const ERSPAN_III = 0x22eb;
const WCCP = 0x883e;
const PPTP = 0x880b;
/** MikroTik's Ethernet over IP, which has the version of PPTP. */
const EOIP = 0x6400;

/** The offset of the IP header in the GRE packet at `at`; -1 if there is none. */
export function gre(view: DataView, at: number, end: number): number {
  if (at + 4 > end) return -1;
  const flags = view.getUint16(at);
  const type = view.getUint16(at + 2);
  at += 4;
  // Source routes (RFC 1701) are obsolete.
  if (flags & ROUTING) return -1;
  if (flags & CHECKSUM) at += 4;
  if (flags & KEY) at += 4;
  if (flags & SEQUENCE) at += 4;
  if ((flags & VERSION) === 1) {
    if (flags & ACKNOWLEDGEMENT) at += 4;
    if (type === EOIP) return ethernet(view, at, end);
    return type === PPTP ? ppp(view, at, end) : -1;
  }
  if (flags & VERSION) return -1;
  // ERSPAN type I has no header of its own: it is recognized by the missing sequence number.
  if (type === ERSPAN && !(flags & SEQUENCE)) return ethernet(view, at, end);
  if (type === ERSPAN || type === ERSPAN_III) return erspan(view, at, end);
  if (type === WCCP) return wccp(view, at, end);
  return byEtherType(view, type, at, end);
}

/** The version is in the first bits of the header: 1 is type II, 2 is type III, which says what kind of frame it has. */
function erspan(view: DataView, at: number, end: number): number {
  if (at + 12 > end) return -1;
  const version = view.getUint8(at) >> 4;
  if (version === 1) return ethernet(view, at + 8, end);
  if (version !== 2) return -1;
  const hasSubheader = view.getUint8(at + 11) & 1;
  const frame = at + (hasSubheader ? 20 : 12);
  const kind = (view.getUint8(at + 10) >> 2) & 0x1f;
  return kind === 2 ? ip(view, frame, end) : ethernet(view, frame, end);
}

/** WCCP's second version has a header of 4 bytes, the first none (net/ipv4/gre_demux.c tells them apart so). */
function wccp(view: DataView, at: number, end: number): number {
  if (at >= end) return -1;
  return ip(view, view.getUint8(at) >> 4 === 4 ? at : at + 4, end, 4);
}
