/** What is read of a captured datagram: the client's flow, and what its copies keep of the headers. */
import type { Packet } from "../wire/packet.ts";
import type { DatagramHeader } from "../wire/udp.ts";
import { CLIENT_ADDRESS, CLIENT_PORTS, ONLINE_ADDRESS, SERVICE } from "./table.ts";

/** Third word of an IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2). */
export const MAPPED = 0xffff;

/** Writes the flow of a client's datagram into `key`; its COPY stays. */
export function readFlow(packet: Packet, key: Int32Array, service: number): void {
  readAddress(packet, 0, key, CLIENT_ADDRESS);
  readAddress(packet, 1, key, ONLINE_ADDRESS);
  key[CLIENT_PORTS] = packet.view.getInt32(packet.tcp);
  key[SERVICE] = service;
}

/** Writes the source (0) or destination (1) of the packet into `into` at `at`, as four words. */
export function readAddress(packet: Packet, which: 0 | 1, into: Int32Array, at: number): void {
  const { view, ip } = packet;
  if (packet.family === 4) {
    into[at] = 0;
    into[at + 1] = 0;
    into[at + 2] = MAPPED;
    into[at + 3] = view.getInt32(ip + 12 + 4 * which);
  } else {
    for (let i = 0; i < 4; i++) into[at + i] = view.getInt32(ip + 8 + 16 * which + 4 * i);
  }
}

/** Whether a packet was sent to a multicast address or to the limited broadcast address (RFC 1112, RFC 919, RFC 4291). */
export function isToGroup({ bytes, ip, family }: Packet): boolean {
  if (family === 6) return bytes[ip + 24] === 0xff;
  const first = bytes[ip + 16]!;
  return first >> 4 === 0xe || (first === 255 && bytes[ip + 19] === 255);
}

/** Reads what a copy keeps: time to live, DSCP and ECN, and whether there is a checksum. */
export function readIp({ bytes, view, ip, tcp }: Packet, header: DatagramHeader): void {
  if (bytes[ip]! >> 4 === 4) {
    header.trafficClass = bytes[ip + 1]!;
    header.ttl = bytes[ip + 8]!;
  } else {
    header.trafficClass = (view.getUint16(ip) >>> 4) & 0xff;
    header.ttl = bytes[ip + 7]!;
  }
  header.hasChecksum = view.getUint16(tcp + 6) !== 0;
}
