/**
 * Finding the IP packet inside a tunnel's packet, as mirror ports and clouds send them: GRE (RFC 2784, RFC 2890), ERSPAN in
 * GRE (draft-foschiano-erspan-03) and VXLAN (RFC 7348).
 */
import { byEtherType, ethernet } from "./link.ts";
import { IPPROTO_UDP } from "./udp.ts";

export const IPPROTO_GRE = 47;

const VXLAN_PORT = 4789;
/** Linux's default, older than the assigned port. */
const VXLAN_PORT_OLD = 8472;
const VXLAN_HAS_ID = 0x08;

const GRE_CHECKSUM = 0x8000;
const GRE_ROUTING = 0x4000;
const GRE_KEY = 0x2000;
const GRE_SEQUENCE = 0x1000;
const GRE_VERSION = 0x0007;
const GRE_ERSPAN = 0x88be;
const GRE_ERSPAN_III = 0x22eb;

/**
 * The offset of the inner IP header of a tunnel's packet. Its outer IP packet has this `protocol`, and its payload from `at` to
 * `end` (offsets into `view`). -1 if the tunnel is not known or has no IP packet in it.
 */
export function innerIp(view: DataView, protocol: number, at: number, end: number): number {
  if (protocol === IPPROTO_GRE) return gre(view, at, end);
  if (protocol === IPPROTO_UDP) return vxlan(view, at, end);
  return -1;
}

function vxlan(view: DataView, at: number, end: number): number {
  if (at + 16 > end) return -1;
  const port = view.getUint16(at + 2);
  if (port !== VXLAN_PORT && port !== VXLAN_PORT_OLD) return -1;
  return view.getUint8(at + 8) & VXLAN_HAS_ID ? ethernet(view, at + 16, end) : -1;
}

function gre(view: DataView, at: number, end: number): number {
  if (at + 4 > end) return -1;
  const flags = view.getUint16(at);
  const type = view.getUint16(at + 2);
  // Version 1 is that of PPTP; source routes (RFC 1701) are obsolete.
  if (flags & (GRE_VERSION | GRE_ROUTING)) return -1;
  at += 4;
  if (flags & GRE_CHECKSUM) at += 4;
  if (flags & GRE_KEY) at += 4;
  if (flags & GRE_SEQUENCE) at += 4;
  if (type === GRE_ERSPAN || type === GRE_ERSPAN_III) {
    // ERSPAN type I has no header of its own: it is recognized by the missing sequence number.
    if (type === GRE_ERSPAN && !(flags & GRE_SEQUENCE)) return ethernet(view, at, end);
    return erspan(view, at, end);
  }
  return byEtherType(view, type, at, end);
}

/** The version is in the first bits of the header: 1 is type II, 2 is type III. */
function erspan(view: DataView, at: number, end: number): number {
  if (at + 12 > end) return -1;
  const version = view.getUint8(at) >> 4;
  if (version === 1) return ethernet(view, at + 8, end);
  if (version !== 2) return -1;
  const hasSubheader = view.getUint8(at + 11) & 1;
  return ethernet(view, at + (hasSubheader ? 20 : 12), end);
}
