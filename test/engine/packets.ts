/** Building and reading IPv4 TCP packets for the engine's tests. */
import { Packet } from "../../src/wire/packet.ts";
import { emptyOptions, parseOptions, type TcpOptions } from "../../src/wire/tcp.ts";

export interface Fields {
  source?: string;
  destination?: string;
  sourcePort: number;
  destinationPort: number;
  seq: number;
  ack?: number;
  flags: number;
  window?: number;
  options?: number[];
  payload?: Uint8Array;
  time?: number;
  think?: number;
  acksFar?: boolean;
  index?: number;
}

function bytesOf(address: string): number[] {
  return address.split(".").map(Number);
}

/** A captured packet as a source hands it to the engine. */
export function packet(fields: Fields): Packet {
  const options = fields.options ?? [];
  const payload = fields.payload ?? new Uint8Array(0);
  const header = 20 + options.length;
  const bytes = new Uint8Array(20 + header + payload.length);
  const view = new DataView(bytes.buffer);
  bytes[0] = 0x45;
  view.setUint16(2, bytes.length);
  bytes[9] = 6;
  bytes.set(bytesOf(fields.source ?? "10.0.0.9"), 12);
  bytes.set(bytesOf(fields.destination ?? "10.0.0.1"), 16);
  view.setUint16(20, fields.sourcePort);
  view.setUint16(22, fields.destinationPort);
  view.setUint32(24, fields.seq);
  view.setUint32(28, fields.ack ?? 0);
  bytes[32] = (header / 4) << 4;
  bytes[33] = fields.flags;
  view.setUint16(34, fields.window ?? 65535);
  bytes.set(options, 40);
  bytes.set(payload, 20 + header);
  const result = new Packet(bytes);
  result.tcp = 20;
  result.payload = 20 + header;
  result.end = bytes.length;
  result.length = payload.length;
  result.time = fields.time ?? 0;
  result.think = fields.think ?? -1;
  result.acksFar = fields.acksFar ?? false;
  result.index = fields.index ?? 0;
  return result;
}

/** A segment the engine sent. */
export interface Segment {
  /** As text. */
  source: string;
  destination: string;
  sourcePort: number;
  destinationPort: number;
  seq: number;
  ack: number;
  flags: number;
  window: number;
  options: TcpOptions;
  /** The options as they are on the wire. */
  optionBytes: Uint8Array;
  payload: Uint8Array;
}

/** Reads one row of a batch, cut as the kernel would cut it. */
export function segmentsOf(row: Uint8Array, segmentSize: number): Segment[] {
  const p = new Packet(row.slice());
  p.tcp = p.family === 4 ? 20 : 40;
  p.payload = p.tcp + p.headerLength;
  p.end = row.length;
  const options = emptyOptions();
  parseOptions(p, options);
  const whole = p.bytes.subarray(p.payload);
  const size = segmentSize || Math.max(1, whole.length);
  const result: Segment[] = [];
  for (let at = 0; at === 0 || at < whole.length; at += size) {
    const isLast = at + size >= whole.length;
    result.push({
      source: p.bytes.subarray(p.tcp - 8, p.tcp - 4).join("."),
      destination: p.bytes.subarray(p.tcp - 4, p.tcp).join("."),
      sourcePort: p.sourcePort,
      destinationPort: p.destinationPort,
      seq: (p.seq + at) >>> 0,
      ack: p.ack,
      flags: isLast ? p.flags : p.flags & ~0x09,
      window: p.window,
      options,
      optionBytes: p.bytes.subarray(p.tcp + 20, p.payload),
      payload: whole.subarray(at, at + size),
    });
  }
  return result;
}
