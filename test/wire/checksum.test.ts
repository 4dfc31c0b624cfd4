/** The Internet checksum (RFC 1071). */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { finishTcpChecksum, fold, sum, wordsOf, writeChecksum } from "../../src/wire/checksum.ts";
import { naiveChecksum, tcpOfPacket } from "../inject/packets.ts";
import { seeded } from "../support/seed.ts";

const parameters = seeded(2000);

/** The checksum of `bytes` by the code under test, as the wire has it. */
function checksum(bytes: Uint8Array, at: number, length: number): number {
  const field = new Uint8Array(2);
  writeChecksum(field, 0, sum(wordsOf(bytes), at, length));
  return field[0]! * 256 + field[1]!;
}

describe("sum", () => {
  test("equals the plain sum, for any bytes, length and alignment", () => {
    const memory = fc.uint8Array({ maxLength: 300, size: "max" });
    fc.assert(
      fc.property(memory, fc.nat(20), fc.nat(300), (bytes, from, most) => {
        const at = Math.min(from, bytes.length);
        const length = Math.min(most, bytes.length - at);
        expect(checksum(bytes, at, length)).toBe(naiveChecksum(bytes.subarray(at, at + length)));
      }),
      parameters,
    );
  });

  test.each([0, 1])("does not overflow for the largest packet of all ones, at offset %d", (at) => {
    const bytes = new Uint8Array(65_537 + at).fill(0xff);
    for (const length of [65_534, 65_535, 65_536]) {
      expect(checksum(bytes, at, length)).toBe(naiveChecksum(bytes.subarray(at, at + length)));
    }
  });

  test("is that of a part of larger memory, and sums of parts at even offsets can be added", () => {
    const whole = fc.uint8Array({ minLength: 2, maxLength: 200, size: "max" });
    fc.assert(
      fc.property(whole, fc.nat(100), (bytes, half) => {
        const words = wordsOf(new Uint8Array([9, 9, ...bytes, 9]).subarray(2, 2 + bytes.length));
        const cut = Math.min(half * 2, bytes.length & ~1);
        const parts = fold(sum(words, 0, cut) + sum(words, cut, bytes.length - cut));
        // 0 and 0xffff are the same number in one's complement.
        expect(parts % 0xffff).toBe(sum(words, 0, bytes.length) % 0xffff);
      }),
      parameters,
    );
  });

  test("RFC 1071's example", () => {
    const bytes = Uint8Array.from([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
    expect(checksum(bytes, 0, 8)).toBe(~0xddf2 & 0xffff);
  });
});

test("finishTcpChecksum completes a pseudo-header sum, as the kernel does for CHECKSUM_PARTIAL", () => {
  const payloads = fc.uint8Array({ maxLength: 100, size: "max" });
  fc.assert(
    fc.property(payloads, fc.uint8Array({ minLength: 8, maxLength: 8 }), (payload, addresses) => {
      const length = 20 + payload.length;
      const packet = new Uint8Array(20 + length);
      packet.set([0x45, 0, (20 + length) >> 8, (20 + length) & 255, 0, 0, 0, 0, 64, 6, 0, 0, ...addresses]);
      packet[32] = 5 << 4;
      packet.set(payload, 40);
      const pseudo = Uint8Array.from([...addresses, 0, 6, length >> 8, length & 255]);
      const partial = 0xffff - naiveChecksum(pseudo);
      packet[36] = partial >> 8;
      packet[37] = partial;
      finishTcpChecksum(wordsOf(packet), 20, length);
      expect(tcpOfPacket(packet)!.tcpChecksum).toBe(true);
    }),
    parameters,
  );
});
