/** Packets as the engine hands them over, and a naive reading of what arrives. */
import { parseAddress } from "../../src/config/address.ts";
import { ipHeaderLength, ipPair, pseudoChecksum, writeIpHeader } from "../../src/wire/ip.ts";
import { ACK, PSH } from "../../src/wire/tcp.ts";

export function bytesOf(text: string): Uint8Array {
  return parseAddress(text)!.bytes;
}

export interface Segment {
  source: string;
  destination: string;
  sourcePort: number;
  destinationPort: number;
  seq: number;
  ack?: number;
  flags?: number;
  /** TCP options, a multiple of 4 bytes. */
  options?: Uint8Array;
  payload?: Uint8Array;
  /** IPv4 identification. */
  id?: number;
}

/** The IP packet of a segment, with the pseudo-header sum in the checksum field as PacketBatch has it. */
export function buildPacket(segment: Segment): Uint8Array {
  const { options = new Uint8Array(0), payload = new Uint8Array(0) } = segment;
  const pair = ipPair(bytesOf(segment.source), bytesOf(segment.destination));
  const tcp = ipHeaderLength(pair.family);
  const headerLength = 20 + options.length;
  const tcpLength = headerLength + payload.length;
  const bytes = new Uint8Array(tcp + tcpLength);
  const view = new DataView(bytes.buffer);
  writeIpHeader(view, 0, pair, tcpLength, segment.id ?? 1);
  view.setUint16(tcp, segment.sourcePort);
  view.setUint16(tcp + 2, segment.destinationPort);
  view.setUint32(tcp + 4, segment.seq);
  view.setUint32(tcp + 8, segment.ack ?? 0);
  view.setUint8(tcp + 12, (headerLength / 4) << 4);
  view.setUint8(tcp + 13, segment.flags ?? ACK | PSH);
  view.setUint16(tcp + 14, 65535);
  view.setUint16(tcp + 16, pseudoChecksum(pair, tcpLength));
  bytes.set(options, tcp + 20);
  bytes.set(payload, tcp + headerLength);
  return bytes;
}

/** The complement of the one's complement sum of big-endian 16-bit words, the plainest way (RFC 1071). */
export function naiveChecksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += bytes[i]! * 256 + (bytes[i + 1] ?? 0);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return 0xffff - sum;
}

export interface TcpFrame {
  destinationMac: string;
  sourceMac: string;
  family: 4 | 6;
  /** IPv4 identification. */
  id: number;
  ipLength: number;
  sourcePort: number;
  destinationPort: number;
  seq: number;
  ack: number;
  flags: number;
  options: Uint8Array;
  payload: Uint8Array;
  /** Whether each is right. */
  ipChecksum: boolean;
  tcpChecksum: boolean;
}

function macText(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/** Reads an IP packet that carries TCP; null if it does not. */
export function tcpOfPacket(bytes: Uint8Array): TcpFrame | null {
  return tcpOf(Uint8Array.from([...new Uint8Array(14), ...bytes]), bytes[0]! >> 4 === 4 ? 0x0800 : 0x86dd);
}

/** Reads an Ethernet frame that carries TCP over IPv4 or IPv6 without extension headers; null if it does not. */
export function tcpOf(frame: Uint8Array, etherType = (frame[12]! << 8) | frame[13]!): TcpFrame | null {
  if (etherType !== 0x0800 && etherType !== 0x86dd) return null;
  const family = etherType === 0x0800 ? 4 : 6;
  const packet = frame.subarray(14);
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  const tcp = family === 4 ? (packet[0]! & 15) * 4 : 40;
  if (packet[family === 4 ? 9 : 6] !== 6) return null;
  const ipLength = family === 4 ? view.getUint16(2) : 40 + view.getUint16(4);
  const headerLength = (packet[tcp + 12]! >> 4) * 4;
  const addresses = family === 4 ? packet.subarray(12, 20) : packet.subarray(8, 40);
  const tcpLength = ipLength - tcp;
  const pseudo = Uint8Array.from([...addresses, 0, 6, tcpLength >> 8, tcpLength & 255]);
  return {
    destinationMac: macText(frame.subarray(0, 6)),
    sourceMac: macText(frame.subarray(6, 12)),
    family,
    id: family === 4 ? view.getUint16(4) : 0,
    ipLength,
    sourcePort: view.getUint16(tcp),
    destinationPort: view.getUint16(tcp + 2),
    seq: view.getUint32(tcp + 4),
    ack: view.getUint32(tcp + 8),
    flags: packet[tcp + 13]!,
    options: packet.slice(tcp + 20, tcp + headerLength),
    payload: packet.slice(tcp + headerLength, ipLength),
    ipChecksum: family === 6 || naiveChecksum(packet.subarray(0, tcp)) === 0,
    tcpChecksum: naiveChecksum(Uint8Array.from([...pseudo, ...packet.subarray(tcp, ipLength)])) === 0,
  };
}
