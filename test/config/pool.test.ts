/** The values of `-c`: which source addresses they name. */
import { describe, expect, test } from "bun:test";
import { formatAddress, parseAddress } from "../../src/config/address.ts";
import { parsePool, poolFor } from "../../src/config/pool.ts";
import { failing, returnsOrFails } from "./failing.ts";
import { fc } from "./seed.ts";

const texts = (...values: string[]) => parsePool(values).map(({ bytes }) => formatAddress(bytes));
const address = (text: string) => parseAddress(text)!;
const FIX =
  'Write addresses, ranges or networks, for example "10.1.0.5,10.1.1.x,10.2.0.1-10.2.0.20,10.3.0.0/28".';

test.each([
  ["10.1.0.5", ["10.1.0.5"]],
  ["10.1.0.5, 10.1.0.4", ["10.1.0.5", "10.1.0.4"]],
  ["10.1.0.254-10.1.1.1", ["10.1.0.254", "10.1.0.255", "10.1.1.0", "10.1.1.1"]],
  ["10.3.0.4/30", ["10.3.0.5", "10.3.0.6"]],
  ["10.3.0.4/31", ["10.3.0.4", "10.3.0.5"]],
  ["10.3.0.4/32", ["10.3.0.4"]],
  ["2001:db8::fe-2001:db8::101", ["2001:db8::fe", "2001:db8::ff", "2001:db8::100", "2001:db8::101"]],
  ["2001:db8::4/126", ["2001:db8::4", "2001:db8::5", "2001:db8::6", "2001:db8::7"]],
  ["10.1.0.5,10.1.0.4-10.1.0.6", ["10.1.0.5", "10.1.0.4", "10.1.0.6"]],
])("%s", (text, addresses) => {
  expect(texts(text)).toEqual(addresses);
});

test("a.b.c.x is 1 to 254, as in tcpcopy", () => {
  const all = texts("62.135.200.x");
  expect(all).toHaveLength(254);
  expect([all[0], all[253]]).toEqual(["62.135.200.1", "62.135.200.254"]);
});

test("several values add up", () => {
  expect(texts("10.1.0.1", "10.1.0.2")).toEqual(["10.1.0.1", "10.1.0.2"]);
  expect(texts()).toEqual([]);
});

test("4096 addresses are taken", () => {
  expect(texts("10.0.0.0-10.0.15.255")).toHaveLength(4096);
});

test.each([
  ["10.0.0.0-10.0.16.0", "it names 4097 addresses", "Name at most 4096 addresses."],
  ["2001:db8::/64", "it names 18446744073709551616 addresses", "Name at most 4096 addresses."],
  ["10.1.0", "not an IP address", FIX],
  ["", "not an IP address", FIX],
  ["10.1.0.*", "not an IP address", FIX],
  ["host", "not an IP address", FIX],
  ["10.1.0.1-10.1.0.x", '"10.1.0.x" is not an IP address', FIX],
  ["10.1.0.9-10.1.0.1", "the first address is above the last", FIX],
  ["10.1.0.1-2001:db8::1", "one end is IPv4, the other IPv6", FIX],
  ["10.1.0.1-10.1.0.2-10.1.0.3", "not a range of two addresses", FIX],
  ["10.1.0.0/33", "the prefix length is not a whole number from 0 to 32", FIX],
  ["10.1.0.0/", "the prefix length is not a whole number from 0 to 32", FIX],
  ["10.1.0.0/24/8", "the prefix length is not a whole number from 0 to 32", FIX],
  ["2001:db8::/129", "the prefix length is not a whole number from 0 to 128", FIX],
  ["10.1.0.5/24", "the address is not the first of its network", 'Write the network as "10.1.0.0/24".'],
  ["300.1.1.x", '"300.1.1.1" is not an IP address', FIX],
  ["224.0.0.1", '"224.0.0.1" cannot be a client, it is a multicast address', FIX],
  ["0.0.0.0-0.0.0.1", '"0.0.0.0" cannot be a client, it stands for every address', FIX],
])('-c "%s": %s', (text, cause, fix) => {
  expect(failing(() => parsePool([text]))).toEqual({
    message: `Cannot use -c "${text}": ${cause}`,
    fix,
    exitCode: 2,
  });
});

test("all parts together are at most 4096", () => {
  expect(failing(() => parsePool(["10.0.0.0-10.0.15.255,10.1.0.1"])).message).toBe(
    'Cannot use -c "10.1.0.1": with this part there are 4097 addresses',
  );
});

describe("for a target", () => {
  const pool = parsePool(["10.1.0.1-10.1.0.3,2001:db8::1"]);
  const names = (target: string, ...others: string[]) =>
    poolFor(pool, address(target), [target, ...others].map(address)).map(({ bytes }) => formatAddress(bytes));

  test("only its family, and no target", () => {
    expect(names("10.0.0.2")).toEqual(["10.1.0.1", "10.1.0.2", "10.1.0.3"]);
    expect(names("10.1.0.2", "10.1.0.3")).toEqual(["10.1.0.1"]);
    expect(names("2001:db8::9")).toEqual(["2001:db8::1"]);
  });

  test("no usable address is an error", () => {
    expect(failing(() => names("2001:db8::1"))).toEqual({
      message:
        'Cannot use -c for target "2001:db8::1": none of its addresses is IPv6 and not itself a target',
      fix: "Add IPv6 addresses to -c to which the target has a route through this host.",
      exitCode: 2,
    });
  });
});

test("any text is a pool or a Failure", () => {
  const pieces = fc.constantFrom(
    "10.0.0.1",
    "10.0.0",
    ".x",
    "-",
    "/",
    "24",
    "::",
    "2001:db8::",
    ",",
    "x",
    " ",
    "999",
  );
  const any = fc.oneof(
    fc.string(),
    fc.array(pieces, { maxLength: 8 }).map((parts) => parts.join("")),
  );
  fc.assert(
    fc.property(any, (text) => {
      expect(returnsOrFails(() => parsePool([text]))).toBe(true);
    }),
  );
});
