/**
 * The wire format between tcpcopy 1.x and intercept 1.x (their tc_msg.h), in network order: messages of fixed sizes
 * without framing. IPv4 only, no key, no keepalive messages.
 *
 * Copy to intercept, 14 bytes each: client address 4, client port 2, type 2, target address 4, target port 2. The first
 * one is a hello: all zero but for the version in the type.
 *
 * Intercept to copy, 64 bytes each: the first 20 bytes of the IP header, 20 of the TCP header, 24 of TCP options. An
 * intercept 1.x copies the IP header as it is: the options that its length may announce are missing. Combined, which is
 * the default there, up to 16 records follow a 2-byte count.
 */
import { Failure } from "../native/failure.ts";
import { copyBytes } from "../wire/copy.ts";
import type { Packet } from "../wire/packet.ts";
import { FLOW_BYTES } from "./contract.ts";

export const COMPAT_VERSION = 6;
export const CLIENT_ADD = 1;
export const CLIENT_DELETE = 2;
export const COMPAT_MESSAGE = 14;
export const COMPAT_RECORD = 64;
export const COMPAT_COMBINED = 16;

const IP_HEADER = 20;
const TCP_HEADER = 20;
const MOST_OPTIONS = 24;
const MOST_LENGTH = 65535;

/** Throws a Failure (exit code 2) for an address, 4 or 16 bytes, that the format cannot carry; `text`: as the user wrote it. */
export function checkCompatAddress(address: Uint8Array, text: string): void {
  if (address.length === 4) return;
  throw new Failure(
    `Cannot use "${text}" with --compat: the format of tcpcopy 1.x carries IPv4 only`,
    "Leave --compat out and run xcopy on both hosts, or name an IPv4 address.",
    2,
  );
}

/** Writes the hello at `at`. */
export function writeCompatHello(view: DataView, at: number): void {
  for (let i = 0; i < COMPAT_MESSAGE; i += 2) view.setUint16(at + i, 0);
  view.setUint16(at + 6, COMPAT_VERSION);
}

/** The version in a hello; 0 if it is none. */
export function readCompatHello(view: DataView, at: number): number {
  const isZero = view.getUint32(at) === 0 && view.getUint16(at + 4) === 0;
  return isZero && view.getUint32(at + 8) === 0 && view.getUint16(at + 12) === 0 ? view.getUint16(at + 6) : 0;
}

/** Whether both addresses of a flow are IPv4: see contract.ts. */
export function isCompatFlow(flow: Uint8Array, at: number): boolean {
  for (let i = 4; i < 16; i++) if (flow[at + i] !== 0 || flow[at + 16 + i] !== 0) return false;
  return true;
}

/** Writes the message that registers the flow. */
export function writeCompatAdd(flow: Uint8Array, at: number, into: Uint8Array, to: number): void {
  copyBytes(flow, at, 4, into, to);
  copyBytes(flow, at + 32, 2, into, to + 4);
  into[to + 6] = 0;
  into[to + 7] = CLIENT_ADD;
  copyBytes(flow, at + 16, 4, into, to + 8);
  copyBytes(flow, at + 34, 2, into, to + 12);
}

/** Writes the flow that a message registers. */
export function readCompatAdd(bytes: Uint8Array, at: number, flow: Uint8Array, to: number): void {
  flow.fill(0, to, to + FLOW_BYTES);
  copyBytes(bytes, at, 4, flow, to);
  copyBytes(bytes, at + 4, 2, flow, to + 32);
  copyBytes(bytes, at + 8, 4, flow, to + 16);
  copyBytes(bytes, at + 12, 2, flow, to + 34);
}

/** Whether the format can carry a packet: IPv4, all of the TCP header but its options, no more than IPv4's length says. */
export function isCompatPacket(packet: Packet): boolean {
  const { ip, tcp } = packet;
  if (packet.family !== 4 || tcp - ip < IP_HEADER || packet.end - tcp < TCP_HEADER) return false;
  return packet.headerLength >= TCP_HEADER && IP_HEADER + packet.headerLength + packet.length <= MOST_LENGTH;
}

/** Bytes of whole options that fit into a record. */
function optionsLength(packet: Packet): number {
  const { bytes } = packet;
  const begin = packet.tcp + TCP_HEADER;
  const end = Math.min(packet.tcp + packet.headerLength, packet.end);
  if (packet.headerLength <= TCP_HEADER + MOST_OPTIONS && packet.tcp + packet.headerLength <= packet.end) {
    return end - begin;
  }
  let at = begin;
  while (at < end && bytes[at] !== 0) {
    const length = bytes[at] === 1 ? 1 : at + 1 < end ? bytes[at + 1]! : 0;
    if (length === 0 || at + length > end || at + length - begin > MOST_OPTIONS) break;
    at += length;
  }
  return at - begin;
}

/**
 * Writes the record of `packet`, for which `isCompatPacket` holds. Its lengths are those of the record: IP options, and
 * TCP options that do not fit, are left out of them. The checksums are those of the packet.
 */
export function writeCompatRecord(packet: Packet, into: Uint8Array, view: DataView, at: number): void {
  const options = optionsLength(packet);
  const headerLength = TCP_HEADER + ((options + 3) & ~3);
  copyBytes(packet.bytes, packet.ip, IP_HEADER, into, at);
  copyBytes(packet.bytes, packet.tcp, TCP_HEADER + options, into, at + IP_HEADER);
  into.fill(0, at + IP_HEADER + TCP_HEADER + options, at + COMPAT_RECORD);
  into[at] = 0x45;
  view.setUint16(at + 2, IP_HEADER + headerLength + packet.length);
  into[at + IP_HEADER + 12] = (headerLength << 2) | (into[at + IP_HEADER + 12]! & 0x0f);
}

/**
 * Points `packet`, whose `bytes` and `view` are those that the record lies in, at the IPv4 record at `at`. False if its lengths
 * cannot be right. Of a TCP header with more options than fit the rest is missing.
 */
export function readCompatRecord(packet: Packet, at: number): boolean {
  const { bytes, view } = packet;
  const tcp = at + IP_HEADER;
  const ipHeader = (bytes[at]! & 0x0f) * 4;
  const headerLength = (bytes[tcp + 12]! >> 4) * 4;
  const length = view.getUint16(at + 2) - ipHeader - headerLength;
  if (ipHeader < IP_HEADER || headerLength < TCP_HEADER || length < 0) return false;
  packet.ip = at;
  packet.tcp = tcp;
  packet.end = Math.min(tcp + headerLength, at + COMPAT_RECORD);
  packet.payload = packet.end;
  packet.length = length;
  return true;
}
