/**
 * Finding the IP packet in a captured frame, by pcap's link type (https://www.tcpdump.org/linktypes.html). Nothing here throws:
 * a frame that is not IP, is unknown, or is cut, has no IP packet.
 */
import { byEtherType, ethernet, ip, ppp, pppoe } from "./ether-type.ts";
import { isRareLink, rareLink } from "./rare-links.ts";

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
/** A header in front of frames of another link type: "per-packet information", and macOS's with the process. */
const LINK_PPI = 192;
const LINK_PKTAP = 258;
const LINK_IPV4 = 228;
const LINK_IPV6 = 229;
export const LINK_LINUX_SLL2 = 276;

const SLL_HEADER = 16;
const SLL2_HEADER = 20;

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
    case LINK_PPI:
    case LINK_PKTAP:
      return true;
    default:
      return isRareLink(linkType);
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
    case LINK_PPI:
      return at + 8 > end
        ? -1
        : inside(view, at, end, view.getUint16(at + 2, true), view.getUint32(at + 4, true));
    case LINK_PKTAP:
      return at + 12 > end
        ? -1
        : inside(view, at, end, view.getUint32(at, true), view.getUint32(at + 8, true));
    default:
      return rareLink(view, at, end, linkType);
  }
}

/** The frame of another link type after a header of so many bytes. */
function inside(view: DataView, at: number, end: number, header: number, linkType: number): number {
  if (header < 8 || linkType === LINK_PPI || linkType === LINK_PKTAP) return -1;
  return networkLayer(view, at + header, end, linkType);
}

/** The header is an address family in the byte order of the capturing host (NULL) or in network order (LOOP): accepts both. */
function loopback(view: DataView, at: number, end: number): number {
  if (at + 4 > end) return -1;
  const word = view.getUint32(at);
  const family = word > 0xffff ? view.getUint32(at, true) : word;
  if (family === 2) return ip(view, at + 4, end, 4);
  return FAMILIES_IPV6.includes(family) ? ip(view, at + 4, end, 6) : -1;
}

/** PPP, or Cisco HDLC, which has an EtherType. */
function hdlc(view: DataView, at: number, end: number): number {
  if (at + 4 > end) return -1;
  const first = view.getUint16(at);
  if (first === 0x0f00 || first === 0x8f00) return byEtherType(view, view.getUint16(at + 2), at + 4, end);
  return ppp(view, at, end);
}
