/** What a frame is, read by the rules that bpf/README.md and the standards give, for the references of the kernel programs. */
import { AUTHENTICATION, DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, ROUTING } from "../build.ts";
import { ICMP, ICMP6, TCP, UDP } from "./packets.ts";

const EXTENSIONS = [HOP_BY_HOP, ROUTING, AUTHENTICATION, DESTINATION_OPTIONS, FRAGMENT];
const MOST_TAGS = 2;
const MOST_EXTENSIONS = 4;

/** Nothing certain can be said of this packet, and of those after it. */
export class Unknown extends Error {}

/** An IP packet. Offsets are from its header. */
export interface Ip {
  family: 4 | 6;
  protocol: number;
  /** In the frame. */
  at: number;
  /** Behind IP header and extension headers. */
  transport: number;
  /** That the header says; 0: nothing (BIG TCP). */
  said: number;
  /** Hexadecimal digits. */
  source: string;
  destination: string;
  id: number;
  /** Of the fragment's data in the packet, bytes. */
  offset: number;
  more: boolean;
  tags: number;
}

/** A TCP segment or UDP datagram, or a fragment of one that begins with its header. */
export interface Segment extends Ip {
  sourcePort: number;
  destinationPort: number;
  seq: number;
  ack: number;
  flags: number;
  payload: number;
  /** Of the IP packet. */
  length: number;
}

export const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

/** Null: no IP packet that the programs read. */
export function ipOf(frame: Uint8Array): Ip | null {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  let at = 14;
  let type = view.getUint16(12);
  let tags = 0;
  for (; tags < MOST_TAGS && (type === 0x8100 || type === 0x88a8); tags++, at += 4) {
    if (at + 4 > frame.length) return null;
    type = view.getUint16(at + 2);
  }
  if (type === 0x0800) return ip4(frame, view, at, tags);
  return type === 0x86dd ? ip6(frame, view, at, tags) : null;
}

function ip4(frame: Uint8Array, view: DataView, at: number, tags: number): Ip | null {
  if (at + 20 > frame.length || frame[at]! >> 4 !== 4 || (frame[at]! & 15) < 5) return null;
  const fragment = view.getUint16(at + 6);
  return {
    family: 4,
    protocol: frame[at + 9]!,
    at,
    transport: (frame[at]! & 15) * 4,
    said: view.getUint16(at + 2),
    source: hexOf(frame.subarray(at + 12, at + 16)),
    destination: hexOf(frame.subarray(at + 16, at + 20)),
    id: view.getUint16(at + 4),
    offset: (fragment & 0x1fff) * 8,
    more: (fragment & 0x2000) !== 0,
    tags,
  };
}

function ip6(frame: Uint8Array, view: DataView, at: number, tags: number): Ip | null {
  if (at + 40 > frame.length || frame[at]! >> 4 !== 6) return null;
  const found = {
    family: 6 as const,
    protocol: frame[at + 6]!,
    at,
    transport: 40,
    said: view.getUint16(at + 4) && view.getUint16(at + 4) + 40,
    source: hexOf(frame.subarray(at + 8, at + 24)),
    destination: hexOf(frame.subarray(at + 24, at + 40)),
    id: 0,
    offset: 0,
    more: false,
    tags,
  };
  for (let count = 0; EXTENSIONS.includes(found.protocol); count++) {
    const header = at + found.transport;
    if (count === MOST_EXTENSIONS || header + 8 > frame.length) return null;
    const units = frame[header + 1]!;
    if (found.protocol === FRAGMENT) {
      found.id = view.getUint32(header + 4);
      found.offset = view.getUint16(header + 2) & 0xfff8;
      found.more = (view.getUint16(header + 2) & 1) !== 0;
      found.transport += 8;
    } else found.transport += found.protocol === AUTHENTICATION ? (units + 2) * 4 : (units + 1) * 8;
    found.protocol = frame[header]!;
    // A later fragment has only data behind its Fragment header.
    if (found.offset > 0) break;
  }
  return found;
}

export const isFragment = ({ offset, more }: Ip) => offset > 0 || more;

/** The segment whose header is in the frame; null: it is none, or malformed. */
export function tcpOf(frame: Uint8Array, ip: Ip | null): Segment | null {
  if (ip?.protocol !== TCP || ip.offset > 0) return null;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  const at = ip.at + ip.transport;
  if (at + 20 > frame.length) return null;
  const words = frame[at + 12]! >> 4;
  const payload = ip.transport + words * 4;
  if (words < 5 || (ip.said > 0 && payload > ip.said)) return null;
  return {
    ...ip,
    sourcePort: view.getUint16(at),
    destinationPort: view.getUint16(at + 2),
    seq: view.getUint32(at + 4),
    ack: view.getUint32(at + 8),
    flags: frame[at + 13]!,
    payload,
    length: ip.said || frame.length - ip.at,
  };
}

export function udpOf(frame: Uint8Array, ip: Ip | null): Segment | null {
  if (ip?.protocol !== UDP || ip.offset > 0) return null;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  const at = ip.at + ip.transport;
  if (at + 8 > frame.length || ip.transport + 8 > ip.said) return null;
  return {
    ...ip,
    sourcePort: view.getUint16(at),
    destinationPort: view.getUint16(at + 2),
    seq: 0,
    ack: 0,
    flags: 0,
    payload: ip.transport + 8,
    length: ip.said,
  };
}

/** An ICMP error that quotes a TCP or UDP packet. */
export interface IcmpError {
  ip: Ip;
  type: number;
  code: number;
  quoted: {
    protocol: number;
    source: string;
    destination: string;
    sourcePort: number;
    destinationPort: number;
  };
}

const ERRORS4 = [3, 4, 5, 11, 12];
/** ICMPv6: all below are errors (RFC 4443 section 2.1). */
const FIRST_INFORMATION = 128;

/** Null: none, or in a VLAN tag that is still in the packet, which nobody looks behind. */
export function icmpOf(frame: Uint8Array): IcmpError | null {
  const ip = ipOf(frame);
  if (!ip || ip.tags > 0 || isFragment(ip)) return null;
  const isError = ip.family === 4 ? ip.protocol === ICMP : ip.protocol === ICMP6 && ip.transport === 40;
  const at = ip.at + ip.transport;
  if (!isError || at + 8 > frame.length) return null;
  const [type, code] = [frame[at]!, frame[at + 1]!];
  if (ip.family === 4 ? !ERRORS4.includes(type) : type >= FIRST_INFORMATION) return null;
  const [inner, header] = [at + 8, ip.family === 4 ? 20 : 40];
  if (inner + header > frame.length || frame[inner]! >> 4 !== ip.family) return null;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  const protocol = frame[inner + (ip.family === 4 ? 9 : 6)]!;
  const isLater = ip.family === 4 && (view.getUint16(inner + 6) & 0x1fff) !== 0;
  const ports = inner + (ip.family === 4 ? (frame[inner]! & 15) * 4 : 40);
  if ((protocol !== TCP && protocol !== UDP) || isLater || ports + 4 > frame.length) return null;
  // An error has at least 8 bytes of what it quotes (RFC 792).
  if (ports + 8 > frame.length) throw new Unknown();
  const [source, size] = ip.family === 4 ? [inner + 12, 4] : [inner + 8, 16];
  return {
    ip,
    type,
    code,
    quoted: {
      protocol,
      source: hexOf(frame.subarray(source, source + size)),
      destination: hexOf(frame.subarray(source + size, source + 2 * size)),
      sourcePort: view.getUint16(ports),
      destinationPort: view.getUint16(ports + 2),
    },
  };
}
