/** ICMP messages that say that a packet of ours was too big (RFC 792, 1191, 4443). */
import type { Packet } from "./packet.ts";

/** What such a message tells. Reused: filled by `readTooBig`. */
export interface TooBig {
  /** Largest IP packet that the next link takes; 0 from routers that do not say (RFC 1191 section 4). */
  mtu: number;
  /** Of the packet that was too big. */
  sourcePort: number;
  seq: number;
}

/** Reads the message in `packet` (its IP header at `packet.ip`); false if it is cut or none. */
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
