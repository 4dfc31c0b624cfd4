/** Lists of addresses and networks. */
import { describe, expect, test } from "bun:test";
import { parseAddress } from "../../src/config/address.ts";
import { formatNetwork, isIn, parseNetworks } from "../../src/config/networks.ts";
import { failing } from "./failing.ts";
import { fc } from "./seed.ts";

test("are read, and written the same way", () => {
  const values = ["10.0.0.1, 10.1.0.0/16", "2001:db8::/32,fd00::7", "0.0.0.0/0", "::/0"];
  expect(parseNetworks("--compat-from", values).map(formatNetwork)).toEqual(
    values.flatMap((value) => value.split(",").map((part) => part.trim())),
  );
});

test.each([
  ["10.0.0.0/16", "10.0.255.255", true],
  ["10.0.0.0/16", "10.1.0.0", false],
  ["10.0.0.128/25", "10.0.0.127", false],
  ["10.0.0.128/25", "10.0.0.128", true],
  ["10.0.0.1", "10.0.0.2", false],
  ["10.0.0.1,10.0.0.2", "10.0.0.2", true],
  ["0.0.0.0/0", "203.0.113.9", true],
  ["0.0.0.0/0", "::", false],
  ["fd00::/9", "fd7f::1", true],
  ["fd00::/9", "fd80::1", false],
])("%s has %s: %p", (networks, text, expected) => {
  expect(isIn(parseNetworks("", [networks]), parseAddress(text)!.bytes)).toBe(expected);
});

test("an address is in its network of every length", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(4, 16),
      fc.nat(128),
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
      (size, bits, bytes) => {
        const address = bytes.slice(0, size);
        const length = bits % (8 * size + 1);
        const network = address.map(
          (byte, index) => byte & (0xff00 >> Math.min(8, Math.max(0, length - 8 * index))),
        );
        expect(isIn([{ address: network, length }], address)).toBe(true);
        if (length === 0) return;
        address[(length - 1) >> 3]! ^= 0x80 >> ((length - 1) & 7);
        expect(isIn([{ address: network, length }], address)).toBe(false);
      },
    ),
  );
});

describe("what is none", () => {
  test.each([
    ["", "not an IP address or network"],
    ["online.example", "not an IP address or network"],
    ["10.0.0.0/33", "the prefix length is not a whole number from 0 to 32"],
    ["10.0.0.0/8/8", "the prefix length is not a whole number from 0 to 32"],
    ["10.0.0.0/", "the prefix length is not a whole number from 0 to 32"],
    ["fd00::/129", "the prefix length is not a whole number from 0 to 128"],
    ["10.0.0.1/24", "the address is not the first of its network"],
  ])("%s: %s", (text, cause) => {
    const failure = failing(() => parseNetworks("--compat-from", ["10.0.0.1", text]));
    expect(failure.message).toBe(`Cannot use --compat-from "${text}": ${cause}`);
    expect(failure.exitCode).toBe(2);
  });

  test("the network that was meant is said", () => {
    expect(failing(() => parseNetworks("--compat-from", ["10.0.0.1/24"])).fix).toBe(
      'Write the network as "10.0.0.0/24".',
    );
  });
});
