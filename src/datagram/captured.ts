/** Reading a captured datagram: the client's flow, and the header fields that its copies keep. */
import { DESTINATION, readAddress, SOURCE } from "../wire/address-words.ts";
import type { Packet } from "../wire/packet.ts";
import type { DatagramHeader } from "../wire/udp.ts";
import { CLIENT_ADDRESS, CLIENT_PORTS, ONLINE_ADDRESS, SERVICE } from "./table.ts";

/** Writes the flow of a client's datagram into `key`, except COPY. */
export function readFlow(packet: Packet, key: Int32Array, service: number): void {
  readAddress(packet, SOURCE, key, CLIENT_ADDRESS);
  readAddress(packet, DESTINATION, key, ONLINE_ADDRESS);
  key[CLIENT_PORTS] = packet.view.getInt32(packet.tcp);
  key[SERVICE] = service;
}

/** The same of a datagram that the service has sent to the client. */
export function readFlowOfAnswer(packet: Packet, key: Int32Array, service: number): void {
  readAddress(packet, DESTINATION, key, CLIENT_ADDRESS);
  readAddress(packet, SOURCE, key, ONLINE_ADDRESS);
  const ports = packet.view.getInt32(packet.tcp);
  key[CLIENT_PORTS] = (ports << 16) | (ports >>> 16);
  key[SERVICE] = service;
}

/** Whether a packet was sent to a multicast address or to the limited broadcast address (RFC 1112, RFC 919, RFC 4291). */
export function isToGroup({ bytes, ip, family }: Packet): boolean {
  if (family === 6) return bytes[ip + 24] === 0xff;
  const first = bytes[ip + 16]!;
  return first >> 4 === 0xe || (first === 255 && bytes[ip + 19] === 255);
}

/** Reads what a copy keeps: TTL or hop limit, DSCP and ECN, and whether there is a UDP checksum. */
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
