/** Reading the ICMP messages "fragmentation needed" and "packet too big" (RFC 792, 1191, 4443). */
import type { Packet } from "./packet.ts";

/** The content of such a message. Reused: filled by `readTooBig`. */
export interface TooBig {
  /** MTU of the next link, bytes; 0 from old routers (RFC 1191 section 4). */
  mtu: number;
  /** Source port of the packet that was too big. */
  sourcePort: number;
  /** Sequence number of the packet that was too big. */
  seq: number;
}

/** Reads the message in `packet` (its IP header is at `packet.ip`); false if the captured bytes are too few. */
export function readTooBig(packet: Packet, into: TooBig): boolean {
  const { bytes, view, ip, end } = packet;
  const isIpv4 = packet.family === 4;
  const icmp = ip + (isIpv4 ? (bytes[ip]! & 15) * 4 : 40);
  const quoted = icmp + 8;
  if (quoted + 20 > end) return false;
  const tcp = quoted + (isIpv4 ? (bytes[quoted]! & 15) * 4 : 40);
  if (tcp + 8 > end) return false;
  into.mtu = isIpv4 ? view.getUint16(icmp + 6) : view.getUint32(icmp + 4);
  into.sourcePort = view.getUint16(tcp);
  into.seq = view.getUint32(tcp + 4);
  return true;
}
