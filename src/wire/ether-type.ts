/**
 * Finding the IP packet in what an EtherType announces: tags, labels and whole frames in front of it are stepped over. Nothing
 * here throws or allocates; a payload that is not IP, is unknown, or is cut has no IP packet, which is -1. The steps are
 * bounded by the bytes of the frame, and frames within frames by MOST_FRAMES.
 */
import { isLikelyIp } from "./ip-header.ts";

const ETHERTYPE_IP = 0x0800;
const ETHERTYPE_BRIDGING = 0x6558;
const ETHERTYPE_VLAN = 0x8100;
const ETHERTYPE_IPV6 = 0x86dd;
const ETHERTYPE_MPLS = 0x8847;
const ETHERTYPE_MPLS_MULTICAST = 0x8848;
const ETHERTYPE_PPPOE_SESSION = 0x8864;
const ETHERTYPE_PPP = 0x880b;
const ETHERTYPE_QINQ = 0x88a8;
const ETHERTYPE_QINQ_OLD = 0x9100;
const ETHERTYPE_QINQ_OLDER = 0x9200;
const ETHERTYPE_MACSEC = 0x88e5;
/** The I-TAG of provider backbone bridges (IEEE 802.1ah). */
const ETHERTYPE_I_TAG = 0x88e7;
const ETHERTYPE_METADATA = 0x8909;
const ETHERTYPE_VN_TAG = 0x8926;
const ETHERTYPE_HSR = 0x892f;
/** The E-TAG of bridge port extenders (IEEE 802.1BR). */
const ETHERTYPE_E_TAG = 0x893f;
const ETHERTYPE_NSH = 0x894f;
/** Smaller values are lengths of IEEE 802.3 frames. */
const SMALLEST_ETHERTYPE = 0x0600;

const PPP_IP = 0x0021;
const PPP_IPV6 = 0x0057;
const PPP_MPLS = 0x0281;
/** Address and control field in front of the protocol (RFC 1662 section 3.1). */
export const PPP_ADDRESS_CONTROL = 0xff03;

const ETHERNET_HEADER = 14;
const PPPOE_HEADER = 6;
/** Most Ethernet frames and service headers within each other in front of one IP packet. */
export const MOST_FRAMES = 6;

/** Next protocols of NSH (RFC 8300 section 2.2) and of VXLAN-GPE (draft-ietf-nvo3-vxlan-gpe). */
const NEXT_IP = 1;
const NEXT_IPV6 = 2;
const NEXT_ETHERNET = 3;
const NEXT_NSH = 4;
const NEXT_MPLS = 5;

/** In the tag control information of MACsec (IEEE 802.1AE section 9.5). */
const MACSEC_HAS_SCI = 0x20;
/** Encrypted, or changed text. */
const MACSEC_HIDDEN = 0x0c;

/** The offset of the IP header of the Ethernet frame at `at`; -1 if there is none. `frames`: most that may follow. */
export function ethernet(view: DataView, at: number, end: number, frames = MOST_FRAMES): number {
  if (at + ETHERNET_HEADER > end || frames === 0) return -1;
  return byEtherType(view, view.getUint16(at + 12), at + ETHERNET_HEADER, end, frames - 1);
}

/** As `ethernet`, where nothing else says that there is a frame: what is in it must be an IP packet by its looks, too. */
export function likelyEthernet(view: DataView, at: number, end: number, frames = MOST_FRAMES): number {
  // A frame comes from one station.
  if (at + ETHERNET_HEADER > end || view.getUint8(at + 6) & 1) return -1;
  const ip = ethernet(view, at, end, frames);
  return ip >= 0 && isLikelyIp(view, ip, end) ? ip : -1;
}

/** The offset of the IP header in the payload at `at` of EtherType `type`; -1 if there is none. */
export function byEtherType(
  view: DataView,
  type: number,
  at: number,
  end: number,
  frames = MOST_FRAMES,
): number {
  for (let tag = tagBytes(view, type, at, end); tag > 0; tag = tagBytes(view, type, at, end)) {
    if (at + tag > end) return -1;
    // The type of what follows is the tag's last field.
    type = view.getUint16(at + tag - 2);
    at += tag;
  }
  switch (type) {
    case ETHERTYPE_IP:
      return ip(view, at, end, 4);
    case ETHERTYPE_IPV6:
      return ip(view, at, end, 6);
    case ETHERTYPE_PPPOE_SESSION:
      return pppoe(view, at, end, frames);
    case ETHERTYPE_PPP:
      return ppp(view, at, end, frames);
    case ETHERTYPE_MPLS:
    case ETHERTYPE_MPLS_MULTICAST:
      return mpls(view, at, end, frames);
    case ETHERTYPE_BRIDGING:
      return ethernet(view, at, end, frames);
    case ETHERTYPE_I_TAG:
      return ethernet(view, at + 4, end, frames);
    case ETHERTYPE_NSH:
      return nsh(view, at, end, frames);
    default:
      return type < SMALLEST_ETHERTYPE ? llc(view, at, end, frames) : -1;
  }
}

/** Bytes of the tag at `at`, up to and with the type of what follows it; 0 if `type` announces none. */
function tagBytes(view: DataView, type: number, at: number, end: number): number {
  switch (type) {
    case ETHERTYPE_VLAN:
    case ETHERTYPE_QINQ:
    case ETHERTYPE_QINQ_OLD:
    case ETHERTYPE_QINQ_OLDER:
      return 4;
    case ETHERTYPE_VN_TAG:
    case ETHERTYPE_HSR:
      return 6;
    case ETHERTYPE_E_TAG:
    case ETHERTYPE_METADATA:
      return 8;
    case ETHERTYPE_MACSEC:
      return macsecBytes(view, at, end);
    default:
      return 0;
  }
}

/** What is protected but not encrypted is read; its integrity check value is padding after the IP packet. */
function macsecBytes(view: DataView, at: number, end: number): number {
  if (at >= end) return 0;
  const control = view.getUint8(at);
  if (control & MACSEC_HIDDEN) return 0;
  return control & MACSEC_HAS_SCI ? 16 : 8;
}

/** `at` if an IP header of this version begins there (0: of version 4 or 6), else -1. */
export function ip(view: DataView, at: number, end: number, version = 0): number {
  if (at >= end) return -1;
  const found = view.getUint8(at) >> 4;
  if (version === 0 ? found === 4 || found === 6 : found === version) return at;
  return -1;
}

/** By the next protocol of NSH or VXLAN-GPE. */
export function byNextProtocol(
  view: DataView,
  next: number,
  at: number,
  end: number,
  frames = MOST_FRAMES,
): number {
  switch (next) {
    case NEXT_IP:
      return ip(view, at, end, 4);
    case NEXT_IPV6:
      return ip(view, at, end, 6);
    case NEXT_ETHERNET:
      return ethernet(view, at, end, frames);
    case NEXT_NSH:
      return nsh(view, at, end, frames);
    case NEXT_MPLS:
      return mpls(view, at, end, frames);
    default:
      return -1;
  }
}

/** The network service header (RFC 8300 section 2.2): version 0, its length in words. */
export function nsh(view: DataView, at: number, end: number, frames = MOST_FRAMES): number {
  if (at + 8 > end || frames === 0) return -1;
  const first = view.getUint16(at);
  const words = first & 0x3f;
  if (first >> 14 !== 0 || words < 2) return -1;
  return byNextProtocol(view, view.getUint8(at + 3), at + words * 4, end, frames - 1);
}

/**
 * Skips the label stack (RFC 3032). The payload has no type field: its first bits are those of an IP header, of the control
 * word of a pseudowire (RFC 4385), or of the MAC address with which an Ethernet pseudowire without one begins (RFC 4448), which
 * may begin with any bits: a frame that has IP by its looks is one.
 */
export function mpls(view: DataView, at: number, end: number, frames = MOST_FRAMES): number {
  for (; at + 4 <= end; at += 4) {
    if (view.getUint8(at + 2) & 1) return labelled(view, at + 4, end, frames);
  }
  return -1;
}

function labelled(view: DataView, at: number, end: number, frames: number): number {
  if (at >= end) return -1;
  if (view.getUint8(at) >> 4 === 0) {
    const inside = likelyEthernet(view, at + 4, end, frames);
    if (inside >= 0) return inside;
  }
  const inside = likelyEthernet(view, at, end, frames);
  return inside >= 0 ? inside : ip(view, at, end);
}

/** IEEE 802.2 in a frame with a length: SNAP with an EtherType (RFC 1042, also IEEE 802.1H's), or IP itself. */
function llc(view: DataView, at: number, end: number, frames: number): number {
  if (at + 3 > end || view.getUint8(at + 2) !== 3) return -1;
  const points = view.getUint16(at);
  if (points === 0x0606) return ip(view, at + 3, end, 4);
  if (points !== 0xaaaa || at + 8 > end) return -1;
  const organization = (view.getUint16(at + 3) << 8) | view.getUint8(at + 5);
  const type = view.getUint16(at + 6);
  if ((organization !== 0 && organization !== 0xf8) || type < SMALLEST_ETHERTYPE) return -1;
  return byEtherType(view, type, at + 8, end, frames);
}

/** PPPoE (RFC 2516 section 4): version and type 1, code 0 in a session. */
export function pppoe(view: DataView, at: number, end: number, frames = MOST_FRAMES): number {
  if (at + PPPOE_HEADER > end || view.getUint16(at) !== 0x1100) return -1;
  return ppp(view, at + PPPOE_HEADER, end, frames);
}

/** A PPP frame: address and control may be missing, and the protocol has one byte if that is odd (RFC 1661 section 6.5). */
export function ppp(view: DataView, at: number, end: number, frames = MOST_FRAMES): number {
  if (at + 4 > end) return -1;
  if (view.getUint16(at) === PPP_ADDRESS_CONTROL) at += 2;
  const isShort = view.getUint8(at) & 1;
  const protocol = isShort ? view.getUint8(at) : view.getUint16(at);
  at += isShort ? 1 : 2;
  if (protocol === PPP_IP) return ip(view, at, end, 4);
  if (protocol === PPP_IPV6) return ip(view, at, end, 6);
  return protocol === PPP_MPLS ? mpls(view, at, end, frames) : -1;
}
