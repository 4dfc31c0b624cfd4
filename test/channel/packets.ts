/** Packets of a target, and what is left of them behind a channel. */
import { OPENING, REGISTRATION_BYTES, writeProof } from "../../src/channel/registration.ts";
import { Packet } from "../../src/wire/packet.ts";

export interface Fields {
  family?: 4 | 6;
  sourcePort?: number;
  destinationPort?: number;
  seq?: number;
  ack?: number;
  flags?: number;
  window?: number;
  /** A multiple of 4 bytes. */
  options?: number[];
  ipOptions?: number[];
  /** Bytes of payload on the wire, of which none is captured unless `payload` says so. */
  length?: number;
  payload?: number[];
}

/** The headers as a capture source hands them on, at an odd place in larger memory. */
export function makePacket(fields: Fields): Packet {
  const { family = 4, options = [], ipOptions = [], payload = [] } = fields;
  const ipHeader = (family === 4 ? 20 : 40) + ipOptions.length;
  const tcpHeader = 20 + options.length;
  const length = fields.length ?? payload.length;
  const ip = 13;
  const tcp = ip + ipHeader;
  const bytes = new Uint8Array(ip + ipHeader + tcpHeader + payload.length + 5).fill(0xee);
  const packet = new Packet(bytes);
  const { view } = packet;
  bytes.fill(0, ip, tcp + 20);
  if (family === 4) {
    bytes[ip] = 0x40 | (ipHeader / 4);
    view.setUint16(ip + 2, Math.min(65535, ipHeader + tcpHeader + length));
    bytes[ip + 8] = 64;
    bytes[ip + 9] = 6;
    bytes.set([10, 0, 0, 2], ip + 12);
    bytes.set([192, 0, 2, 7], ip + 16);
    bytes.set(ipOptions, ip + 20);
  } else {
    bytes[ip] = 0x60;
    view.setUint16(ip + 4, Math.min(65535, tcpHeader + length));
    bytes[ip + 6] = 6;
    bytes.set([0x20, 0x01, 0x0d, 0xb8], ip + 8);
    bytes.set([0x20, 0x01, 0x0d, 0xb8, 0, 1], ip + 24);
  }
  view.setUint16(tcp, fields.sourcePort ?? 8080);
  view.setUint16(tcp + 2, fields.destinationPort ?? 40000);
  view.setUint32(tcp + 4, fields.seq ?? 1);
  view.setUint32(tcp + 8, fields.ack ?? 2);
  bytes[tcp + 12] = (tcpHeader / 4) << 4;
  bytes[tcp + 13] = fields.flags ?? 0x10;
  view.setUint16(tcp + 14, fields.window ?? 65535);
  bytes.set(options, tcp + 20);
  bytes.set(payload, tcp + tcpHeader);
  packet.ip = ip;
  packet.tcp = tcp;
  packet.payload = tcp + tcpHeader;
  packet.end = packet.payload + payload.length;
  packet.length = length;
  packet.time = 5;
  packet.think = 7;
  packet.index = 9;
  return packet;
}

/** The headers as one would type them, IP and TCP apart. */
function hex(packet: Packet, from: number, to: number): string {
  return Buffer.from(packet.bytes.subarray(from, to)).toString("hex");
}

export interface Seen {
  ip: string;
  tcp: string;
  length: number;
}

/** All of a packet that a channel keeps. */
export function seen(packet: Packet): Seen {
  return {
    ip: hex(packet, packet.ip, packet.tcp),
    tcp: hex(packet, packet.tcp, Math.min(packet.payload, packet.end)),
    length: packet.length,
  };
}

/** A flow of IPv4 as `register` takes it. */
export function makeFlow(number: number): Uint8Array {
  const flow = new Uint8Array(36);
  const view = new DataView(flow.buffer);
  view.setUint32(0, 0xc0000200 + (number & 0xff));
  view.setUint32(16, 0x0a000002);
  view.setUint16(32, 1024 + (number % 60000));
  view.setUint16(34, 8080);
  return flow;
}

/** A row of REGISTER: the same flow, about to be opened, with a number of its own. */
export function makeRow(number: number): Uint8Array {
  const row = new Uint8Array(REGISTRATION_BYTES);
  row.set(makeFlow(number));
  writeProof(new DataView(row.buffer), 0, number, number, 0, OPENING);
  return row;
}
