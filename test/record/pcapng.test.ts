/** Blocks as they are written, read back by a reader of the tests' own and by Wireshark's. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Blocks, INBOUND, LARGEST_OTHER, OUTBOUND } from "../../src/record/pcapng.ts";
import { fc } from "../config/seed.ts";
import { readPcapng } from "../support/pcapng.ts";

const TIME = 1_795_263_710_108_580;
const SECTION = { hardware: "a machine", os: "an OS", application: "xcopy", comments: ["one", "zwei é"] };

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "xcopy-pcapng-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function begun(): Blocks {
  const blocks = new Blocks(1 << 20);
  blocks.section(SECTION);
  blocks.interface("front", "tcp dst port 80", 0);
  return blocks;
}

const written = (blocks: Blocks) => blocks.bytes.slice(0, blocks.length);

const packets = fc.array(
  fc.record({
    bytes: fc.uint8Array({ minLength: 1, maxLength: 300 }),
    cut: fc.nat({ max: 1000 }),
    after: fc.nat({ max: 2 ** 33 }),
    direction: fc.constantFrom(0, INBOUND, OUTBOUND),
    interface: fc.nat({ max: 1 }),
  }),
  { maxLength: 30 },
);

test("what is written is read back", () => {
  fc.assert(
    fc.property(packets, fc.nat({ max: 7 }), (list, shift) => {
      const blocks = begun();
      blocks.interface("eth0", "tcp", 100);
      // What was there before must not shine through the padding.
      blocks.bytes.fill(0xff, blocks.length);
      const expected = list.map(({ bytes, cut, after, direction, interface: number }) => {
        const memory = new Uint8Array(bytes.length + shift + 5);
        memory.set(bytes, shift);
        blocks.packet(number, TIME + after, direction, memory, shift, bytes.length, bytes.length + cut);
        return {
          interface: number,
          time: TIME + after,
          length: bytes.length + cut,
          bytes,
          flags: direction || null,
        };
      });
      const read = readPcapng(written(blocks));
      expect(read.packets).toEqual(expected);
      expect(read.comments).toEqual(SECTION.comments);
      expect(read.interfaces).toEqual([
        { name: "front", linkType: 101, snaplen: 0, resolution: 6, filter: "\0tcp dst port 80" },
        { name: "eth0", linkType: 101, snaplen: 100, resolution: 6, filter: "\0tcp" },
      ]);
      expect(blocks.packetsWithin(blocks.length)).toBe(list.length);
    }),
  );
});

test("what is left of a write that was cut short ends with a whole block", () => {
  fc.assert(
    fc.property(packets, fc.nat(), (list, cut) => {
      const blocks = begun();
      for (const { bytes, direction } of list) {
        blocks.packet(0, TIME, direction, bytes, 0, bytes.length, bytes.length);
      }
      const bytes = cut % (blocks.length + 1);
      const whole = blocks.wholeWithin(bytes);
      const read = readPcapng(blocks.bytes.slice(0, bytes));
      expect(whole).toBe(bytes - read.rest);
      expect(blocks.packetsWithin(whole)).toBe(read.packets.length);
    }),
  );
});

test("counts above 32 bits are whole in the statistics", () => {
  const blocks = begun();
  const counts = {
    start: TIME,
    end: TIME + 2 ** 32 + 7,
    received: 2 ** 40 + 3,
    dropped: 3,
    delivered: 2 ** 40,
  };
  blocks.statistics(0, { ...counts, comments: ["why"] });
  expect(readPcapng(written(blocks)).statistics).toEqual([{ interface: 0, ...counts, comments: ["why"] }]);
});

test("a text that is too long is cut, and the blocks keep within their room", () => {
  const blocks = new Blocks(1 << 20);
  const long = "x".repeat(100_000);
  blocks.section({ hardware: long, os: long, application: long, comments: ["short"] });
  expect(blocks.length).toBeLessThan(LARGEST_OTHER);
  expect(readPcapng(written(blocks)).comments).toEqual(["short"]);
});

describe("Wireshark", () => {
  test("reads packets of every length, interfaces that come later, and the statistics", () => {
    const blocks = begun();
    const lengths = [20, 21, 22, 23, 24, 1500, 9000, 65535];
    const memory = new Uint8Array(65536).fill(0x45);
    for (const [index, length] of lengths.entries()) {
      if (index === 4) blocks.interface("back", "tcp dst port 80", 0);
      blocks.packet(index < 4 ? 0 : 1, TIME + index, index % 2 ? OUTBOUND : 0, memory, 0, length, length);
    }
    const counts = { start: TIME, end: TIME + 9, received: 5, dropped: 1, delivered: 4, comments: [] };
    blocks.statistics(0, counts);
    blocks.statistics(1, counts);
    const path = join(directory, "some.pcapng");
    writeFileSync(path, written(blocks));

    const fields = ["frame.cap_len", "frame.interface_name", "frame.time_epoch"];
    const shown = Bun.spawnSync([
      "tshark",
      "-n",
      "-r",
      path,
      "-Tfields",
      ...fields.flatMap((field) => ["-e", field]),
    ]);
    expect(shown.exitCode).toBe(0);
    const rows = shown.stdout.toString().trim().split("\n");
    expect(rows).toEqual(
      lengths.map(
        (length, index) => `${length}\t${index < 4 ? "front" : "back"}\t1795263710.10858${index}000`,
      ),
    );
    const copy = join(directory, "copy.pcapng");
    expect(Bun.spawnSync(["editcap", path, copy]).exitCode).toBe(0);
    expect(readPcapng(copy).packets.map(({ length }) => length)).toEqual(lengths);
  });
});
