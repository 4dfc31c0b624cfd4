/** ICMP messages that say that a packet was too big. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { readTooBig } from "../../src/wire/icmp.ts";
import { Packet } from "../../src/wire/packet.ts";
import { seeded } from "../support/seed.ts";

/** An ICMP message in an IP packet of `family` that quotes a TCP packet whose IP header has `options` bytes of options. */
function message(family: 4 | 6, mtu: number, port: number, seq: number, options = 0): Uint8Array {
  const ip = family === 4 ? 20 : 40;
  const bytes = new Uint8Array(ip + 8 + ip + options + 8);
  const view = new DataView(bytes.buffer);
  bytes[0] = family === 4 ? 0x45 : 0x60;
  if (family === 4) view.setUint16(ip + 6, mtu);
  else view.setUint32(ip + 4, mtu);
  const quoted = ip + 8;
  bytes[quoted] = family === 4 ? 0x45 + options / 4 : 0x60;
  view.setUint16(quoted + ip + options, port);
  view.setUint32(quoted + ip + options + 4, seq);
  return bytes;
}

function read(bytes: Uint8Array, at = 0) {
  const packet = new Packet(bytes);
  packet.ip = at;
  packet.end = bytes.length;
  const into = { mtu: -1, sourcePort: -1, seq: -1 };
  return readTooBig(packet, into) ? into : null;
}

describe("readTooBig", () => {
  test.each([4, 6] as const)(
    "IPv%d: the MTU, source port and sequence number of the quoted packet",
    (family) => {
      const mtu = family === 4 ? 1400 : 70_000;
      expect(read(message(family, mtu, 65_535, 0xfffffffe))).toEqual({
        mtu,
        sourcePort: 65_535,
        seq: 0xfffffffe,
      });
    },
  );

  test("IP options in the quoted header are skipped", () => {
    expect(read(message(4, 1400, 1234, 5, 12))).toEqual({ mtu: 1400, sourcePort: 1234, seq: 5 });
  });

  test("a message after other bytes is read", () => {
    const bytes = Uint8Array.from([9, 9, 9, ...message(4, 1400, 1234, 5)]);
    expect(read(bytes, 3)).toEqual({ mtu: 1400, sourcePort: 1234, seq: 5 });
  });

  test.each([4, 6] as const)("IPv%d: an incomplete message is not read", (family) => {
    const whole = message(family, 1400, 1234, 5);
    for (let length = 1; length < whole.length; length++) expect(read(whole.slice(0, length))).toBeNull();
  });

  test("any bytes are read without an error", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(0x45, 0x4f, 0x60),
        fc.uint8Array({ maxLength: 120, size: "max" }),
        (first, rest) => {
          expect(() => read(Uint8Array.from([first, ...rest]))).not.toThrow();
        },
      ),
      seeded(1000),
    );
  });
});
