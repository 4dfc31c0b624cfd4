/** TCP flags, sequence arithmetic and options. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Packet } from "../../src/wire/packet.ts";
import {
  ACK,
  distance,
  emptyOptions,
  FIN,
  PSH,
  parseOptions,
  RST,
  SYN,
  sackLength,
  type TcpOptions,
  TIMESTAMPS_LENGTH,
  URG,
  writeSackHead,
  writeSynOptions,
  writeTimestamps,
} from "../../src/wire/tcp.ts";
import { seeded } from "../support/seed.ts";

const word = fc.integer({ min: 0, max: 2 ** 32 - 1 });

/** A packet whose TCP header has these options; the header claims `headerLength` bytes. */
function withOptions(options: ArrayLike<number>, headerLength = 20 + options.length): Packet {
  const bytes = new Uint8Array(20 + 20 + options.length);
  bytes[0] = 0x45;
  bytes[32] = (headerLength / 4) << 4;
  bytes.set(Array.from(options), 40);
  const packet = new Packet(bytes);
  packet.tcp = 20;
  packet.end = bytes.length;
  return packet;
}

function parsed(options: ArrayLike<number>, headerLength?: number): TcpOptions {
  const into = {
    mss: 9,
    windowScale: 9,
    sackPermitted: true,
    hasTimestamps: true,
    tsval: 0,
    tsecr: 0,
    isSigned: true,
    multipath: 9,
  };
  parseOptions(withOptions(options, headerLength), into);
  return into;
}

test("flags are those of RFC 9293 section 3.1", () => {
  expect([FIN, SYN, RST, PSH, ACK, URG]).toEqual([1, 2, 4, 8, 16, 32]);
});

describe("distance", () => {
  test("is a - b as a signed number, also around the end of the sequence space", () => {
    fc.assert(
      fc.property(word, fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), (b, way) => {
        expect(distance((b + way) >>> 0, b)).toBe(way);
        // As signed words, too: the session table keeps them so.
        expect(distance((b + way) | 0, b | 0)).toBe(way);
      }),
      seeded(500),
    );
  });
});

describe("options of a SYN", () => {
  const options = fc.record({
    mss: fc.integer({ min: 1, max: 65_535 }),
    sackPermitted: fc.boolean(),
    hasTimestamps: fc.boolean(),
    tsval: word,
    windowScale: fc.integer({ min: -1, max: 14 }),
  });

  test("are read as they were written", () => {
    fc.assert(
      fc.property(options, ({ mss, sackPermitted, hasTimestamps, tsval, windowScale }) => {
        const view = new DataView(new ArrayBuffer(60));
        const length = writeSynOptions(view, 7, mss, sackPermitted, hasTimestamps, tsval, windowScale);
        expect(length % 4).toBe(0);
        expect(length).toBeLessThanOrEqual(40);
        const got = parsed(new Uint8Array(view.buffer, 7, length));
        const time = hasTimestamps ? tsval : got.tsval;
        expect(got).toMatchObject({ mss, sackPermitted, hasTimestamps, windowScale, tsval: time });
        // Nothing was written behind them.
        expect(new Uint8Array(view.buffer, 7 + length).every((byte) => byte === 0)).toBe(true);
      }),
      seeded(500),
    );
  });

  test("are in Linux's order", () => {
    const view = new DataView(new ArrayBuffer(40));
    const written = (length: number) => Buffer.from(view.buffer, 0, length).toString("hex");
    expect(written(writeSynOptions(view, 0, 1460, true, true, 0x01020304, 7))).toBe(
      "020405b4" + "0402080a01020304" + "00000000" + "01030307",
    );
    expect(written(writeSynOptions(view, 0, 1460, false, true, 0x01020304, -1))).toBe(
      "020405b4" + "0101080a01020304" + "00000000",
    );
    expect(written(writeSynOptions(view, 0, 1460, true, false, 0, 7))).toBe(
      "020405b4" + "01010402" + "01030307",
    );
    expect(written(writeSynOptions(view, 0, 536, false, false, 0, -1))).toBe("02040218");
  });
});

describe("options of other segments", () => {
  test("timestamps are read as they were written", () => {
    fc.assert(
      fc.property(word, word, (tsval, tsecr) => {
        const view = new DataView(new ArrayBuffer(TIMESTAMPS_LENGTH));
        writeTimestamps(view, 0, tsval, tsecr);
        expect(parsed(new Uint8Array(view.buffer))).toEqual({
          ...emptyOptions(),
          hasTimestamps: true,
          tsval,
          tsecr,
        });
      }),
      seeded(200),
    );
  });

  test.each([1, 2, 3, 4])("the first bytes of a SACK option with %d blocks have its length", (blocks) => {
    const view = new DataView(new ArrayBuffer(40));
    writeSackHead(view, 0, blocks);
    expect(Buffer.from(view.buffer, 0, 4)).toEqual(Buffer.from([1, 1, 5, 2 + 8 * blocks]));
    expect(sackLength(blocks)).toBe(2 + 2 + 8 * blocks);
  });

  test("a SACK option without blocks has no bytes", () => {
    expect(sackLength(0)).toBe(0);
  });
});

describe("options of other senders", () => {
  const absent = emptyOptions();

  test.each<[string, number[], Partial<TcpOptions>]>([
    ["none", [], {}],
    ["only padding", [1, 1, 0, 0], {}],
    ["what follows the end of the list is not read", [0, 2, 4, 5, 0xb4, 1, 1, 1], {}],
    ["unknown kinds are passed over", [254, 4, 9, 9, 2, 4, 5, 0xb4], { mss: 1460 }],
    ["MP_CAPABLE (RFC 8684)", [2, 4, 5, 0xb4, 30, 4, 1, 1], { mss: 1460, multipath: 44 }],
    ["MP_JOIN", [30, 12, 0x10, 1, 1, 2, 3, 4, 5, 6, 7, 8], { multipath: 40 }],
    ["DSS, with MP_PRIO after it", [30, 4, 0x20, 0, 30, 3, 0x50, 1], { multipath: 40 }],
    ["ADD_ADDR", [30, 8, 0x30, 0, 1, 2, 3, 4], {}],
    ["an option of Multipath TCP that is too short", [30, 3, 0x10, 1], {}],
    ["a length below 2 ends the reading", [2, 4, 5, 0xb4, 77, 1, 3, 3, 7, 0, 0, 0], { mss: 1460 }],
    ["a length of 0 ends the reading", [77, 0, 2, 4, 5, 0xb4, 1, 1], {}],
    ["a length beyond the header ends the reading", [1, 1, 1, 1, 1, 1, 3, 3], {}],
    ["an option cut at its kind", [1, 1, 1, 2], {}],
    ["an MSS of another length is none", [2, 3, 9, 1], {}],
    ["timestamps of another length are none", [8, 6, 0, 0, 0, 1, 1, 1], {}],
    ["a window scale above 14 counts as 14", [3, 3, 255, 1], { windowScale: 14 }],
    ["SACK permitted of another length is not", [4, 3, 0, 1], {}],
    ["the last of two counts", [2, 4, 0, 100, 2, 4, 0, 200], { mss: 200 }],
  ])("%s", (_, options, expected) => {
    expect(parsed(options)).toEqual({ ...absent, ...expected });
  });

  test("a header that is longer than the captured bytes is read up to their end", () => {
    expect(parsed([2, 4, 5, 0xb4], 60)).toEqual({ ...absent, mss: 1460 });
    expect(parsed([2, 4, 5, 0xb4, 8, 10, 0, 0], 60)).toEqual({ ...absent, mss: 1460 });
  });

  test("any bytes are read without an error and not beyond the header", () => {
    const anything = fc.uint8Array({ maxLength: 44, size: "max" }).filter((bytes) => bytes.length % 4 === 0);
    fc.assert(
      fc.property(anything, fc.nat(10), (bytes, words) => {
        const options = bytes.subarray(0, words * 4);
        const alone = parsed(options);
        const followed = parsed(bytes, 20 + options.length);
        expect(followed).toEqual(alone);
        expect(alone.windowScale).toBeLessThanOrEqual(14);
        expect(alone.mss).toBeLessThanOrEqual(65_535);
      }),
      seeded(1000),
    );
  });
});
