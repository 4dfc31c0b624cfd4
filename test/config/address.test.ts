/** IP addresses, read and printed. */
import { describe, expect, test } from "bun:test";
import {
  formatAddress,
  formatEndpoint,
  parseAddress,
  sameAddress,
  unusable,
} from "../../src/config/address.ts";
import { fc } from "./seed.ts";

const loopback6 = [...Array(15).fill(0), 1];

test.each([
  ["10.0.0.2", [10, 0, 0, 2]],
  ["255.255.255.255", [255, 255, 255, 255]],
  ["::1", loopback6],
  ["2001:DB8::2", [0x20, 0x01, 0x0d, 0xb8, ...Array(11).fill(0), 2]],
  ["::ffff:10.0.0.2", [10, 0, 0, 2]],
])("%s is an address", (text, bytes) => {
  const address = parseAddress(text);
  expect([...address!.bytes]).toEqual(bytes);
  expect(address!.family).toBe(bytes.length === 4 ? 4 : 6);
});

test.each([
  "",
  "10.0.0",
  "10.0.0.256",
  "10.0.0.2.3",
  "010.0.0.2",
  "0x0a.0.0.2",
  "167772162",
  "1 0.0.0.2",
  "2001:db8",
  "::1::2",
  "fe80::1%eth0",
  "[::1]",
  "localhost",
])('"%s" is no address', (text) => {
  expect(parseAddress(text)).toBeNull();
});

test.each([
  ["0.0.0.0", "it stands for every address"],
  ["::", "it stands for every address"],
  ["224.0.0.1", "it is a multicast address"],
  ["ff02::1", "it is a multicast address"],
  ["255.255.255.255", "it is the broadcast address"],
  ["fe80::1", "it is valid on one link only"],
])("%s cannot be an end of a connection", (text, cause) => {
  expect(unusable(parseAddress(text)!)).toBe(cause);
});

test.each(["127.0.0.1", "10.0.0.2", "169.254.1.1", "::1", "fd00::1", "2001:db8::1"])(
  "%s can be an end of a connection",
  (text) => {
    expect(unusable(parseAddress(text)!)).toBeNull();
  },
);

describe("printed", () => {
  test.each([
    ["10.0.0.2", "10.0.0.2:80"],
    ["2001:db8:0:0:0:0:0:2", "[2001:db8::2]:80"],
  ])("%s with a port is %s", (text, printed) => {
    expect(formatEndpoint(parseAddress(text)!.bytes, 80)).toBe(printed);
  });

  test("any address reads back as itself", () => {
    const v4 = fc.uint8Array({ minLength: 4, maxLength: 4 });
    const v6 = fc
      .uint8Array({ minLength: 16, maxLength: 16 })
      .filter(
        (bytes) =>
          !(bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 255 && bytes[11] === 255),
      );
    fc.assert(
      fc.property(fc.oneof(v4, v6), (bytes) => {
        const read = parseAddress(formatAddress(bytes));
        expect(read && sameAddress(read.bytes, bytes)).toBe(true);
      }),
    );
  });
});

test("addresses are the same by family and bytes", () => {
  const one = Uint8Array.of(10, 0, 0, 1);
  expect(sameAddress(one, Uint8Array.of(10, 0, 0, 1))).toBe(true);
  expect(sameAddress(one, Uint8Array.of(10, 0, 0, 2))).toBe(false);
  expect(sameAddress(one, Uint8Array.of(10, 0, 0, 1, 0))).toBe(false);
});
