/** Which packet gets into which file and when, and what files say about packets that are not in them. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WallClock } from "../../src/record/clock.ts";
import { Files, openFile } from "../../src/record/files.ts";
import { Recorder, type RecorderOptions } from "../../src/record/recorder.ts";
import { Packet } from "../../src/wire/packet.ts";
import { fc } from "../config/seed.ts";
import { type PcapngFile, readPcapng } from "../support/pcapng.ts";
import { seeded } from "../support/seed.ts";

const SECOND = 1_000_000;
const OUTGOING = 0x80000000;
const DESCRIPTION = {
  hardware: "a machine",
  os: "an OS",
  application: "xcopy",
  comments: ["what it is"],
  filter: "tcp dst port 80",
  snaplen: 0,
};

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "xcopy-recorder-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

interface Bench {
  recorder: Recorder;
  /** Moves the clock on, and does what is due. */
  pass(us: number): void;
  put(bytes: number, from?: Partial<Packet>): void;
  lose(ifindex: number, packets: number): void;
  setClock(us: number): void;
  finish(): PcapngFile[];
  read(): PcapngFile[];
}

function bench(some: Partial<RecorderOptions> = {}, { compressed = false, rotates = true } = {}): Bench {
  const state = { now: 10 * SECOND, realtime: 1.7e15 };
  const lost = new Map<number, number>();
  const options = { path: join(directory, "cap.pcapng"), rotates, compressed, overwrite: true, keep: 0 };
  const files = new Files(options, openFile(options, new Date(0), null));
  const clock = new WallClock({
    monotonic: () => state.now,
    realtime: () => state.realtime + state.now,
  });
  const recorder = new Recorder(
    {
      description: DESCRIPTION,
      interfaces: [
        { ifindex: 7, name: "front" },
        { ifindex: 9, name: "back" },
      ],
      saysDirection: false,
      rotateBytes: Number.POSITIVE_INFINITY,
      rotateTime: Number.POSITIVE_INFINITY,
      mostPackets: Number.POSITIVE_INFINITY,
      mostBytes: Number.POSITIVE_INFINITY,
      ...some,
    },
    files,
    clock,
    {
      lostOf: (ifindex) => lost.get(ifindex) ?? 0,
      counts: () => ({ "no room": [...lost.values()].reduce((sum, count) => sum + count, 0) }),
    },
    state.now,
  );
  const memory = new Uint8Array(70_000);
  const packet = new Packet(memory);
  let count = 0;
  const read = () =>
    readdirSync(directory)
      .sort()
      .map((name) => readPcapng(join(directory, name)));
  return {
    recorder,
    pass(us) {
      state.now += us;
      recorder.advance(state.now);
    },
    put(bytes, from = {}) {
      // Every packet is another: its number stands in front.
      packet.view.setUint32(0, count++);
      const rest = { ip: 0, tcp: 20, payload: 40, end: bytes, length: bytes - 40, time: state.now };
      Object.assign(packet, rest, { index: 0, ifindex: 7 }, from);
      recorder.packet(packet);
    },
    lose: (ifindex, packets) => void lost.set(ifindex, (lost.get(ifindex) ?? 0) + packets),
    setClock: (us) => {
      state.realtime += us;
    },
    finish() {
      recorder.finish(state.now);
      return read();
    },
    read,
  };
}

const numbersIn = (files: PcapngFile[]) =>
  files.flatMap(({ packets }) => packets.map(({ bytes }) => new DataView(bytes.buffer).getUint32(0)));
const upTo = (count: number) => Array.from({ length: count }, (_, number) => number);

test("a packet is what was captured, with the time of day and its length on the wire", () => {
  const { put, pass, finish } = bench();
  put(60);
  pass(1500);
  put(100, { length: 1000, index: OUTGOING, ifindex: 9 });
  const [file] = finish();
  expect(file!.interfaces.map(({ name }) => name)).toEqual(["front", "back"]);
  expect(
    file!.packets.map((packet) => [packet.interface, packet.time, packet.length, packet.bytes.length]),
  ).toEqual([
    [0, 1.7e15 + 10 * SECOND, 60, 60],
    [1, 1.7e15 + 10 * SECOND + 1500, 1040, 100],
  ]);
  expect(file!.packets.map(({ flags }) => flags)).toEqual([null, null]);
  expect(file!.comments).toEqual(["what it is"]);
});

test("with both directions each packet has its direction", () => {
  const { recorder, put, finish } = bench({ saysDirection: true });
  put(60);
  put(60, { index: OUTGOING | 3, ifindex: 9 });
  // As the ring reads it: without a sign.
  put(60, { index: (OUTGOING | 3) >>> 0 });
  expect(finish()[0]!.packets.map(({ flags }) => flags)).toEqual([1, 1, 2]);
  expect(recorder.outgoing).toBe(1);
});

test("a packet is in the file after at most a second", () => {
  const { put, pass, read, recorder } = bench();
  pass(0);
  pass(SECOND);
  put(100);
  pass(1);
  expect(read()[0]!.packets.length).toBe(0);
  expect(recorder.written).toBe(0);
  pass(SECOND);
  expect(read()[0]!.packets.length).toBe(1);
  expect(recorder.written).toBe(1);
});

test("files rotate by size without losing a packet, and none exceeds it", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 60, max: 65_535 }), { maxLength: 60 }),
      fc.constantFrom(100_000, 250_000),
      (sizes, rotateBytes) => {
        for (const name of readdirSync(directory)) rmSync(join(directory, name));
        const { put, pass, finish } = bench({ rotateBytes });
        for (const size of sizes) {
          put(size);
          pass(size);
        }
        const files = finish();
        expect(numbersIn(files)).toEqual(upTo(sizes.length));
        for (const file of files) expect(file.rest).toBe(0);
        for (const name of readdirSync(directory)) {
          expect(statSync(join(directory, name)).size).toBeLessThanOrEqual(rotateBytes);
        }
        // As few as there can be: two neighbours would not have fit into one.
        const bytes = files.map(({ packets }) => packets.reduce((sum, { length }) => sum + length + 36, 0));
        for (const [index, size] of bytes.slice(1).entries()) {
          expect(size + bytes[index]!).toBeGreaterThan(rotateBytes - 4096);
        }
      },
    ),
    seeded(40),
  );
});

test("compressed files rotate by their compressed size", () => {
  const { put, pass, finish } = bench({ rotateBytes: 100_000 }, { compressed: true });
  for (let count = 0; count < 3000; count++) {
    put(1500);
    if (count % 100 === 0) pass(SECOND / 10);
  }
  const files = finish();
  expect(numbersIn(files)).toEqual(upTo(3000));
  expect(files.every(({ rest }) => rest === 0)).toBe(true);
});

test("files rotate by time, but not while they are empty", () => {
  const { put, pass, finish } = bench({ rotateTime: 60 * SECOND });
  put(100);
  pass(59 * SECOND);
  put(100);
  pass(2 * SECOND);
  pass(600 * SECOND);
  put(100);
  pass(1);
  put(100);
  const files = finish();
  expect(files.map(({ packets }) => packets.length)).toEqual([2, 1, 1]);
});

test("every file tells what was lost while it was written, by interface", () => {
  const { put, pass, lose, finish } = bench({ rotateTime: 60 * SECOND });
  put(100);
  lose(7, 3);
  pass(61 * SECOND);
  put(100);
  lose(7, 2);
  lose(9, 5);
  const [one, two] = finish();
  expect(one!.statistics).toEqual([
    {
      interface: 0,
      start: 1.7e15 + 10 * SECOND,
      end: 1.7e15 + 71 * SECOND,
      received: 4,
      dropped: 3,
      delivered: 1,
      comments: ["all interfaces, since this file began: no room 3"],
    },
  ]);
  expect(two!.interfaces.map(({ name }) => name)).toEqual(["front", "back"]);
  expect(two!.statistics.map(({ received, dropped, delivered }) => [received, dropped, delivered])).toEqual([
    [3, 2, 1],
    [5, 5, 0],
  ]);
  expect(two!.statistics[0]!.comments).toEqual(["all interfaces, since this file began: no room 7"]);
});

test("a file without packets has an interface for its statistics", () => {
  const [file] = bench().finish();
  expect(file!.interfaces.map(({ name }) => name)).toEqual(["front"]);
  expect(file!.statistics.map(({ received }) => received)).toEqual([0]);
});

test("it ends after so many packets", () => {
  const { recorder, put, finish } = bench({ mostPackets: 3 });
  for (let count = 0; count < 5; count++) put(100);
  expect(recorder.end).toBe("count");
  expect(numbersIn(finish())).toEqual([0, 1, 2]);
  expect(recorder.written).toBe(3);
});

test("it ends before the files have more bytes than wanted, over all of them", () => {
  const { recorder, put, finish } = bench({ mostBytes: 500_000, rotateBytes: 100_000 });
  while (recorder.end === null) put(1500);
  expect(recorder.end).toBe("limit");
  const packets = numbersIn(finish());
  expect(packets).toEqual(upTo(recorder.written));
  const sizes = readdirSync(directory).map((name) => statSync(join(directory, name)).size);
  const all = sizes.reduce((sum, size) => sum + size, 0);
  expect(all).toBeLessThanOrEqual(500_000);
  expect(all).toBeGreaterThan(490_000);
});

test("times follow the clock when it is set", () => {
  const { put, pass, setClock, finish } = bench();
  put(100);
  setClock(3600 * SECOND);
  pass(SECOND);
  put(100);
  const [one, two] = finish()[0]!.packets;
  expect(two!.time - one!.time).toBe(3601 * SECOND);
});
