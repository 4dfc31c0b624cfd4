/** BPF rings, one and several merged, over memory written as the kernel writes it. */
import { afterEach, describe, expect, test } from "bun:test";
import { Ring } from "../../src/capture/ring.ts";
import { RingSet } from "../../src/capture/ring-set.ts";
import { PAGE_SIZE } from "../../src/native/page.ts";
import { Packet } from "../../src/wire/packet.ts";
import { FakeRing } from "./fake-ring.ts";

const CAPACITY = PAGE_SIZE * 2;
const rings: FakeRing[] = [];

afterEach(() => {
  for (const ring of rings.splice(0)) ring.close();
});

function fake(start = 0n): FakeRing {
  const ring = new FakeRing(CAPACITY, start);
  rings.push(ring);
  return ring;
}

function readerOf(ring: FakeRing): Ring {
  return new Ring(ring.fd, CAPACITY);
}

function bytes(length: number, seed = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => index * 31 + seed);
}

function payloadOf(packet: Packet): Uint8Array {
  return packet.bytes.slice(packet.payload, packet.end);
}

describe("one ring", () => {
  test("gives a record's fields", () => {
    const ring = fake();
    const reader = readerOf(ring);
    const packet = new Packet(new Uint8Array(0));
    ring.add(2 ** 33 + 7, bytes(100), { think: 1234, index: 3 });
    reader.refresh();
    expect(reader.peekTime()).toBe(2 ** 33 + 7);
    expect(reader.next(packet)).toBe(true);
    expect(packet).toMatchObject({ time: 2 ** 33 + 7, think: 1234, index: 3, length: 100 });
    expect([packet.tcp - packet.ip, packet.payload - packet.ip, packet.end - packet.ip]).toEqual([
      20, 40, 140,
    ]);
    expect(packet.family).toBe(4);
    expect(payloadOf(packet)).toEqual(bytes(100));
    expect(reader.next(packet)).toBe(false);
    expect(reader.peekTime()).toBe(Infinity);
  });

  test("tells marks from the index, which is none where the program asks nobody whose a packet is", () => {
    const ring = fake();
    const reader = readerOf(ring);
    const packet = new Packet(new Uint8Array(0));
    for (const index of [0x10000003, 0x08000003, 0xffffffff]) ring.add(1, bytes(9), { index });
    reader.refresh();
    const read = () => {
      reader.next(packet);
      return [packet.index, packet.isVerified, packet.acksFar];
    };
    expect([read(), read(), read()]).toEqual([
      [3, true, false],
      [3, false, true],
      [0xffffffff, false, false],
    ]);
  });

  test("says -1 for an unknown think time", () => {
    const ring = fake();
    const reader = readerOf(ring);
    const packet = new Packet(new Uint8Array(0));
    ring.add(1, bytes(1));
    reader.refresh();
    reader.next(packet);
    expect(packet.think).toBe(-1);
  });

  test("ends where the kernel was at the last refresh", () => {
    const ring = fake();
    const reader = readerOf(ring);
    ring.add(1, bytes(1));
    expect(reader.peekTime()).toBe(Infinity);
    reader.refresh();
    expect(reader.peekTime()).toBe(1);
  });

  test("gives memory back only at release", () => {
    const ring = fake();
    const reader = readerOf(ring);
    ring.add(1, bytes(100));
    reader.refresh();
    reader.next(new Packet(new Uint8Array(0)));
    expect(ring.consumed).toBe(0n);
    expect(reader.unreleased).toBe(Number(ring.produced));
    reader.release();
    expect(ring.consumed).toBe(ring.produced);
    expect(reader.unreleased).toBe(0);
  });

  test("stops at a record that is being written", () => {
    const ring = fake();
    const reader = readerOf(ring);
    const packet = new Packet(new Uint8Array(0));
    ring.add(1, bytes(1));
    const busy = ring.add(2, bytes(2), { busy: true });
    ring.add(3, bytes(3));
    reader.refresh();
    expect(reader.next(packet)).toBe(true);
    expect(reader.next(packet)).toBe(false);
    reader.release();
    expect(ring.consumed).toBe(busy);
    ring.finish(busy);
    expect(reader.next(packet)).toBe(true);
    expect(packet.time).toBe(2);
    expect(reader.next(packet)).toBe(true);
    expect(packet.time).toBe(3);
  });

  test("skips discarded records", () => {
    const ring = fake();
    const reader = readerOf(ring);
    const packet = new Packet(new Uint8Array(0));
    ring.discard(ring.add(1, bytes(10)));
    ring.discard(ring.add(2, bytes(20)));
    ring.add(3, bytes(30));
    ring.discard(ring.add(4, bytes(40)));
    reader.refresh();
    expect(reader.next(packet)).toBe(true);
    expect(packet.time).toBe(3);
    expect(reader.next(packet)).toBe(false);
    reader.release();
    expect(ring.consumed).toBe(ring.produced);
  });

  // Records of changing sizes cross the end of the ring at every alignment; positions cross 2^32 and more.
  test.each([0n, 2n ** 32n - 4096n, 2n ** 33n - 40n, 2n ** 50n])("wraps around from position %d", (start) => {
    const ring = fake(start);
    const reader = readerOf(ring);
    const packet = new Packet(new Uint8Array(0));
    for (let round = 0; round < 400; round++) {
      const payload = bytes(1 + ((round * 37) % 900), round);
      ring.add(round, payload);
      ring.add(round, bytes(3, round));
      reader.refresh();
      expect(reader.next(packet)).toBe(true);
      expect(packet.time).toBe(round);
      expect(payloadOf(packet)).toEqual(payload);
      expect(reader.next(packet)).toBe(true);
      expect(payloadOf(packet)).toEqual(bytes(3, round));
      reader.release();
      expect(ring.consumed).toBe(ring.produced);
    }
    expect(ring.produced - start).toBeGreaterThan(BigInt(CAPACITY) * 20n);
  });
});

describe("the rings of all CPUs", () => {
  function times(set: RingSet, limit = 1000): number[] {
    const seen: number[] = [];
    const count = set.drain((packet) => seen.push(packet.time), limit);
    expect(count).toBe(seen.length);
    return seen;
  }

  function setOf(sources: FakeRing[]): RingSet {
    return new RingSet(
      sources.map(({ fd }) => fd),
      CAPACITY,
    );
  }

  test("are merged by capture time", () => {
    const sources = [fake(), fake(), fake(), fake()];
    const set = setOf(sources);
    for (const time of [5, 9, 10]) sources[0]!.add(time, bytes(9));
    for (const time of [1, 2, 3, 11, 12]) sources[2]!.add(time, bytes(9));
    for (const time of [4, 6, 7, 8]) sources[3]!.add(time, bytes(9));
    expect(times(set)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    for (const source of sources) expect(source.consumed).toBe(source.produced);
    expect(times(set)).toEqual([]);
  });

  test("leave what is later than a time for the next call, on every CPU", () => {
    const sources = [fake(), fake()];
    const set = setOf(sources);
    for (const time of [1, 4, 6]) sources[0]!.add(time, bytes(9));
    for (const time of [3, 5]) sources[1]!.add(time, bytes(9));
    const seen: number[] = [];
    expect(set.drain((packet) => seen.push(packet.time), 1000, 4)).toBe(3);
    expect(seen).toEqual([1, 3, 4]);
    expect(set.isEmpty).toBe(false);
    expect(times(set)).toEqual([5, 6]);
  });

  test("give no more than the limit, and go on there", () => {
    const sources = [fake(), fake()];
    const set = setOf(sources);
    for (const time of [1, 3, 5, 7]) sources[0]!.add(time, bytes(9));
    for (const time of [2, 4, 6]) sources[1]!.add(time, bytes(9));
    expect(times(set, 3)).toEqual([1, 2, 3]);
    expect(times(set, 1)).toEqual([4]);
    expect(times(set, 0)).toEqual([]);
    expect(times(set, 9)).toEqual([5, 6, 7]);
  });

  test("do not wait for a CPU that is writing a record", () => {
    const sources = [fake(), fake()];
    const set = setOf(sources);
    const busy = sources[0]!.add(1, bytes(9), { busy: true });
    sources[1]!.add(2, bytes(9));
    expect(times(set)).toEqual([2]);
    expect(set.isEmpty).toBe(true);
    sources[0]!.finish(busy);
    expect(set.isEmpty).toBe(false);
    expect(times(set)).toEqual([1]);
  });

  test("are empty with only discarded records, whose memory is released then", () => {
    const sources = [fake(), fake()];
    const set = setOf(sources);
    expect(set.isEmpty).toBe(true);
    sources[0]!.discard(sources[0]!.add(1, bytes(9)));
    expect(set.isEmpty).toBe(true);
    expect(sources[0]!.consumed).toBe(sources[0]!.produced);
  });

  test("say when one of them fills up", () => {
    const sources = [fake(), fake()];
    const set = setOf(sources);
    const size = sources[0]!.capacity;
    sources[0]!.add(1, bytes(100));
    set.drain(() => {}, 10);
    expect(set.isFilling).toBe(false);
    sources[1]!.add(2, bytes(Math.floor(size / 3)));
    set.drain(() => {}, 10);
    expect(set.isFilling).toBe(true);
    set.drain(() => {}, 10);
    expect(set.isFilling).toBe(false);
  });

  test("give no more bytes than asked for, and a packet", () => {
    const source = fake();
    const set = setOf([source]);
    for (let count = 0; count < 4; count++) source.add(count, bytes(460));
    const seen: number[] = [];
    const drain = () => set.drain((packet) => seen.push(packet.time), 10, Infinity, 600);
    expect([drain(), drain(), drain()]).toEqual([2, 2, 0]);
    expect(seen).toEqual([0, 1, 2, 3]);
  });

  test("tell the time of the oldest record, and whether one of them is more than half full, before they are read", () => {
    const sources = [fake(), fake()];
    const set = setOf(sources);
    expect([set.oldest, set.isCrowded]).toEqual([Infinity, false]);
    sources[1]!.add(7, bytes(100));
    sources[0]!.add(9, bytes(Math.floor(sources[0]!.capacity / 2) - 200));
    expect([set.oldest, set.isCrowded]).toEqual([7, false]);
    sources[0]!.add(11, bytes(200));
    expect([set.oldest, set.isCrowded]).toEqual([7, true]);
    expect(times(set)).toEqual([9, 7, 11]);
    expect([set.oldest, set.isCrowded]).toEqual([Infinity, false]);
  });

  test("are read out of order where one is more than half full, down to that", () => {
    const sources = [fake(), fake()];
    const set = setOf(sources);
    const third = Math.floor(sources[0]!.capacity / 3);
    sources[0]!.add(1, bytes(100));
    sources[1]!.add(2, bytes(third));
    sources[1]!.add(3, bytes(third));
    expect(times(set)).toEqual([2, 1, 3]);
  });

  test("get their memory back during a long drain", () => {
    const source = fake();
    const set = setOf([source]);
    for (let count = 0; count < 4; count++) source.add(count, bytes(1500));
    let atLast = 0n;
    set.drain(() => {
      atLast = source.consumed;
    }, 10);
    expect(atLast).toBeGreaterThan(0n);
  });
});
