/** IP headers of the packets that are sent. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ipHeaderLength, ipPair, pseudoChecksum, writeIpHeader } from "../../src/wire/ip.ts";
import { naiveChecksum } from "../inject/packets.ts";
import { seeded } from "../support/seed.ts";

const addresses = (length: number) => {
  const address = fc.uint8Array({ minLength: length, maxLength: length });
  return fc.tuple(address, address);
};
const pairs = fc.oneof(addresses(4), addresses(16));

/** One's complement sum, uncomplemented. */
function sumOf(bytes: number[]): number {
  return 0xffff - naiveChecksum(Uint8Array.from(bytes));
}

test("the pseudo-header sum is the sum of the pseudo-header's bytes (RFC 9293 section 3.1, RFC 8200 section 8.1)", () => {
  fc.assert(
    fc.property(pairs, fc.nat(65_535), ([source, destination], length) => {
      const tail = [length >> 8, length & 255];
      const pseudo = source.length === 4 ? [0, 6, ...tail] : [0, 0, ...tail, 0, 0, 0, 6];
      const expected = sumOf([...source, ...destination, ...pseudo]);
      // 0 and 0xffff are the same number in one's complement.
      expect(pseudoChecksum(ipPair(source, destination), length) % 0xffff).toBe(expected % 0xffff);
    }),
    seeded(1000),
  );
});

describe("writeIpHeader", () => {
  test("IPv4: every field, and a right checksum (RFC 791)", () => {
    fc.assert(
      fc.property(addresses(4), fc.nat(65_515), fc.nat(65_535), ([source, destination], payload, id) => {
        const bytes = new Uint8Array(30).fill(0xee);
        writeIpHeader(new DataView(bytes.buffer), 5, ipPair(source, destination), payload, id);
        const header = bytes.subarray(5, 5 + ipHeaderLength(4));
        const view = new DataView(header.buffer, header.byteOffset);
        expect([header[0], header[1], view.getUint16(2), view.getUint16(4)]).toEqual([
          0x45,
          0,
          payload + 20,
          id,
        ]);
        expect([view.getUint16(6), header[8], header[9]]).toEqual([0x4000, 64, 6]);
        expect(header.subarray(12, 16)).toEqual(source);
        expect(header.subarray(16, 20)).toEqual(destination);
        expect(naiveChecksum(header)).toBe(0);
        expect([...bytes.subarray(0, 5), ...bytes.subarray(25)].every((byte) => byte === 0xee)).toBe(true);
      }),
      seeded(1000),
    );
  });

  test("IPv6: every field (RFC 8200)", () => {
    fc.assert(
      fc.property(addresses(16), fc.nat(65_535), ([source, destination], payload) => {
        const bytes = new Uint8Array(50).fill(0xee);
        writeIpHeader(new DataView(bytes.buffer), 5, ipPair(source, destination), payload, 77);
        const header = bytes.subarray(5, 5 + ipHeaderLength(6));
        expect([...header.subarray(0, 8)]).toEqual([0x60, 0, 0, 0, payload >> 8, payload & 255, 6, 64]);
        expect(header.subarray(8, 24)).toEqual(source);
        expect(header.subarray(24, 40)).toEqual(destination);
        expect([...bytes.subarray(0, 5), ...bytes.subarray(45)].every((byte) => byte === 0xee)).toBe(true);
      }),
      seeded(300),
    );
  });
});
