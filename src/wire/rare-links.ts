/**
 * Link types of less common captures whose headers before the IP packet are short (https://www.tcpdump.org/linktypes.html).
 * Nothing here throws or allocates; -1 is a frame without an IP packet.
 */
import { byEtherType, ethernet, ip, mpls, ppp } from "./ether-type.ts";

const FDDI = 10;
const ATM_LLC_OLD = 11;
const ATM_LLC = 100;
const IEEE_802_11 = 105;
const FRAME_RELAY = 107;
const ENC = 109;
const PFLOG = 117;
const PRISM = 119;
const CISCO_HDLC_OLD = 121;
const RADIOTAP = 127;
const AVS = 163;
const PPP_PPPD = 166;
const PPP_WITH_DIRECTION = 204;
const CISCO_HDLC_WITH_DIRECTION = 205;
const FRAME_RELAY_WITH_DIRECTION = 206;
const MPLS = 219;
const IPNET = 226;
const NFLOG = 239;
const NETANALYZER = 240;
const NETANALYZER_TRANSPARENT = 241;
const IPOIB = 242;
const MPACKET = 274;
const DSA_BRCM = 281;
const DSA_BRCM_PREPEND = 282;
const DSA = 283;
const EDSA = 284;

const KNOWN = new Set([
  FDDI,
  ATM_LLC_OLD,
  ATM_LLC,
  IEEE_802_11,
  FRAME_RELAY,
  ENC,
  PFLOG,
  PRISM,
  CISCO_HDLC_OLD,
  RADIOTAP,
  AVS,
  PPP_PPPD,
  PPP_WITH_DIRECTION,
  CISCO_HDLC_WITH_DIRECTION,
  FRAME_RELAY_WITH_DIRECTION,
  MPLS,
  IPNET,
  NFLOG,
  NETANALYZER,
  NETANALYZER_TRANSPARENT,
  IPOIB,
  MPACKET,
  DSA_BRCM,
  DSA_BRCM_PREPEND,
  DSA,
  EDSA,
]);

/** An EtherType below those that are one: what follows is IEEE 802.2. */
const LLC = 0;
const PRISM_HEADER = 144;
const IPOIB_GRH = 40;
const NFULA_PAYLOAD = 9;

export function isRareLink(linkType: number): boolean {
  return KNOWN.has(linkType);
}

/** As `networkLayer` of link.ts, for the link types here. */
export function rareLink(view: DataView, at: number, end: number, linkType: number): number {
  switch (linkType) {
    case NFLOG:
      return nflog(view, at, end);
    case IEEE_802_11:
      return wireless(view, at, end);
    case RADIOTAP:
      return at + 4 > end ? -1 : wireless(view, at + view.getUint16(at + 2, true), end);
    case PRISM:
      // Some write the header of AVS under this type: it begins with its version.
      return isAvs(view, at, end) ? avs(view, at, end) : wireless(view, at + PRISM_HEADER, end);
    case AVS:
      return avs(view, at, end);
    case PFLOG:
      // The length is without the padding to whole words.
      return at + 4 > end ? -1 : ip(view, at + ((view.getUint8(at) + 3) & ~3), end);
    case ENC:
      return ip(view, at + 12, end);
    case IPNET:
      return ip(view, at + 24, end);
    case MPLS:
      return mpls(view, at, end);
    case PPP_PPPD:
    case PPP_WITH_DIRECTION:
      return ppp(view, at + 1, end);
    case CISCO_HDLC_OLD:
      return typed(view, at + 2, end);
    case CISCO_HDLC_WITH_DIRECTION:
      return typed(view, at + 3, end);
    case FRAME_RELAY:
      return frameRelay(view, at, end);
    case FRAME_RELAY_WITH_DIRECTION:
      return frameRelay(view, at + 1, end);
    case ATM_LLC:
    case ATM_LLC_OLD:
      return byEtherType(view, LLC, at, end);
    case FDDI:
      return byEtherType(view, LLC, at + 13, end);
    case IPOIB:
      return at + IPOIB_GRH + 4 > end
        ? -1
        : byEtherType(view, view.getUint16(at + IPOIB_GRH), at + IPOIB_GRH + 4, end);
    case NETANALYZER:
      return ethernet(view, at + 4, end);
    case NETANALYZER_TRANSPARENT:
      return ethernet(view, at + 12, end);
    case MPACKET:
      return ethernet(view, at + 8, end);
    case DSA_BRCM_PREPEND:
      return ethernet(view, at + 4, end);
    case DSA_BRCM:
    case DSA:
      return typed(view, at + 16, end);
    case EDSA:
      return typed(view, at + 20, end);
    default:
      return -1;
  }
}

/** An EtherType at `at`, and what it announces. */
function typed(view: DataView, at: number, end: number): number {
  return at + 2 > end ? -1 : byEtherType(view, view.getUint16(at), at + 2, end);
}

/** Netfilter's log: a header of 4 bytes, then fields in the byte order of the host that captured; one is the packet. */
function nflog(view: DataView, at: number, end: number): number {
  if (at + 8 > end) return -1;
  const isLittle = view.getUint16(at + 4, true) <= end - at - 4;
  for (let field = at + 4; field + 4 <= end; ) {
    const size = view.getUint16(field, isLittle);
    if (size < 4) return -1;
    if ((view.getUint16(field + 2, isLittle) & 0x7fff) === NFULA_PAYLOAD) return ip(view, field + 4, end);
    field += (size + 3) & ~3;
  }
  return -1;
}

/** A data frame of IEEE 802.11 that is not encrypted (section 9.2.4 of the standard): its header has 24 to 36 bytes. */
function wireless(view: DataView, at: number, end: number): number {
  if (at + 24 > end) return -1;
  const [type, flags] = [view.getUint8(at), view.getUint8(at + 1)];
  const isData = (type & 0x0c) === 0x08 && (type & 0x40) === 0;
  const isEncrypted = (flags & 0x40) !== 0;
  if (!isData || isEncrypted) return -1;
  let header = (flags & 3) === 3 ? 30 : 24;
  const hasQos = (type & 0x80) !== 0;
  if (hasQos) header += flags & 0x80 ? 6 : 2;
  return byEtherType(view, LLC, at + header, end);
}

function isAvs(view: DataView, at: number, end: number): boolean {
  return at + 8 <= end && (view.getUint32(at) & 0xfffff000) >>> 0 === 0x80211000;
}

function avs(view: DataView, at: number, end: number): number {
  return at + 8 > end ? -1 : wireless(view, at + view.getUint32(at + 4), end);
}

/** RFC 2427 section 3, with addresses of 2 bytes: unnumbered information, padding where SNAP follows, and the protocol. */
function frameRelay(view: DataView, at: number, end: number): number {
  if (at + 5 > end || view.getUint8(at + 2) !== 3) return -1;
  const protocol = view.getUint8(at + 3);
  if (protocol === 0xcc || protocol === 0x8e) return ip(view, at + 4, end);
  // Padding, SNAP, an organization (3 bytes), an EtherType.
  return view.getUint16(at + 3) === 0x0080 ? typed(view, at + 8, end) : -1;
}
