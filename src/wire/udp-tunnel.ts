/** Finding the IP packet in tunnels over UDP, by their port, and in VXLAN and GENEVE also on any other port. */
import { byEtherType, byNextProtocol, ethernet, ip, likelyEthernet, mpls, ppp } from "./ether-type.ts";
import { gre } from "./gre.ts";
import { likelyLength } from "./ip-header.ts";
import { UDP_HEADER } from "./udp.ts";

const L2TP_PORT = 1701;
const GTP_PORT = 2152;
const LISP_PORT = 4341;
const GRE_PORT = 4754;
const VXLAN_PORT = 4789;
const VXLAN_GPE_PORT = 4790;
const GENEVE_PORT = 6081;
const MPLS_PORT = 6635;
/** Linux's default, older than the assigned port. */
const VXLAN_PORT_OLD = 8472;
/** TaZmen Sniffer Protocol, in which MikroTik's and other mirrors send what they see. */
const TZSP_PORT = 37_008;

const VXLAN_HEADER = 8;
const VXLAN_HAS_ID = 0x08;
/** Of VXLAN-GPE: the last byte of the first word names what follows. */
const VXLAN_HAS_NEXT = 0x04;
const GENEVE_HEADER = 8;
const ETHERTYPE_BRIDGING = 0x6558;
/** Most bytes that Ethernet pads a frame with. */
const MOST_PADDING = 46;

/** The offset of the IP header inside the UDP datagram at `at`, whose IP packet was captured up to `end`; -1 if there is none. */
export function inUdp(view: DataView, at: number, end: number): number {
  const data = at + UDP_HEADER;
  if (data + 4 > end) return -1;
  switch (view.getUint16(at + 2)) {
    case VXLAN_PORT:
    case VXLAN_PORT_OLD:
    case VXLAN_GPE_PORT:
      return vxlan(view, data, end);
    case GENEVE_PORT:
      return geneve(view, data, end);
    case GTP_PORT:
      return gtp(view, data, end);
    case MPLS_PORT:
      return mpls(view, data, end);
    case GRE_PORT:
      return gre(view, data, end);
    case LISP_PORT:
      return ip(view, data + 8, end);
    case L2TP_PORT:
      return l2tp(view, data, end);
    case TZSP_PORT:
      return tzsp(view, data, end);
    default:
      return onAnyPort(view, at, end);
  }
}

/** VXLAN (RFC 7348) and VXLAN-GPE (draft-ietf-nvo3-vxlan-gpe). */
function vxlan(view: DataView, at: number, end: number): number {
  if (at + VXLAN_HEADER > end) return -1;
  const flags = view.getUint8(at);
  const next = view.getUint8(at + 3);
  if (!(flags & VXLAN_HAS_ID)) return -1;
  if (flags & VXLAN_HAS_NEXT && next > 0) return byNextProtocol(view, next, at + VXLAN_HEADER, end);
  return ethernet(view, at + VXLAN_HEADER, end);
}

/** GENEVE (RFC 8926 section 3.4): version 0, options, an EtherType. */
function geneve(view: DataView, at: number, end: number): number {
  if (at + GENEVE_HEADER > end || view.getUint8(at) >> 6 !== 0) return -1;
  const options = (view.getUint8(at) & 0x3f) * 4;
  return byEtherType(view, view.getUint16(at + 2), at + GENEVE_HEADER + options, end);
}

/** A user's packet in GTP-U version 1 (3GPP TS 29.281 section 5): with sequence number, N-PDU number and extension headers. */
function gtp(view: DataView, at: number, end: number): number {
  const flags = view.getUint8(at);
  // Version 1, GTP and not GTP'; G-PDU.
  if (flags >> 4 !== 3 || view.getUint8(at + 1) !== 0xff) return -1;
  if (!(flags & 0x07)) return ip(view, at + 8, end);
  at += 12;
  if (at > end) return -1;
  let next = flags & 0x04 ? view.getUint8(at - 1) : 0;
  while (next !== 0) {
    if (at >= end) return -1;
    const size = view.getUint8(at) * 4;
    if (size === 0 || at + size > end) return -1;
    at += size;
    next = view.getUint8(at - 1);
  }
  return ip(view, at, end);
}

/** A data message of L2TP version 2, which has PPP (RFC 2661 section 3.1), or of version 3 (RFC 3931 section 4.1.2). */
function l2tp(view: DataView, at: number, end: number): number {
  const flags = view.getUint16(at);
  const version = flags & 0x0f;
  if (flags & 0x8000) return -1;
  if (version === 3) return l2tpSession(view, at + 4, end);
  if (version !== 2) return -1;
  at += 6;
  if (flags & 0x4000) at += 2;
  if (flags & 0x0800) at += 4;
  if (flags & 0x0200) {
    if (at + 2 > end) return -1;
    at += 2 + view.getUint16(at);
  }
  return ppp(view, at, end);
}

/**
 * A session of L2TP version 3 (RFC 3931 section 4.1). Whether it has a cookie of 4 or 8 bytes and a sublayer header of 4 bytes
 * was agreed when it was set up: the frame in it is looked for.
 */
export function l2tpSession(view: DataView, at: number, end: number): number {
  // Session 0 is control.
  if (at + 4 > end || view.getUint32(at) === 0) return -1;
  for (let more = 4; more <= 16; more += 4) {
    const inside = likelyEthernet(view, at + more, end);
    if (inside >= 0) return inside;
  }
  return -1;
}

/** TZSP with an Ethernet frame: version 1, a received packet, tagged fields up to that of type 1. */
function tzsp(view: DataView, at: number, end: number): number {
  if (view.getUint16(at) !== 0x0100 || view.getUint16(at + 2) !== 1) return -1;
  at += 4;
  while (at < end) {
    const tag = view.getUint8(at);
    if (tag === 1) return ethernet(view, at + 1, end);
    if (tag === 0) at += 1;
    else if (at + 1 < end) at += 2 + view.getUint8(at + 1);
    else return -1;
  }
  return -1;
}

/**
 * VXLAN and GENEVE on a port that says nothing: all bits that must be 0 are, the frame in it comes from one station, the IP
 * header in that is right, and its packet ends where the datagram does.
 */
function onAnyPort(view: DataView, at: number, end: number): number {
  const data = at + UDP_HEADER;
  if (data + VXLAN_HEADER > end || view.getUint8(data + 7) !== 0) return -1;
  let frame = data + VXLAN_HEADER;
  if (view.getUint32(data) !== VXLAN_HAS_ID << 24) {
    if (view.getUint8(data) >> 6 !== 0 || view.getUint16(data + 2) !== ETHERTYPE_BRIDGING) return -1;
    // Flags of which two are defined.
    if (view.getUint8(data + 1) & 0x3f) return -1;
    frame = data + GENEVE_HEADER + (view.getUint8(data) & 0x3f) * 4;
  }
  const inside = likelyEthernet(view, frame, end);
  if (inside < 0) return -1;
  const rest = at + view.getUint16(at + 4) - inside - likelyLength(view, inside);
  return rest >= 0 && rest <= MOST_PADDING ? inside : -1;
}
