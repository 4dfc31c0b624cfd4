/**
 * Response records of xcopy's own protocol: `u32 bytes of the IP packet on the wire | u16 captured | u16 offset of the TCP
 * header`, then `captured` bytes from the IP header on, padded to 4.
 */
import { copyBytes } from "../wire/copy.ts";
import { IPPROTO_TCP } from "../wire/ip.ts";
import type { Packet } from "../wire/packet.ts";
import { FIN, PSH } from "../wire/tcp.ts";
import { IPPROTO_UDP, isDatagram, UDP_HEADER } from "../wire/udp.ts";
import { addRow, RESPONSES } from "./frame.ts";
import type { Outgoing } from "./outgoing.ts";

const RECORD_HEADER = 8;
const LEAST_TCP_HEADER = 20;
/** Headers that we carry: IP with some options or extension headers, and the largest TCP header. */
const MOST_HEADERS = 256;
/** Payload of one record: with its headers it fits into a frame of rows. */
const MOST_PAYLOAD = 16_000;

/** Least bytes before the TCP header of a packet whose first byte is `first`; 0 if it is neither IPv4 nor IPv6. */
function leastIpHeader(first: number): number {
  return first >> 4 === 4 ? 20 : first >> 4 === 6 ? 40 : 0;
}

/**
 * Appends the headers of `packet`, and `withPayload` the captured payload of a segment: in several records if it is too long
 * for one, as if the segment had been cut on the wire. False if the packet cannot be carried: its headers are too long, or
 * not complete.
 */
export function addRecord(out: Outgoing, packet: Packet, withPayload = false): boolean {
  const { ip, tcp } = packet;
  const least = leastIpHeader(packet.bytes[ip]!);
  const headers = Math.min(packet.payload, packet.end) - ip;
  const offset = tcp - ip;
  const transport = isDatagram(packet) ? UDP_HEADER : LEAST_TCP_HEADER;
  if (least === 0 || offset < least || headers < offset + transport || headers > MOST_HEADERS) {
    return false;
  }
  // No copy reads the payload of a datagram: its record ends with the header.
  const isRead = withPayload && !isDatagram(packet);
  const payload = isRead ? Math.min(packet.end - packet.payload, packet.length) : 0;
  if (payload <= 0) {
    addPart(out, packet, headers, 0, 0, packet.length);
    return true;
  }
  for (let from = 0; from < payload; from += MOST_PAYLOAD) {
    const count = Math.min(MOST_PAYLOAD, payload - from);
    const isLast = from + count === payload;
    addPart(out, packet, headers, from, count, isLast ? packet.length - from : count);
    if (!isLast) clearEnd(out, offset);
  }
  return true;
}

/** Where the record that was added last begins. */
let added = 0;

/** Adds headers and `count` bytes of the payload from `from` on, as a segment of `length` bytes. */
function addPart(
  out: Outgoing,
  packet: Packet,
  headers: number,
  from: number,
  count: number,
  length: number,
): void {
  const offset = packet.tcp - packet.ip;
  const padded = (headers + count + 3) & ~3;
  const at = addRow(out, RESPONSES, RECORD_HEADER + padded);
  const { view } = out;
  added = at;
  // The padding is cleared: it may hold bytes of earlier frames.
  if (padded > headers + count) view.setUint32(at + RECORD_HEADER + padded - 4, 0);
  view.setUint32(at, offset + (isDatagram(packet) ? UDP_HEADER : packet.headerLength) + length);
  view.setUint16(at + 4, headers + count);
  view.setUint16(at + 6, offset);
  const to = at + RECORD_HEADER;
  copyBytes(packet.bytes, packet.ip, headers, out.bytes, to);
  if (count === 0) return;
  copyBytes(packet.bytes, packet.payload + from, count, out.bytes, to + headers);
  if (from > 0) view.setUint32(to + offset + 4, packet.seq + from);
}

/** Clears FIN and PSH in the record that was added last: only the last part of a segment has them. */
function clearEnd(out: Outgoing, offset: number): void {
  out.bytes[added + RECORD_HEADER + offset + 13]! &= ~(FIN | PSH);
}

/**
 * Points `packet`, whose `bytes` and `view` are those that the record lies in, at the record at `at`; returns where the
 * next one begins. 0: it goes beyond `to`, the frame is invalid. The negative of where the next one begins: the record
 * holds neither a TCP segment nor a UDP header.
 */
export function readRecord(packet: Packet, at: number, to: number): number {
  const { bytes, view } = packet;
  if (to - at < RECORD_HEADER) return 0;
  const wireLength = view.getUint32(at);
  const captured = view.getUint16(at + 4);
  const offset = view.getUint16(at + 6);
  const ip = at + RECORD_HEADER;
  const next = ip + ((captured + 3) & ~3);
  if (next > to) return 0;
  const tcp = ip + offset;
  const isUdp = captured === offset + UDP_HEADER;
  if (!isUdp && captured < offset + LEAST_TCP_HEADER) return -next;
  const least = leastIpHeader(bytes[ip]!);
  const protocol = isUdp ? IPPROTO_UDP : IPPROTO_TCP;
  if (least === 0 || offset < least || (least === 20 && bytes[ip + 9] !== protocol)) return -next;
  const headerLength = isUdp ? UDP_HEADER : (bytes[tcp + 12]! >> 4) * 4;
  const length = wireLength - offset - headerLength;
  if (headerLength < UDP_HEADER || (!isUdp && headerLength < LEAST_TCP_HEADER) || length < 0) return -next;
  packet.ip = ip;
  packet.tcp = tcp;
  packet.end = ip + captured;
  packet.payload = Math.min(tcp + headerLength, packet.end);
  packet.length = length;
  return next;
}
