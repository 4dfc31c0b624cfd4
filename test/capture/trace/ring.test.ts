/** The ring between the reader of traces and the data plane. */
import { describe, expect, test } from "bun:test";
import { createTraceMemory, SMALLEST_RING, viewTraceMemory } from "../../../src/capture/trace/memory.ts";
import { RingWriter } from "../../../src/capture/trace/ring-writer.ts";
import { TraceRing } from "../../../src/capture/trace/trace-ring.ts";
import { address, EFD_NONBLOCK, libc } from "../../../src/native/libc.ts";
import { Packet } from "../../../src/wire/packet.ts";
import { ACK, FIN, PSH, SYN } from "../../../src/wire/tcp.ts";
import { packet } from "../../engine/packets.ts";

const BASE = { sourcePort: 5, destinationPort: 80, seq: 1000, flags: ACK | PSH };

function pair(wake = -1): { writer: RingWriter; ring: TraceRing; memory: SharedArrayBuffer } {
  const memory = createTraceMemory(SMALLEST_RING);
  return { writer: new RingWriter(viewTraceMemory(memory), wake), ring: new TraceRing(memory), memory };
}

function content(length: number, seed = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => index * 31 + seed);
}

const payloadOf = (packet: Packet): Uint8Array =>
  Uint8Array.from(packet.bytes.subarray(packet.payload, packet.end));

test("gives a record's fields", () => {
  const { writer, ring } = pair();
  const sent = packet({ ...BASE, payload: content(100), time: 1.7e15 + 0.25, think: 2 ** 33, index: 3 });
  sent.length = 150;
  expect(ring.peekTime()).toBe(Infinity);
  expect(ring.peekLoop()).toBe(-1);
  writer.write(sent, 2);
  expect(ring.isEmpty).toBe(true);
  writer.publish();
  expect(ring.peekTime()).toBe(1.7e15 + 0.25);
  expect(ring.peekLoop()).toBe(2);
  const read = new Packet(new Uint8Array(0));
  expect(ring.next(read)).toBe(true);
  expect(read).toMatchObject({
    time: 1.7e15 + 0.25,
    think: 2 ** 33,
    index: 3,
    length: 150,
    seq: 1000,
    flags: ACK | PSH,
  });
  expect(payloadOf(read)).toEqual(content(100));
  expect(ring.loop).toBe(2);
  expect(ring.next(read)).toBe(false);
  expect(ring.isEnd).toBe(false);
  writer.end();
  expect(ring.isEnd).toBe(true);
});

test("wraps around with records of all sizes", () => {
  const { writer, ring } = pair();
  const read = new Packet(new Uint8Array(0));
  let written = 0;
  for (let round = 0; written < SMALLEST_RING * 12; round++) {
    const payload = content((round * 7919) % 60_000, round);
    expect(writer.write(packet({ ...BASE, payload, time: round }), 0)).toBe(true);
    writer.publish();
    written += payload.length;
    expect(ring.next(read)).toBe(true);
    expect(read.time).toBe(round);
    if (Buffer.compare(payloadOf(read), payload) !== 0) throw new Error(`round ${round} differs`);
    ring.release();
  }
});

test("a drain ends at its limit, at its time and where another pass begins", () => {
  const { writer, ring } = pair();
  for (const [time, loop] of [
    [1, 0],
    [2, 0],
    [3, 0],
    [9, 0],
    [1, 1],
  ] as const) {
    writer.write(packet({ ...BASE, time }), loop);
  }
  writer.end();
  const seen: [number, number][] = [];
  const drain = (limit: number, before?: number) =>
    ring.drain((packet) => seen.push([packet.time, ring.loop]), limit, before);
  expect(drain(2)).toBe(2);
  expect(drain(10, 5)).toBe(1);
  expect(drain(10, 5)).toBe(0);
  expect(drain(10)).toBe(1);
  expect(ring.isEnd).toBe(false);
  expect(drain(10)).toBe(1);
  expect(seen).toEqual([
    [1, 0],
    [2, 0],
    [3, 0],
    [9, 0],
    [1, 1],
  ]);
  expect(ring.isEnd).toBe(true);
});

describe("a segment above 64 KiB", () => {
  test("becomes several, with sequence numbers and flags of their own", () => {
    const { writer, ring } = pair();
    const payload = content(150_000);
    writer.write(packet({ ...BASE, seq: 2 ** 32 - 10, flags: SYN | ACK | PSH | FIN, payload, think: 5 }), 0);
    writer.publish();
    const parts: Uint8Array[] = [];
    const heads: object[] = [];
    ring.drain((part) => {
      expect(part.end - part.ip).toBeLessThanOrEqual(65_535);
      heads.push({ seq: part.seq, flags: part.flags, think: part.think });
      parts.push(payloadOf(part));
    }, 10);
    expect(Buffer.compare(Buffer.concat(parts), payload)).toBe(0);
    const most = 65_535 - 40;
    expect(heads).toEqual([
      { seq: 2 ** 32 - 10, flags: SYN | ACK, think: 5 },
      { seq: most - 10 + 1, flags: ACK, think: -1 },
      { seq: 2 * most - 10 + 1, flags: ACK | PSH | FIN, think: -1 },
    ]);
  });

  test("that the capture has cut has its length on the wire", () => {
    const { writer, ring } = pair();
    const large = packet({ ...BASE, payload: content(1000) });
    large.length = 200_000;
    writer.write(large, 0);
    writer.publish();
    let length = 0;
    let captured = 0;
    ring.drain((part) => {
      length += part.length;
      captured += part.end - part.payload;
    }, 10);
    expect({ length, captured }).toEqual({ length: 200_000, captured: 1000 });
  });
});

test("wakes the consumer when it asks for that, and only then", () => {
  const wake = libc.eventfd(0, EFD_NONBLOCK);
  const count = new BigUint64Array(new ArrayBuffer(8));
  const woken = () => libc.read(wake, address(count), 8) === 8;
  try {
    const { writer, ring } = pair(wake);
    writer.write(packet(BASE), 0);
    writer.publish();
    expect(woken()).toBe(false);
    ring.drain(() => {}, 1);
    ring.setWaiting(true);
    writer.write(packet(BASE), 0);
    expect(woken()).toBe(false);
    writer.publish();
    expect(woken()).toBe(true);
    writer.write(packet(BASE), 0);
    writer.publish();
    expect(woken()).toBe(false);
    ring.setWaiting(true);
    writer.end();
    expect(woken()).toBe(true);
  } finally {
    libc.close(wake);
  }
});
