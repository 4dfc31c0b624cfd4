import { describe, expect, test } from "bun:test";
import { formatAddress } from "../../src/config/address.ts";
import {
  covers,
  formatService,
  type Lookup,
  parseTransfers,
  resolveTransfers,
} from "../../src/config/transfer.ts";
import { failing, rejecting, returnsOrFails } from "./failing.ts";
import { fc } from "./seed.ts";

const FIX =
  'Write it as [address:]port-target[:port], for example "80-10.0.0.2:8080" or "80-[2001:db8::2]:8080".';

const NAMES: Record<string, string[]> = {
  "test-1.example": ["10.0.0.7", "10.0.0.8"],
  six: ["2001:db8::7"],
};
const lookup: Lookup = async (name) => {
  if (!NAMES[name]) throw new Error("ENOTFOUND");
  return NAMES[name].map((address) => ({ address }));
};
const resolve = (...values: string[]) => resolveTransfers(parseTransfers(values), lookup);

test.each([
  ["80-10.0.0.2:8080", "80-10.0.0.2:8080"],
  ["80-10.0.0.2", "80-10.0.0.2:80"],
  ["10.0.0.1:80-10.0.0.2:8080", "10.0.0.1:80-10.0.0.2:8080"],
  ["80-[2001:db8::2]:8080", "80-[2001:db8::2]:8080"],
  ["80-[2001:db8::2]", "80-[2001:db8::2]:80"],
  ["[2001:db8::1]:80-[2001:db8::2]:8080", "[2001:db8::1]:80-[2001:db8::2]:8080"],
  ["10.0.0.1:80-[2001:db8::2]:8080", "10.0.0.1:80-[2001:db8::2]:8080"],
  ["80-test-1.example:8080", "80-10.0.0.7:8080"],
  ["80-test-1.example", "80-10.0.0.7:80"],
  ["test-1.example:80-six", "10.0.0.7:80-[2001:db8::7]:80"],
  ["80-[10.0.0.2]:81", "80-10.0.0.2:81"],
])("%s means %s", async (text, meaning) => {
  expect((await resolve(text)).map(formatService)).toEqual([meaning]);
});

test("several come by comma, by repeating, or both", async () => {
  const services = await resolve("80-10.0.0.2, 81-10.0.0.3", "82-10.0.0.4");
  expect(services.map(formatService)).toEqual(["80-10.0.0.2:80", "81-10.0.0.3:81", "82-10.0.0.4:82"]);
  expect(services.map(({ label }) => label)).toEqual(["80-10.0.0.2", "81-10.0.0.3", "82-10.0.0.4"]);
});

describe("what cannot be read", () => {
  test.each([
    ["80", "there is no target in it"],
    ["", "there is no target in it"],
    ["10.0.0.2:80", "there is no target in it"],
    ["-10.0.0.2:80", "what stands before the target is not [address:]port"],
    ["http-10.0.0.2:80", "what stands before the target is not [address:]port"],
    ["80-", "what stands before the target is not [address:]port"],
    ["2001:db8::1:80-10.0.0.2", "what stands before the target is not [address:]port"],
    ["80-2001:db8::2", '"2001:db8::2" is not target[:port] (IPv6 addresses go in brackets)'],
    ["80-10.0.0.2:80:81", '"10.0.0.2:80:81" is not target[:port] (IPv6 addresses go in brackets)'],
    ["0-10.0.0.2", '"0" is not a port from 1 to 65535'],
    ["65536-10.0.0.2", '"65536" is not a port from 1 to 65535'],
    ["80-10.0.0.2:", '"" is not a port from 1 to 65535'],
    ["80-10.0.0.2:0", '"0" is not a port from 1 to 65535'],
    ["80-10.0.0.2:80a", '"80a" is not a port from 1 to 65535'],
    ["80-10.0.0.2:+80", '"+80" is not a port from 1 to 65535'],
    ["80-10.0.0.256", '"10.0.0.256" is neither an address nor a name'],
    ["80-10.0.0:80", '"10.0.0" is neither an address nor a name'],
    ["80-81", '"81" is neither an address nor a name'],
    ["80-[10.0.0]:80", '"[10.0.0]" is neither an address nor a name'],
    ["80-[six]:80", '"[six]" is neither an address nor a name'],
    ["80-[]:80", '"[]" is neither an address nor a name'],
    ["80-a b", '"a b" is neither an address nor a name'],
    ["80--a", '"-a" is neither an address nor a name'],
    ["80-[fe80::1%eth0]:80", '"[fe80::1%eth0]" is neither an address nor a name'],
    ["80-0.0.0.0", '"0.0.0.0" cannot be one end of a connection, it stands for every address'],
    ["80-224.0.0.1", '"224.0.0.1" cannot be one end of a connection, it is a multicast address'],
    ["0.0.0.0:80-10.0.0.2", '"0.0.0.0" cannot be one end of a connection, it stands for every address'],
  ])('"%s": %s', (text, cause) => {
    expect(failing(() => parseTransfers([text]))).toEqual({
      message: `Cannot use -x "${text}": ${cause}`,
      fix: FIX,
      exitCode: 2,
    });
  });

  test("only the part at fault is named", () => {
    expect(failing(() => parseTransfers(["80-10.0.0.2,81"])).message).toBe(
      'Cannot use -x "81": there is no target in it',
    );
    expect(failing(() => parseTransfers(["80-10.0.0.2,"])).message).toBe(
      'Cannot use -x "": there is no target in it',
    );
  });

  test("nothing at all", () => {
    expect(failing(() => parseTransfers([]))).toEqual({
      message: "Cannot copy anything: no -x says from where to where",
      fix: FIX,
      exitCode: 2,
    });
  });
});

test.each([
  ["80-no.example", "no.example"],
  ["no.example:80-10.0.0.2", "no.example"],
])("%s does not resolve", async (text, name) => {
  expect(await rejecting(resolve(text))).toEqual({
    message: `Cannot use -x "${text}": the name "${name}" does not resolve`,
    fix: `Check the name, or write its address: "getent ahosts ${name}" must print one.`,
    exitCode: 2,
  });
});

describe("contradictions", () => {
  test.each([
    [["80-10.0.0.2", "80-10.0.0.2:80"], 'Cannot use -x "80-10.0.0.2:80": it is given twice'],
    [["80-10.0.0.2,80-10.0.0.3"], 'Cannot use -x "80-10.0.0.3": "80-10.0.0.2" takes the same requests'],
    [
      ["10.0.0.7:80-10.0.0.2", "test-1.example:80-10.0.0.3"],
      'Cannot use -x "test-1.example:80-10.0.0.3": "10.0.0.7:80-10.0.0.2" takes the same requests',
    ],
  ])("%j", async (values, message) => {
    expect(await rejecting(resolve(...values))).toMatchObject({ message, exitCode: 2 });
  });

  test.each([
    [["80-10.0.0.2", "81-10.0.0.2"]],
    [["10.0.0.1:80-10.0.0.2", "10.0.0.9:80-10.0.0.2"]],
    // The kernel program takes the transfer with the address first.
    [["80-10.0.0.2", "10.0.0.1:80-10.0.0.3"]],
  ])("%j is none", async (values) => {
    expect(await resolve(...values)).toHaveLength(2);
  });
});

test("a service covers its port, on its address or on every one", async () => {
  const [all, one] = await resolve("80-10.0.0.2", "10.0.0.7:81-10.0.0.2");
  const [here] = await resolve("1-10.0.0.7");
  expect(covers(all!, here!.target, 80)).toBe(true);
  expect(covers(all!, here!.target, 81)).toBe(false);
  expect(covers(one!, here!.target, 81)).toBe(true);
  expect(covers(one!, one!.target, 81)).toBe(false);
});

describe("any text", () => {
  const port = fc.integer({ min: 1, max: 65535 });
  const v4 = fc
    .tuple(fc.integer({ min: 1, max: 223 }), fc.nat(255), fc.nat(255), fc.nat(255))
    .map((parts) => parts.join("."));
  const v6 = fc
    .uint8Array({ minLength: 14, maxLength: 14 })
    .map((bytes) => `[${formatAddress(Uint8Array.of(0x20, 1, ...bytes))}]`);
  const host = fc.oneof(v4, v6);

  test("that is a transfer reads back as printed", async () => {
    await fc.assert(
      fc.asyncProperty(fc.option(host), port, host, fc.option(port), async (source, from, target, to) => {
        const text = `${source ? `${source}:` : ""}${from}-${target}${to ? `:${to}` : ""}`;
        const [service] = await resolve(text);
        const printed = formatService(service!);
        expect(printed).toBe(`${source ? `${source}:` : ""}${from}-${target}:${to ?? from}`);
        expect(formatService((await resolve(printed))[0]!)).toBe(printed);
      }),
    );
  });

  test("is transfers or a Failure", () => {
    const pieces = fc.constantFrom("80", "-", ":", "[", "]", ",", "10.0.0.2", "::1", "a", ".", "%", " ", "x");
    const texts = fc.oneof(
      fc.string(),
      fc.array(pieces, { maxLength: 12 }).map((parts) => parts.join("")),
    );
    fc.assert(
      fc.property(texts, (text) => {
        expect(returnsOrFails(() => parseTransfers([text]))).toBe(true);
      }),
    );
  });
});
