/** The formats of traces: pcap and pcapng, compressed or not. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "../../bpf/build.ts";
import {
  block,
  concat,
  description,
  enhanced,
  lay,
  MICROSECONDS,
  MODIFIED,
  NANOSECONDS,
  obsolete,
  option,
  pcap,
  section,
  simple,
} from "./lay.ts";
import { parse } from "./parse.ts";
import { fc } from "./seed.ts";

const NOW = 1_700_000_000_123_456;
const scratch = mkdtempSync(join(tmpdir(), "xcopy-formats-"));
afterAll(() => rmSync(scratch, { recursive: true }));

function bytes(length: number, seed = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => index * 31 + seed);
}

const LITTLE_AND_BIG = [true, false];

describe("pcap", () => {
  describe.each(LITTLE_AND_BIG)("little-endian: %p", (isLittle) => {
    test.each([MICROSECONDS, NANOSECONDS, MODIFIED])("magic %x", (magic) => {
      const file = pcap(
        [
          { time: NOW, data: bytes(60) },
          { time: NOW + 1_000_000, data: bytes(7, 3), length: 1500, interface: 5 },
          { time: NOW, data: bytes(0) },
        ],
        { isLittle, magic, linkType: 113 },
      );
      const { packets, error } = parse(file);
      expect(error).toBeNull();
      expect(packets.map(({ time }) => time)).toEqual([NOW, NOW + 1_000_000, NOW]);
      expect(packets.map(({ data }) => data)).toEqual([bytes(60), bytes(7, 3), bytes(0)]);
      expect(packets.map(({ length }) => length)).toEqual([60, 1500, 0]);
      expect(packets[1]!.linkType).toBe(113);
      expect(packets[1]!.interface).toBe(magic === MODIFIED ? 5 : 0);
    });
  });

  test("keeps nanoseconds as a fraction", () => {
    const file = pcap([{ time: 1_000_000.25, data: bytes(1) }], { magic: NANOSECONDS });
    expect(parse(file).packets[0]!.time).toBe(1_000_000.25);
  });

  test("the bits above the link type (frame check sequence) are ignored", () => {
    expect(parse(pcap([{ data: bytes(1) }], { linkType: 0x24000001 })).packets[0]!.linkType).toBe(1);
  });

  test("reads packets above the snapshot length, or with a snapshot length of 0", () => {
    for (const snaplen of [0, 96]) {
      expect(parse(pcap([{ data: bytes(200) }], { snaplen })).packets).toHaveLength(1);
    }
  });

  test("an impossible length is an error at its packet, after those before", () => {
    const good = pcap([{ data: bytes(10) }, { data: bytes(11) }]);
    const bad = lay(true, [4, 1], [4, 1], [4, 0x7fffffff], [4, 60]);
    const { packets, error } = parse(concat(good, bad, bytes(100)));
    expect(packets).toHaveLength(2);
    expect(error).toMatchObject({ offset: 24 + 26 + 27 });
    expect(error!.message).toContain("2147483647 bytes");
  });

  test.each([24 + 10, 24 + 16 + 5, 23])("cut off at byte %d", (size) => {
    const { packets, error } = parse(pcap([{ data: bytes(10) }]).subarray(0, size));
    expect(packets).toHaveLength(0);
    expect(error).toMatchObject({ offset: size < 24 ? 0 : 24 });
  });

  test.each([
    ["nothing", bytes(0), "it is empty"],
    ["three bytes", bytes(3), "it ends within the file's header"],
    ["text", new TextEncoder().encode("GET / HTTP/1.1"), "it is neither pcap nor pcapng"],
    ["another version", lay(true, [4, MICROSECONDS], [2, 3], [2, 0], bytes(16)), "pcap of version 3, not 2"],
  ])("%s is no trace", (_, file, reason) => {
    expect(parse(file).error).toMatchObject({ offset: 0, reason });
  });
});

describe("pcapng", () => {
  describe.each(LITTLE_AND_BIG)("little-endian: %p", (isLittle) => {
    test("packets of every kind, other blocks between them", () => {
      const file = concat(
        section(isLittle),
        description(isLittle, 1, { snaplen: 40 }),
        description(isLittle, 276),
        enhanced(isLittle, BigInt(NOW), bytes(61), { length: 70 }),
        block(isLittle, 0xbad, bytes(1000)),
        obsolete(isLittle, BigInt(NOW + 5), bytes(62), 1),
        block(isLittle, 5, [4, 0], [4, 0], [4, 0]),
        simple(isLittle, bytes(40), 99),
        simple(isLittle, bytes(30)),
      );
      const { packets, error } = parse(file);
      expect(error).toBeNull();
      expect(packets).toEqual([
        { time: NOW, data: bytes(61), length: 70, linkType: 1, interface: 0 },
        { time: NOW + 5, data: bytes(62), length: 62, linkType: 276, interface: 1 },
        { time: NOW + 5, data: bytes(40), length: 99, linkType: 1, interface: 0 },
        { time: NOW + 5, data: bytes(30), length: 30, linkType: 1, interface: 0 },
      ]);
    });

    test("a section of the other byte order follows, with its own interfaces", () => {
      const file = concat(
        section(isLittle),
        description(isLittle, 1),
        enhanced(isLittle, 1n, bytes(20)),
        section(!isLittle),
        description(!isLittle, 101),
        enhanced(!isLittle, 2n, bytes(20)),
      );
      const { packets, error } = parse(file);
      expect(error).toBeNull();
      expect(packets.map(({ linkType, time }) => [linkType, time])).toEqual([
        [1, 1],
        [101, 2],
      ]);
    });

    test.each([
      ["us", 6, 1_700_000_000_123_456n, NOW],
      ["ms", 3, 1_700_000_000_123n, 1_700_000_000_123_000],
      ["s", 0, 1_700_000_000n, 1_700_000_000_000_000],
      ["ns", 9, 1_700_000_000_123_456_250n, NOW + 0.25],
      [
        "ps",
        12,
        1_700_000_000_123_456_000_000n >> 8n,
        Number((1_700_000_000_123_456_000_000n >> 8n) / 1_000_000n),
      ],
      ["2^-20 s", 0x80 | 20, 1_700_000_000n << 20n, 1_700_000_000_000_000],
      ["2^-30 s", 0x80 | 30, (1_700_000_000n << 30n) + (1n << 29n), 1_700_000_000_500_000],
    ])("resolution of %s", (_, resolution, ticks, time) => {
      const file = concat(
        section(isLittle),
        description(isLittle, 1, { resolution }),
        enhanced(isLittle, ticks, bytes(1)),
      );
      expect(Math.abs(parse(file).packets[0]!.time - time)).toBeLessThan(1);
      if (resolution <= 9) expect(parse(file).packets[0]!.time).toBe(time);
    });

    test.each([3600n, -3600n, 2n ** 33n])("an offset of %d s", (offset) => {
      const file = concat(
        section(isLittle),
        description(isLittle, 1, { offset }),
        enhanced(isLittle, 7n, bytes(1)),
      );
      expect(parse(file).packets[0]!.time).toBe(Number(offset) * 1e6 + 7);
    });
  });

  const start = concat(section(), description(), enhanced(true, 1n, bytes(20)));

  test.each<[string, Uint8Array, number]>([
    ["a length below 12", lay(true, [4, 6], [4, 8], bytes(40)), 0],
    ["a length that is no multiple of 4", lay(true, [4, 6], [4, 33], bytes(40)), 0],
    ["a length above all bounds", lay(true, [4, 6], [4, 0x7ffffffc], bytes(40)), 0],
    ["two lengths that differ", lay(true, [4, 0xbad], [4, 16], bytes(4), [4, 20]), 0],
    [
      "a packet that its block cannot hold",
      block(true, 6, [4, 0], [4, 0], [4, 0], [4, 400], [4, 400], bytes(20)),
      0,
    ],
    ["a packet of no interface", enhanced(true, 1n, bytes(20), { index: 1 }), 0],
    ["a packet block that is too small", block(true, 6, [4, 0], [4, 0]), 0],
    ["a simple packet that is cut off", block(true, 3, [4, 100], bytes(20)), 0],
    ["a section without byte order", block(true, 0x0a0d0d0a, bytes(16)), 0],
    ["a section of another version", block(true, 0x0a0d0d0a, [4, 0x1a2b3c4d], [2, 2], [2, 0], bytes(8)), 0],
    ["an interface that is too small", block(true, 1, [4, 0]), 0],
    ["an option longer than its block", block(true, 1, [2, 1], [2, 0], [4, 0], [2, 9], [2, 100]), 16],
    ["an option of the wrong size", block(true, 1, [2, 1], [2, 0], [4, 0], option(true, 9, bytes(2))), 16],
  ])("%s is an error at its byte", (_, bad, at) => {
    const { packets, error } = parse(concat(start, bad, enhanced(true, 2n, bytes(20))));
    expect(packets).toHaveLength(1);
    expect(error).toMatchObject({ offset: start.length + at });
  });

  test("a section header after which nothing else comes has no packets", () => {
    expect(parse(section())).toEqual({ packets: [], error: null });
  });
});

describe("reads what other programs write", () => {
  const packets = Array.from({ length: 20 }, (_, index) => ({
    time: NOW + index * 1000,
    data: build({ payload: 100 + index, seq: index }).bytes,
  }));
  const original = join(scratch, "original.pcap");
  writeFileSync(original, pcap(packets));

  test.each(["pcap", "nsecpcap", "modpcap", "pcapng"])("editcap -F %s", (format) => {
    const path = join(scratch, `out.${format}`);
    Bun.spawnSync(["editcap", "-F", format, original, path]);
    const { packets: read, error } = parse(readFileSync(path));
    expect(error).toBeNull();
    expect(read.map(({ time, data }) => ({ time, data }))).toEqual(packets);
  });

  test("tcpdump -r -w", () => {
    const path = join(scratch, "tcpdump.pcap");
    Bun.spawnSync(["tcpdump", "-r", original, "-w", path]);
    expect(parse(readFileSync(path)).packets.map(({ data }) => data)).toEqual(
      packets.map(({ data }) => data),
    );
  });

  test("mergecap makes several interfaces; editcap -s cuts", () => {
    const other = join(scratch, "other.pcap");
    const merged = join(scratch, "merged.pcapng");
    writeFileSync(other, pcap([{ time: NOW + 1500, data: build({}).ip }], { linkType: 101 }));
    Bun.spawnSync(["mergecap", "-w", merged, original, other]);
    const { packets: read, error } = parse(readFileSync(merged));
    expect(error).toBeNull();
    expect(read).toHaveLength(21);
    expect(read[2]!.linkType).toBe(101);
    const cut = join(scratch, "cut.pcapng");
    Bun.spawnSync(["editcap", "-s", "60", original, cut]);
    expect(parse(readFileSync(cut)).packets[3]).toMatchObject({ length: packets[3]!.data.length });
    expect(parse(readFileSync(cut)).packets[3]!.data).toHaveLength(60);
  });

  test("tshark finds as many packets in the files that the tests write", () => {
    const path = join(scratch, "laid.pcapng");
    const file = concat(
      section(false),
      description(false, 1, { resolution: 9 }),
      description(false, 101),
      enhanced(false, BigInt(NOW) * 1000n, packets[0]!.data),
      obsolete(false, BigInt(NOW), build({}).ip, 1),
      simple(false, packets[1]!.data),
    );
    writeFileSync(path, file);
    const { stdout } = Bun.spawnSync([
      "tshark",
      "-n",
      "-r",
      path,
      "-T",
      "fields",
      "-e",
      "frame.len",
      "-e",
      "tcp.seq_raw",
    ]);
    const read = parse(file).packets;
    expect(
      stdout
        .toString()
        .trim()
        .split("\n")
        .map((line) => Number(line.split("\t")[0])),
    ).toEqual(read.map(({ length }) => length));
  });
});

describe("properties", () => {
  const packet = fc.record({
    time: fc.integer({ min: 0, max: 2 ** 31 }).map((seconds) => seconds * 1e6 + (seconds % 1e6)),
    data: fc.uint8Array({ maxLength: 300 }),
  });
  const form = fc.record({ isLittle: fc.boolean(), magic: fc.constantFrom(MICROSECONDS, MODIFIED) });
  const ng = fc
    .tuple(fc.boolean(), fc.array(packet, { maxLength: 20 }))
    .map(([isLittle, packets]) =>
      concat(
        section(isLittle),
        description(isLittle),
        ...packets.map(({ time, data }) => enhanced(isLittle, BigInt(time), data)),
      ),
    );
  const file = fc.oneof(
    fc.tuple(fc.array(packet, { maxLength: 20 }), form).map(([packets, form]) => pcap(packets, form)),
    ng,
  );
  const chunks = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 20 });

  test("chunks of any size give the same packets", () => {
    fc.assert(
      fc.property(file, chunks, (file, chunks) => {
        expect(parse(file, chunks)).toEqual(parse(file));
      }),
    );
  });

  test("a corrupt file gives what came before, then an error or other packets, and ends", () => {
    fc.assert(
      fc.property(
        file,
        chunks,
        fc.nat(),
        fc.uint8Array({ minLength: 1, maxLength: 8 }),
        (file, chunks, where, what) => {
          const at = where % file.length;
          const corrupt = file.slice();
          corrupt.set(what.subarray(0, file.length - at), at);
          const whole = parse(file);
          const before = parse(file.slice(0, at)).packets.length;
          const { packets } = parse(corrupt, chunks);
          expect(packets.slice(0, before)).toEqual(whole.packets.slice(0, before));
        },
      ),
    );
  });

  test("a file cut off anywhere gives the packets before", () => {
    fc.assert(
      fc.property(file, fc.nat(), (file, where) => {
        const at = where % file.length;
        const { packets, error } = parse(file.slice(0, at));
        expect(parse(file).packets.slice(0, packets.length)).toEqual(packets);
        if (error) expect(error.offset).toBeLessThanOrEqual(at);
      }),
    );
  });
});
