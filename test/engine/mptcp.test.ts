/** The forms of the option of Multipath TCP: RFC 8684 sections 3.1 and 3.3. */
import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { DSS, MP_CAPABLE, MP_JOIN, mappingShift, multipathSubtype } from "../../src/engine/sessions/mptcp.ts";
import { Packet } from "../../src/wire/packet.ts";

const AT = 40;

/** A packet with the option `hex` (without its kind and length) at AT. */
function withOption(hex: string): Packet {
  const data = Buffer.from(hex.replaceAll(" ", ""), "hex");
  const bytes = new Uint8Array(AT + 2 + data.length + 20).fill(0xee);
  bytes.set([30, 2 + data.length, ...data], AT);
  return new Packet(bytes);
}

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest();
const KEY = "0011223344556677";
const KEYS = `${KEY} 8899aabbccddeeff`;
/** The data sequence number before the first one of the client with this key. */
const INITIAL = sha256(Buffer.from(KEY, "hex")).readInt32BE(28);

test.each([
  ["01 81", MP_CAPABLE],
  ["10 01 01020304 05060708", MP_JOIN],
  ["20 01 00000001", DSS],
])("%s has the subtype %d", (hex, subtype) => {
  expect(multipathSubtype(withOption(hex), AT)).toBe(subtype);
});

describe("a mapping shifts by its data sequence number minus that of the subflow", () => {
  test.each([
    ["4 bytes, without acknowledgement", "20 04 00000bb8 000003e8 0064", 2000],
    ["4 bytes, with acknowledgement", "20 05 0000004d 00000bb8 000003e8 0064", 2000],
    ["4 bytes, acknowledgement of 8", "20 07 000000000000004d 00000bb8 000003e8 0064", 2000],
    ["8 bytes: the low half", "20 0c 12345678 00000bb8 000003e8 0064", 2000],
    ["8 bytes, acknowledgement of 4", "20 0d 0000004d 12345678 00000bb8 000003e8 0064", 2000],
    ["8 bytes, acknowledgement of 8", "20 0f 000000000000004d 12345678 00000bb8 000003e8 0064", 2000],
    ["with checksum", "20 05 0000004d 00000bb8 000003e8 0064 abcd", 2000],
    ["with DATA_FIN and data", "20 14 00000bb8 000003e8 0065", 2000],
    ["around 2^32", "20 04 00000001 ffffffff 0064", 2],
    ["negative", "20 04 00000001 00000003 0064", -2],
    ["the connection's first bytes, by the key of the sender", `01 81 ${KEYS} 0064`, INITIAL],
    ["the same with checksum", `01 81 ${KEYS} 0064 abcd`, INITIAL],
  ])("%s", (_, hex, shift) => {
    expect(mappingShift(withOption(hex), AT, sha256)).toBe(shift);
  });

  test.each([
    ["an acknowledgement alone", "20 01 0000004d"],
    ["an acknowledgement and DATA_FIN without data", "20 15 0000004d 00000bb8 00000000 0001"],
    ["a mapping that is cut", "20 04 00000bb8 000003e8"],
    ["the SYN's MP_CAPABLE", "01 81"],
    ["MP_CAPABLE with keys and no data", `01 81 ${KEYS}`],
    ["MP_CAPABLE of version 0, whose hash is another", `00 81 ${KEYS} 0064`],
    ["MP_JOIN", "10 01 01020304 05060708"],
  ])("none: %s", (_, hex) => {
    expect(mappingShift(withOption(hex), AT, sha256)).toBeNaN();
  });
});
