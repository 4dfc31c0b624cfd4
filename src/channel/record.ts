/**
 * Response records of xcopy's own protocol: `u32 bytes of the IP packet on the wire | u16 captured | u16 offset of the TCP
 * header`, then `captured` bytes from the IP header on, padded to 4.
 */
import { copyBytes } from "../wire/copy.ts";
import { IPPROTO_TCP } from "../wire/ip.ts";
import type { Packet } from "../wire/packet.ts";
import { IPPROTO_UDP } from "../wire/udp.ts";
import { addRow, RESPONSES } from "./frame.ts";
import type { Outgoing } from "./outgoing.ts";

const RECORD_HEADER = 8;
const LEAST_TCP_HEADER = 20;
/** What begins in place of a TCP header and has no more than this is UDP. */
const UDP_HEADER = 8;
/** Headers that we carry: IP with some options or extension headers, and the largest TCP header. */
const MOST_HEADERS = 256;

/** Least bytes before the TCP header of a packet whose first byte is `first`; 0 if it is neither IPv4 nor IPv6. */
function leastIpHeader(first: number): number {
  return first >> 4 === 4 ? 20 : first >> 4 === 6 ? 40 : 0;
}

/** Appends the headers of `packet`. False if it is none that can be carried: too many headers, or not all of TCP's. */
export function addRecord(out: Outgoing, packet: Packet): boolean {
  const { ip, tcp } = packet;
  const least = leastIpHeader(packet.bytes[ip]!);
  const captured = Math.min(packet.payload, packet.end) - ip;
  const offset = tcp - ip;
  const isDatagram = packet.payload - tcp === UDP_HEADER;
  const header = isDatagram ? UDP_HEADER : LEAST_TCP_HEADER;
  if (least === 0 || offset < least || captured < offset + header || captured > MOST_HEADERS) return false;
  const padded = (captured + 3) & ~3;
  const at = addRow(out, RESPONSES, RECORD_HEADER + padded);
  const { view } = out;
  // What lies in the padding from earlier is nobody's business.
  if (padded > captured) view.setUint32(at + RECORD_HEADER + padded - 4, 0);
  view.setUint32(at, offset + (isDatagram ? UDP_HEADER : packet.headerLength) + packet.length);
  view.setUint16(at + 4, captured);
  view.setUint16(at + 6, offset);
  copyBytes(packet.bytes, ip, captured, out.bytes, at + RECORD_HEADER);
  return true;
}

/**
 * Points `packet`, whose `bytes` and `view` are those that the record lies in, at the record at `at`; returns where the
 * next one begins. 0: it goes beyond `to`, the frame is worth nothing. The negative of where the next one begins: the
 * record holds no TCP segment.
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
  const isDatagram = captured === offset + UDP_HEADER;
  if (!isDatagram && captured < offset + LEAST_TCP_HEADER) return -next;
  const least = leastIpHeader(bytes[ip]!);
  const protocol = isDatagram ? IPPROTO_UDP : IPPROTO_TCP;
  if (least === 0 || offset < least || (least === 20 && bytes[ip + 9] !== protocol)) return -next;
  const headerLength = isDatagram ? UDP_HEADER : (bytes[tcp + 12]! >> 4) * 4;
  const length = wireLength - offset - headerLength;
  if (headerLength < UDP_HEADER || (!isDatagram && headerLength < LEAST_TCP_HEADER) || length < 0)
    return -next;
  packet.ip = ip;
  packet.tcp = tcp;
  packet.end = ip + captured;
  packet.payload = Math.min(tcp + headerLength, packet.end);
  packet.length = length;
  return next;
}
