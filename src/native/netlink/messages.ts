/** The messages of rtnetlink (linux/rtnetlink.h, linux/neighbour.h): what links, addresses, routes and neighbours are. */
import { AF_INET, AF_INET6 } from "../libc.ts";

export interface Link {
  ifindex: number;
  name: string;
  /** Bytes of the largest IP packet. */
  mtu: number;
  /** Whether it is set up (IFF_UP), also where it has no carrier. */
  up: boolean;
  loopback: boolean;
  /** Whether it leads to one other host only (IFF_POINTOPOINT). */
  pointToPoint: boolean;
  /** ARPHRD_*: 1 is Ethernet. */
  hardwareType: number;
  /** Hardware address; 6 bytes on Ethernet, empty where there is none. */
  mac: Uint8Array;
  /** "veth", "vlan", "wireguard", ...; empty for hardware. */
  kind: string;
  /** Bytes of the largest packet that the kernel joins or leaves whole there (GRO, GSO), 0 if not known; above 65536: BIG TCP. */
  largest: number;
  /** Whether an XDP program sees packets first; absent: none does. */
  hasXdp?: true;
}

export interface LocalAddress {
  ifindex: number;
  family: 4 | 6;
  bytes: Uint8Array;
  /** RT_SCOPE_*: 0 global, 253 link, 254 host. */
  scope: number;
}

export interface Route {
  type: RouteType;
  ifindex: number;
  /** Null where the destination is on the link. Of the other family for IPv4 routes via IPv6. */
  gateway: Uint8Array | null;
  /** The address this host sends from; null where the kernel has none. */
  source: Uint8Array | null;
  /** Bytes, as set by the route or by path MTU discovery; 0 if by neither. */
  mtu: number;
  /** Whether the route puts packets into a tunnel by itself (RTA_ENCAP). */
  encapsulates: boolean;
}

/** RTN_*, in the kernel's order from 0. */
const ROUTE_TYPES = [
  "unspecified",
  "unicast",
  "local",
  "broadcast",
  "anycast",
  "multicast",
  "blackhole",
  "unreachable",
  "prohibit",
  "throw",
] as const;
export type RouteType = (typeof ROUTE_TYPES)[number];

export interface Neighbour {
  /** Empty while it is not known. */
  mac: Uint8Array;
  /** NUD_* bits. */
  state: number;
}

/** A neighbour with its interface and its address. */
export interface NeighbourEntry extends Neighbour {
  ifindex: number;
  bytes: Uint8Array;
}

/** The states in which the kernel itself sends to the entry's MAC: reachable, stale, delay, probe, noarp, permanent. */
export const NUD_VALID = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80;

/** The states in which the kernel waits for the MAC or has given up: incomplete, failed. */
export const NUD_UNANSWERED = 0x01 | 0x20;

/** Bytes of struct nlmsghdr. */
export const HEADER = 16;
export const RTM_NEWLINK = 16;
export const RTM_GETLINK = 18;
export const RTM_NEWADDR = 20;
export const RTM_GETADDR = 22;
export const RTM_NEWROUTE = 24;
export const RTM_GETROUTE = 26;
export const RTM_NEWNEIGH = 28;
export const RTM_GETNEIGH = 30;

const AF_UNSPEC = 0;
export const IFINFOMSG = 16;
export const IFADDRMSG = 8;
export const RTMSG = 12;
export const NDMSG = 12;

const IFF_UP = 0x1;
const IFF_LOOPBACK = 0x8;
const IFF_POINTOPOINT = 0x10;
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINKINFO = 18;
const IFLA_XDP = 43;
const IFLA_XDP_ATTACHED = 2;
const IFLA_INFO_KIND = 1;
/** IFLA_GSO_MAX_SIZE, IFLA_GRO_MAX_SIZE, IFLA_GSO_IPV4_MAX_SIZE, IFLA_GRO_IPV4_MAX_SIZE. */
const IFLA_LARGEST = [41, 58, 63, 64];
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
export const RTA_DST = 1;
export const RTA_SRC = 2;
export const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PREFSRC = 7;
const RTA_METRICS = 8;
export const RTA_MARK = 16;
const RTA_VIA = 18;
const RTA_ENCAP = 22;
const RTAX_MTU = 2;
export const NDA_DST = 1;
const NDA_LLADDR = 2;
export const NTF_USE = 0x01;

/** Attributes and messages begin at multiples of 4 bytes. */
export function align(length: number): number {
  return (length + 3) & ~3;
}

/** The attributes of a body from offset `from` on, by type without its flag bits; stops at a malformed one. */
export function attributesOf(body: Uint8Array, from: number): Map<number, Uint8Array> {
  const found = new Map<number, Uint8Array>();
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  for (let at = from; at + 4 <= body.length; ) {
    const size = view.getUint16(at, true);
    if (size < 4 || at + size > body.length) break;
    found.set(view.getUint16(at + 2, true) & 0x3fff, body.subarray(at + 4, at + size));
    at += align(size);
  }
  return found;
}

export function u32Of(value: Uint8Array | undefined): number {
  if (value === undefined || value.length < 4) return 0;
  return new DataView(value.buffer, value.byteOffset).getUint32(0, true);
}

export function textOf(value: Uint8Array | undefined): string {
  return value === undefined ? "" : new TextDecoder().decode(value).split("\0", 1)[0]!;
}

/** The interface of an RTM_NEWLINK or RTM_DELLINK; null for a message about something else (a port of a bridge: AF_BRIDGE). */
export function parseLink(body: Uint8Array): Link | null {
  if (body.length < IFINFOMSG || body[0] !== AF_UNSPEC) return null;
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  const attributes = attributesOf(body, IFINFOMSG);
  const flags = view.getUint32(8, true);
  const info = attributes.get(IFLA_LINKINFO);
  return {
    ifindex: view.getInt32(4, true),
    name: textOf(attributes.get(IFLA_IFNAME)),
    mtu: u32Of(attributes.get(IFLA_MTU)),
    up: (flags & IFF_UP) !== 0,
    loopback: (flags & IFF_LOOPBACK) !== 0,
    pointToPoint: (flags & IFF_POINTOPOINT) !== 0,
    hardwareType: view.getUint16(2, true),
    mac: attributes.get(IFLA_ADDRESS)?.slice() ?? new Uint8Array(0),
    kind: info === undefined ? "" : textOf(attributesOf(info, 0).get(IFLA_INFO_KIND)),
    largest: Math.max(...IFLA_LARGEST.map((type) => u32Of(attributes.get(type)))),
    ...(hasXdp(attributes.get(IFLA_XDP)) && { hasXdp: true as const }),
  };
}

/** Whether the nested attribute names a program. */
function hasXdp(xdp: Uint8Array | undefined): boolean {
  return xdp !== undefined && (attributesOf(xdp, 0).get(IFLA_XDP_ATTACHED)?.[0] ?? 0) !== 0;
}

/** The address of an RTM_NEWADDR or RTM_DELADDR; null if it is of no IP. */
export function parseAddress(body: Uint8Array): LocalAddress | null {
  if (body.length < IFADDRMSG) return null;
  const attributes = attributesOf(body, IFADDRMSG);
  // IFA_ADDRESS is the peer's on point-to-point links, where IFA_LOCAL is ours; IPv6 mostly has no IFA_LOCAL.
  const bytes = (attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS))?.slice();
  if (bytes === undefined || (bytes.length !== 4 && bytes.length !== 16)) return null;
  const ifindex = new DataView(body.buffer, body.byteOffset, body.length).getUint32(4, true);
  return { ifindex, family: bytes.length === 4 ? 4 : 6, bytes, scope: body[3]! };
}

/** The route of an RTM_NEWROUTE or RTM_DELROUTE; null if the message is too short. */
export function parseRoute(body: Uint8Array): Route | null {
  if (body.length < RTMSG) return null;
  const attributes = attributesOf(body, RTMSG);
  const metrics = attributes.get(RTA_METRICS);
  // struct rtvia: a family of two bytes, then the address.
  const gateway = attributes.get(RTA_GATEWAY) ?? attributes.get(RTA_VIA)?.subarray(2);
  return {
    type: ROUTE_TYPES[body[7]!] ?? "unspecified",
    ifindex: u32Of(attributes.get(RTA_OIF)),
    gateway: gateway?.slice() ?? null,
    source: attributes.get(RTA_PREFSRC)?.slice() ?? null,
    encapsulates: attributes.has(RTA_ENCAP),
    mtu: metrics === undefined ? 0 : u32Of(attributesOf(metrics, 0).get(RTAX_MTU)),
  };
}

/** The neighbour entry of an RTM_NEWNEIGH or RTM_DELNEIGH, and of which address it is; null if of no IP address. */
export function parseNeighbour(body: Uint8Array): NeighbourEntry | null {
  if (body.length < NDMSG) return null;
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  const attributes = attributesOf(body, NDMSG);
  const bytes = attributes.get(NDA_DST)?.slice();
  // The forwarding entries of bridges (AF_BRIDGE) have no NDA_DST, or another family.
  const length = body[0] === AF_INET ? 4 : body[0] === AF_INET6 ? 16 : 0;
  if (bytes === undefined || length === 0 || bytes.length !== length) return null;
  return {
    ifindex: view.getInt32(4, true),
    bytes,
    mac: attributes.get(NDA_LLADDR)?.slice() ?? new Uint8Array(0),
    state: view.getUint16(8, true),
  };
}
