/**
 * Finding the IP packet in a captured frame, by pcap's link type (https://www.tcpdump.org/linktypes.html) and EtherType.
 * Nothing here throws: a frame that is not IP, is unknown, or is cut, has no IP packet.
 */

export const LINK_NULL = 0;
export const LINK_ETHERNET = 1;
const LINK_PPP = 9;
/** The values of DLT_RAW on most systems and on OpenBSD; files usually have LINK_RAW. */
const DLT_RAW = 12;
const DLT_RAW_OPENBSD = 14;
const LINK_PPP_HDLC = 50;
const LINK_PPP_ETHERNET = 51;
export const LINK_RAW = 101;
const LINK_CISCO_HDLC = 104;
const LINK_LOOP = 108;
export const LINK_LINUX_SLL = 113;
const LINK_IPV4 = 228;
const LINK_IPV6 = 229;
export const LINK_LINUX_SLL2 = 276;

const ETHERTYPE_IP = 0x0800;
const ETHERTYPE_BRIDGING = 0x6558;
const ETHERTYPE_VLAN = 0x8100;
const ETHERTYPE_IPV6 = 0x86dd;
const ETHERTYPE_MPLS = 0x8847;
const ETHERTYPE_MPLS_MULTICAST = 0x8848;
const ETHERTYPE_PPPOE_SESSION = 0x8864;
const ETHERTYPE_QINQ = 0x88a8;
const ETHERTYPE_QINQ_OLD = 0x9100;

const PPP_IP = 0x0021;
const PPP_IPV6 = 0x0057;
const PPP_MPLS = 0x0281;
/** Address and control field in front of the protocol (RFC 1662 section 3.1). */
const PPP_ADDRESS_CONTROL = 0xff03;

const ETHERNET_HEADER = 14;
const SLL_HEADER = 16;
const SLL2_HEADER = 20;
const PPPOE_HEADER = 6;

/** AF_INET6 of Linux, the BSDs and macOS; AF_INET is 2 on all of them. */
const FAMILIES_IPV6 = [10, 24, 28, 30];

/** Whether `networkLayer` can read frames of this link type. */
export function isKnownLink(linkType: number): boolean {
  switch (linkType) {
    case LINK_NULL:
    case LINK_ETHERNET:
    case LINK_PPP:
    case DLT_RAW:
    case DLT_RAW_OPENBSD:
    case LINK_PPP_HDLC:
    case LINK_PPP_ETHERNET:
    case LINK_RAW:
    case LINK_CISCO_HDLC:
    case LINK_LOOP:
    case LINK_LINUX_SLL:
    case LINK_IPV4:
    case LINK_IPV6:
    case LINK_LINUX_SLL2:
      return true;
    default:
      return false;
  }
}

/**
 * The offset of the IPv4 or IPv6 header of the frame that begins at `at` and was captured up to `end`, both offsets into
 * `view`; -1 if there is none.
 */
export function networkLayer(view: DataView, at: number, end: number, linkType: number): number {
  switch (linkType) {
    case LINK_ETHERNET:
      return ethernet(view, at, end);
    case LINK_LINUX_SLL:
      if (at + SLL_HEADER > end) return -1;
      return byEtherType(view, view.getUint16(at + 14), at + SLL_HEADER, end);
    case LINK_LINUX_SLL2:
      if (at + SLL2_HEADER > end) return -1;
      return byEtherType(view, view.getUint16(at), at + SLL2_HEADER, end);
    case DLT_RAW:
    case DLT_RAW_OPENBSD:
    case LINK_RAW:
    case LINK_IPV4:
    case LINK_IPV6:
      return ip(view, at, end);
    case LINK_NULL:
    case LINK_LOOP:
      return loopback(view, at, end);
    case LINK_PPP:
    case LINK_PPP_HDLC:
    case LINK_CISCO_HDLC:
      return hdlc(view, at, end);
    case LINK_PPP_ETHERNET:
      return pppoe(view, at, end);
    default:
      return -1;
  }
}

/** The offset of the IP header of the Ethernet frame at `at`; -1 if there is none. */
export function ethernet(view: DataView, at: number, end: number): number {
  if (at + ETHERNET_HEADER > end) return -1;
  return byEtherType(view, view.getUint16(at + 12), at + ETHERNET_HEADER, end);
}

/** The offset of the IP header in the payload at `at` of EtherType `type`; -1 if there is none. */
export function byEtherType(view: DataView, type: number, at: number, end: number): number {
  // Any number of VLAN tags, 4 bytes each.
  while (type === ETHERTYPE_VLAN || type === ETHERTYPE_QINQ || type === ETHERTYPE_QINQ_OLD) {
    if (at + 4 > end) return -1;
    type = view.getUint16(at + 2);
    at += 4;
  }
  switch (type) {
    case ETHERTYPE_IP:
      return ip(view, at, end, 4);
    case ETHERTYPE_IPV6:
      return ip(view, at, end, 6);
    case ETHERTYPE_PPPOE_SESSION:
      return pppoe(view, at, end);
    case ETHERTYPE_MPLS:
    case ETHERTYPE_MPLS_MULTICAST:
      return mpls(view, at, end);
    case ETHERTYPE_BRIDGING:
      return ethernet(view, at, end);
    default:
      return -1;
  }
}

/** `at` if an IP header of this version begins there (0: of version 4 or 6), else -1. */
function ip(view: DataView, at: number, end: number, version = 0): number {
  if (at >= end) return -1;
  const found = view.getUint8(at) >> 4;
  if (version === 0 ? found === 4 || found === 6 : found === version) return at;
  return -1;
}

/** The header is an address family in the byte order of the capturing host (NULL) or in network order (LOOP): accepts both. */
function loopback(view: DataView, at: number, end: number): number {
  if (at + 4 > end) return -1;
  const word = view.getUint32(at);
  const family = word > 0xffff ? view.getUint32(at, true) : word;
  if (family === 2) return ip(view, at + 4, end, 4);
  return FAMILIES_IPV6.includes(family) ? ip(view, at + 4, end, 6) : -1;
}

/** PPP with or without address and control field, or Cisco HDLC, which has an EtherType. */
function hdlc(view: DataView, at: number, end: number): number {
  if (at + 4 > end) return -1;
  const first = view.getUint16(at);
  if (first === PPP_ADDRESS_CONTROL) return ppp(view, at + 2, end);
  if (first === 0x0f00 || first === 0x8f00) return byEtherType(view, view.getUint16(at + 2), at + 4, end);
  return ppp(view, at, end);
}

/** PPPoE (RFC 2516 section 4): version and type 1, code 0 in a session. */
function pppoe(view: DataView, at: number, end: number): number {
  if (at + PPPOE_HEADER > end || view.getUint16(at) !== 0x1100) return -1;
  return ppp(view, at + PPPOE_HEADER, end);
}

/** The protocol field has two bytes, or one byte if the first byte is odd (RFC 1661 section 6.5). */
function ppp(view: DataView, at: number, end: number): number {
  if (at + 2 > end) return -1;
  const isShort = view.getUint8(at) & 1;
  const protocol = isShort ? view.getUint8(at) : view.getUint16(at);
  at += isShort ? 1 : 2;
  if (protocol === PPP_IP) return ip(view, at, end, 4);
  if (protocol === PPP_IPV6) return ip(view, at, end, 6);
  return protocol === PPP_MPLS ? mpls(view, at, end) : -1;
}

/** Skips the label stack (RFC 3032). The payload has no type field: the IP version in its first bits decides. */
function mpls(view: DataView, at: number, end: number): number {
  for (; at + 4 <= end; at += 4) {
    if (view.getUint8(at + 2) & 1) return ip(view, at + 4, end);
  }
  return -1;
}
