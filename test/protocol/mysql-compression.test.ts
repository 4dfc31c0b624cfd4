/** Compressed sessions of MySQL: what clients compress is read, and compressed for a target that offers the same. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  type Algorithm,
  frame,
  Inflater,
  recognizeFrames,
  unframe,
} from "../../src/protocol/mysql/packets/compression.ts";
import { Malformed } from "../../src/protocol/mysql/packets/reader.ts";
import type { Host } from "./host.ts";
import { has, open, query, ready, SIZES } from "./open.ts";
import {
  CAPABILITIES,
  command,
  error,
  greeting,
  login,
  number32,
  ok,
  prepared,
  result,
  switchTo,
} from "./server.ts";

const BITS = { zlib: 0x20, zstd: 0x0400_0000 };
const ALGORITHMS = ["zlib", "zstd"] as const;
const CLIENT = 0x01bf_a28d & ~0x0800;

const framed = (algorithm: Algorithm, bytes: Uint8Array, number = 0) =>
  frame(algorithm, bytes, 0, bytes.length, number);
const joined = (...parts: Uint8Array[]) => Uint8Array.from(Buffer.concat(parts));
const long = query(`SELECT '${"x".repeat(300)}'`);

/** A session whose client compresses, at a target that does as well, or not. */
function compressed(algorithm: Algorithm, target: Algorithm | null = algorithm) {
  const capabilities = (CAPABILITIES | (target ? BITS[target] : 0)) >>> 0;
  return ready({}, { capabilities: CLIENT | BITS[algorithm] }, capabilities);
}

/** What is in the frames that were sent, and their numbers. */
function sent(host: Host, algorithm: Algorithm): { bytes: Uint8Array; numbers: number[] } {
  const inflater = new Inflater(algorithm);
  const [parts, numbers]: [Uint8Array[], number[]] = [[], []];
  const { stream } = host;
  inflater.take(stream, 0, stream.length, (part) => {
    parts.push(part.slice());
    numbers.push(inflater.number);
  });
  return { bytes: joined(...parts), numbers };
}

describe("a target without compression gets the client's commands uncompressed", () => {
  for (const algorithm of ALGORITHMS) {
    for (const size of SIZES) {
      test(`${algorithm}, in pieces of ${size}`, () => {
        const { host } = compressed(algorithm, null);
        // In a frame as it is, compressed, and two in one frame.
        host.request(framed(algorithm, query("SELECT 1")), true, size);
        host.request(framed(algorithm, long), true, size);
        const both = joined(command(0x19, number32(1)), query(`SELECT '${"y".repeat(100)}'`));
        host.request(framed(algorithm, both), true, size);
        for (let i = 0; i < 3; i++) host.response(ok(1), size);
        expect(host.sent).toEqual([query("SELECT 1"), long, query(`SELECT '${"y".repeat(100)}'`)]);
      });
    }
  }

  test("with the sequence numbers of uncompressed packets, for packets over 16 MiB and files", () => {
    const { host } = compressed("zlib", null);
    const most = 0xffffff;
    const large = new Uint8Array(4 + most + 4 + 10).fill(0x78);
    large.set([0xff, 0xff, 0xff, 0, 3]);
    large.set([10, 0, 0, 77], 4 + most);
    for (let from = 0, number = 0; from < large.length; from += 1 << 20) {
      host.request(framed("zlib", large.subarray(from, from + (1 << 20)), number++), from === 0);
    }
    expect(host.stream.length).toBe(large.length);
    expect(host.stream.subarray(4 + most, 4 + most + 4)).toEqual(Buffer.from([10, 0, 0, 1]));
    host.response(ok(2));
    host.request(framed("zlib", query("LOAD DATA LOCAL INFILE 'a' INTO TABLE t")));
    host.response(Uint8Array.of(2, 0, 0, 1, 0xfb, 97));
    host.request(framed("zlib", Uint8Array.of(1, 0, 0, 9, 98, 0, 0, 0, 11), 2));
    expect(host.stream.subarray(-9)).toEqual(Buffer.from([1, 0, 0, 2, 98, 0, 0, 0, 3]));
  });
});

describe("logins", () => {
  const answered = (client: number, target: number) => {
    const { host } = open();
    host.connect();
    host.response(greeting("mysql_native_password", { capabilities: (CAPABILITIES | target) >>> 0 }));
    host.request(login("shop", { capabilities: CLIENT | client }));
    const bytes = host.sent[0]!;
    return { bits: Buffer.from(bytes).readUInt32LE(4) & (BITS.zlib | BITS.zstd), last: bytes.at(-1)! };
  };

  test("ask for the compression that client and target both support, with both for zlib", () => {
    expect(answered(BITS.zlib, BITS.zlib).bits).toBe(BITS.zlib);
    expect(answered(BITS.zlib, 0).bits).toBe(0);
    expect(answered(0, BITS.zlib).bits).toBe(0);
    expect(answered(BITS.zlib, BITS.zstd).bits).toBe(0);
    expect(answered(BITS.zlib | BITS.zstd, BITS.zlib | BITS.zstd).bits).toBe(BITS.zlib);
    expect(answered(BITS.zstd, BITS.zlib | BITS.zstd)).toEqual({ bits: BITS.zstd, last: 3 });
  });
});

for (const algorithm of ALGORITHMS) {
  describe(`a target that offers ${algorithm}`, () => {
    for (const size of SIZES) {
      test(`gets compressed commands, and its responses are read in pieces of ${size}`, () => {
        const { host, count } = compressed(algorithm);
        host.request(framed(algorithm, long), true, size);
        expect(sent(host, algorithm)).toEqual({ bytes: long, numbers: [0] });
        expect(host.stream.length).toBeLessThan(long.length);
        // An answer in one frame, in several, and one whose packets do not end where frames do.
        host.response(framed(algorithm, result(100, false), 1), size);
        host.sent = [];
        host.request(framed(algorithm, query("SELECT 1")), true, size);
        expect(sent(host, algorithm).bytes).toEqual(query("SELECT 1"));
        const answer = result(100, false);
        for (let from = 0, number = 1; from < answer.length; from += 97) {
          host.response(framed(algorithm, answer.subarray(from, from + 97), number++), size);
        }
        expect(count("mysql.answered.query")).toBe(2);
        host.request(framed(algorithm, query("SELECT 2")), true, size);
        expect(sent(host, algorithm).numbers).toEqual([0, 0]);
      });
    }

    test("switches authentication plugins with the sequence numbers of frames", () => {
      const { host, count } = compressed(algorithm);
      const rest = Buffer.from(
        "shop\0\x14" + "x".repeat(20) + "db2\0\x2d\0mysql_native_password\0\0",
        "latin1",
      );
      host.request(framed(algorithm, command(0x11, rest)));
      host.response(framed(algorithm, switchTo(1, "mysql_native_password"), 1));
      expect(sent(host, algorithm).numbers).toEqual([0, 2]);
      host.response(framed(algorithm, ok(3), 3));
      host.request(framed(algorithm, query("SELECT 1")));
      expect(sent(host, algorithm).numbers).toEqual([0, 2, 0]);
      expect(count("mysql.answered.change_user")).toBe(1);
    });

    test("gets the session's state in frames on a new connection, and the command that was not answered again", () => {
      const { host, count } = compressed(algorithm);
      host.request(framed(algorithm, query("SET NAMES utf8")));
      host.response(framed(algorithm, ok(1), 1));
      host.request(framed(algorithm, command(0x16, "SELECT ?")));
      host.response(framed(algorithm, prepared(1, 1, false), 1));
      const types = [Uint8Array.of(0), number32(1), Uint8Array.of(0, 1, 8, 0), new Uint8Array(8)];
      host.request(framed(algorithm, command(0x17, number32(1), ...types)));
      for (const capabilities of [CAPABILITIES | BITS[algorithm], CAPABILITIES]) {
        host.disconnect(true);
        host.connect();
        host.response(greeting("mysql_native_password", { capabilities: capabilities >>> 0 }));
        host.response(ok(2));
        host.sent = [];
        const isSame = capabilities !== CAPABILITIES;
        const say = (bytes: Uint8Array) => host.response(isSame ? framed(algorithm, bytes, 1) : bytes);
        say(ok(1));
        say(prepared(42, 1, false));
        const stream = isSame ? sent(host, algorithm).bytes : host.stream;
        expect(Uint8Array.from(stream)).toEqual(
          joined(command(0x16, "SELECT ?"), command(0x17, number32(42), ...types)),
        );
      }
      expect(count("mysql.restoredStatements")).toBe(2);
    });

    test("gets the client's file, or an empty one if production asked for none", () => {
      const { host } = compressed(algorithm);
      const load = query("LOAD DATA LOCAL INFILE 'a' INTO TABLE t");
      const wanted = framed(algorithm, Uint8Array.of(2, 0, 0, 1, 0xfb, 97), 1);
      const data = Uint8Array.of(1, 0, 0, 2, 98, 0, 0, 0, 3);
      host.request(framed(algorithm, load));
      host.request(framed(algorithm, data, 2));
      host.response(wanted);
      // The first packet begins what is sent, the empty one follows.
      const first = sent(host, algorithm);
      expect(first.bytes).toEqual(joined(load, data));
      expect(first.numbers).toEqual([0, 2]);
      host.response(framed(algorithm, ok(4), 3));
      host.sent = [];
      host.request(framed(algorithm, load));
      host.request(framed(algorithm, query("SELECT 1")));
      host.response(wanted);
      expect(sent(host, algorithm)).toEqual({
        bytes: joined(load, Uint8Array.of(0, 0, 0, 2)),
        numbers: [0, 2],
      });
    });

    test("gets a command longer than a segment in frames with increasing numbers", () => {
      const { host } = compressed(algorithm);
      const bytes = new Uint8Array(300_000);
      // What cannot be made shorter goes as it is.
      let state = 1;
      for (let at = 0; at < bytes.length; at++) {
        state = (state * 1103515245 + 12345) >>> 0;
        bytes[at] = state >>> 16;
      }
      const large = query(Buffer.from(bytes).toString("latin1").replaceAll("'", ""));
      for (let from = 0, number = 0; from < large.length; from += 40_000) {
        host.request(framed(algorithm, large.subarray(from, from + 40_000), number++), from === 0);
      }
      const { bytes: all, numbers } = sent(host, algorithm);
      expect(Buffer.compare(all, large)).toBe(0);
      expect(numbers).toEqual(numbers.map((_, index) => index));
      expect(numbers.length).toBeGreaterThan(4);
    });

    test("has its session refused if its responses are incomplete", () => {
      const { host } = compressed(algorithm);
      host.request(framed(algorithm, long));
      host.session.response(framed(algorithm, ok(1), 1), 0, 10, 5, 0);
      expect(host.isRefused).toBe(true);
    });

    test("is compared with production, whose compressed answers are read", () => {
      const { host, count } = compressed(algorithm);
      host.request(framed(algorithm, command(0x16, "SELECT ?")));
      const answer = framed(algorithm, joined(prepared(9, 1, true), new Uint8Array(100)), 1);
      host.session.production!(answer, 0, answer.length, 0, 1, 1, 1e6);
      host.response(framed(algorithm, prepared(3, 1, false), 1));
      host.request(framed(algorithm, command(0x1a, number32(9))));
      expect(has(sent(host, algorithm).bytes, command(0x1a, number32(3)))).toBe(true);
      host.response(framed(algorithm, ok(1), 1));
      host.request(framed(algorithm, query("SELECT no")));
      const failed = framed(algorithm, error(1, 1054, `Unknown column ${"x".repeat(80)}`), 1);
      host.session.production!(failed, 0, failed.length, 0, 1, 1, 1e6);
      host.response(framed(algorithm, ok(1), 1));
      expect(count("mysql.errorsOnlyInProduction")).toBe(1);
    });
  });
}

describe("sessions that are older than xcopy", () => {
  for (const algorithm of ALGORITHMS) {
    test(`are understood if they compress with ${algorithm}`, () => {
      const { host, count } = open({ database: "shop" });
      host.request(framed(algorithm, long), true, 10_000, true);
      host.connect();
      host.response(greeting("mysql_native_password"));
      host.response(ok(2));
      expect(host.sent[1]).toEqual(long);
      host.response(ok(1));
      host.request(framed(algorithm, query("SELECT 1")));
      expect(host.sent[2]).toEqual(query("SELECT 1"));
      expect(count("mysql.notUnderstood")).toBe(0);
    });
  }

  test("are understood if their first command is too short to be compressed", () => {
    const { host } = open({ database: "shop" });
    host.request(framed("zlib", query("SELECT 1")), true, 10_000, true);
    host.request(framed("zlib", long));
    host.connect();
    host.response(greeting("mysql_native_password"));
    host.response(ok(2));
    host.response(ok(1));
    expect(host.sent.slice(1)).toEqual([query("SELECT 1"), long]);
  });

  test("are not taken for compressed if they are not", () => {
    fc.assert(
      fc.property(fc.constantFrom(1, 2, 3, 0x16, 0x17, 0x18, 0x19, 0xfa), fc.string(), (code, text) => {
        const packet = command(code, text);
        expect(recognizeFrames(packet, 0, packet.length)).toBe(null);
      }),
    );
  });
});

test("a switch of plugins in pieces of one byte is not taken for a frame", () => {
  const { host } = ready({}, { capabilities: CLIENT | BITS.zlib });
  host.request(Uint8Array.of(20, 0, 0, 3, ...new Uint8Array(20)), true, 1);
  host.request(framed("zlib", long), true, 1);
  expect(host.sent).toEqual([long]);
});

describe("frames", () => {
  for (const algorithm of ALGORITHMS) {
    test(`of ${algorithm} have the content from which they were made`, () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 500 }), fc.boolean(), (bytes, repeats) => {
          const content = repeats ? joined(bytes, bytes, bytes) : bytes;
          const made = framed(algorithm, content, 7);
          expect(unframe(algorithm, made, 0, made.length)).toEqual(content);
          expect(made.length).toBeLessThanOrEqual(content.length + 7);
          expect(unframe(algorithm, made, 0, made.length - 1)).toBe(null);
        }),
      );
    });

    test(`of any bytes throw nothing but Malformed, ${algorithm}`, () => {
      fc.assert(
        fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 6 }), (pieces) => {
          const { host } = compressed(algorithm);
          try {
            for (const piece of pieces) {
              host.response(piece);
              host.request(piece);
              host.session.production!(piece, 0, piece.length, 0, 1, 1, 1e6);
            }
          } catch (thrown) {
            expect(thrown).toBeInstanceOf(Malformed);
          }
        }),
      );
    });
  }
});
