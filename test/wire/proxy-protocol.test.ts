/** The PROXY protocol header, versions 1 and 2. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseAddress } from "../../src/config/address.ts";
import {
  MAX_PROXY_HEADER,
  proxyHeaderLength,
  readProxyHeader,
  writeProxyHeader,
} from "../../src/wire/proxy-protocol.ts";
import { seeded } from "../support/seed.ts";

const MAPPED = [0, 0, 0xffff];
const ipv4 = fc.integer({ min: 0, max: 2 ** 32 - 1 }).map((last) => [...MAPPED, last]);
const ipv6 = fc
  .array(fc.integer({ min: 0, max: 2 ** 32 - 1 }), { minLength: 4, maxLength: 4 })
  .filter((words) => words[0] !== 0);
const port = fc.nat(65_535);

/** The header of a connection between two addresses of four words each. */
function header(version: 1 | 2, source: number[], destination: number[], ports: [number, number]): Buffer {
  const words = Int32Array.from([99, ...source, ...destination, 99]);
  const into = new Uint8Array(MAX_PROXY_HEADER);
  const length = writeProxyHeader(into, version, words, 1, 5, ...ports);
  expect(length).toBeLessThanOrEqual(MAX_PROXY_HEADER);
  return Buffer.from(into.subarray(0, length));
}

function wordsOf(address: Uint8Array): number[] {
  const view = new DataView(address.buffer, address.byteOffset, address.length);
  return Array.from({ length: address.length / 4 }, (_, i) => view.getUint32(i * 4));
}

describe("version 1", () => {
  test("is a line that names both ends", () => {
    const line = header(1, [...MAPPED, 0x0a000001], [...MAPPED, 0xfffefdfc], [65_535, 80]);
    expect(line.toString()).toBe("PROXY TCP4 10.0.0.1 255.254.253.252 65535 80\r\n");
  });

  test("has the text form of any addresses", () => {
    const pairs = fc.oneof(fc.tuple(ipv4, ipv4), fc.tuple(ipv6, ipv6));
    fc.assert(
      fc.property(pairs, port, port, ([source, destination], from, to) => {
        const [name, family, one, other, ...ports] = header(1, source, destination, [from, to])
          .toString()
          .replace(/\r\n$/, "")
          .split(" ");
        const count = source[0] === 0 ? 1 : 4;
        expect([name, family, ports.join()]).toEqual([
          "PROXY",
          count === 1 ? "TCP4" : "TCP6",
          `${from},${to}`,
        ]);
        expect(wordsOf(parseAddress(one!)!.bytes)).toEqual(source.slice(4 - count));
        expect(wordsOf(parseAddress(other!)!.bytes)).toEqual(destination.slice(4 - count));
      }),
      seeded(300),
    );
  });
});

describe("version 2", () => {
  test("is as the specification has it", () => {
    const signature = "0d0a0d0a000d0a515549540a";
    const v4 = header(2, [...MAPPED, 0x0a000001], [...MAPPED, 0x0a000002], [40_000, 80]);
    expect(v4.toString("hex")).toBe(`${signature}2111000c0a0000010a0000029c400050`);
    const v6 = header(2, [0xfd000000, 0, 0, 1], [0xfd000000, 0, 0, 2], [40_000, 80]);
    const address = (last: number) => `fd00000000000000000000000000000${last}`;
    expect(v6.toString("hex")).toBe(`${signature}21210024${address(1)}${address(2)}9c400050`);
  });
});

describe("reading", () => {
  const ends = fc.oneof(fc.tuple(ipv4, ipv4), fc.tuple(ipv6, ipv6));
  test("gives what was written, whatever follows, and needs all of it", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(1 as const, 2 as const),
        ends,
        port,
        port,
        fc.uint8Array({ maxLength: 9 }),
        (version, [source, destination], from, to, more) => {
          const written = header(version, source, destination, [from, to]);
          const all = Uint8Array.from([7, ...written, ...more]);
          const words = new Int32Array(8);
          expect(proxyHeaderLength(all, 1, all.length)).toBe(written.length);
          expect(readProxyHeader(all, 1, written.length, words)).toEqual([from, to]);
          expect(Array.from(words, (word) => word >>> 0)).toEqual([...source, ...destination]);
          for (let end = 2; end < 1 + written.length; end++) expect(proxyHeaderLength(all, 1, end)).toBe(0);
        },
      ),
      seeded(300),
    );
  });

  const V2 = "\r\n\r\n\0\r\nQUIT\n";
  test.each([
    ["a line with unknown addresses", "PROXY UNKNOWN\r\n", 15],
    ["unknown, with addresses all the same", "PROXY UNKNOWN ffff:: ffff:: 1 2\r\n", 33],
    ["a local connection", `${V2}\x20\0\0\0`, 16],
    ["a local connection with something", `${V2}\x20\0\0\x02ab`, 18],
    ["addresses of Unix sockets", `${V2}\x21\x31\0\xd8${"a".repeat(216)}`, 232],
    ["a line without CR", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", -1],
    ["a line that is too long", `PROXY UNKNOWN ${"a".repeat(100)}\r\n`, -1],
    ["another word", "PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n", -1],
    ["another version", `${V2}\x11\x11\0\x0c${"a".repeat(12)}`, -1],
    ["another command", `${V2}\x22\x11\0\x0c${"a".repeat(12)}`, -1],
    ["fewer bytes than addresses", `${V2}\x21\x21\0\x0c${"a".repeat(12)}`, -1],
    ["HTTP", "POST / HTTP/1.1\r\n", -1],
    ["nothing", "", 0],
  ])("%s", (_, text, length) => {
    const bytes = Buffer.from(text, "latin1");
    expect(proxyHeaderLength(bytes, 0, bytes.length)).toBe(length);
    if (length > 0) expect(readProxyHeader(bytes, 0, length, new Int32Array(8))).toBe(null);
  });

  test("the short forms of IPv6 are read", () => {
    const words = new Int32Array(8);
    const text = Buffer.from("PROXY TCP6 2001:db8::1 ::1 65535 1\r\n");
    expect(readProxyHeader(text, 0, text.length, words)).toEqual([65535, 1]);
    expect(Array.from(words)).toEqual([0x20010db8, 0, 0, 1, 0, 0, 0, 1]);
  });
});
