/** The values of `-x`: services, targets, weights. */
import { describe, expect, test } from "bun:test";
import { formatAddress, parseAddress } from "../../src/config/address.ts";
import {
  type Ambiguous,
  type Choose,
  covers,
  formatRoute,
  type Lookup,
  labelOf,
  parseTransfers,
  resolveTransfers,
  type Service,
} from "../../src/config/transfer.ts";
import { failing, rejecting, returnsOrFails } from "./failing.ts";
import { fc } from "./seed.ts";

const FIX =
  'Write it as [address:]port-target[:port], for example "80-10.0.0.2:8080" or "80-[2001:db8::2]:8080".';

const GROUP_FIX =
  'Write a group as target[:port][*weight]|..., in quotes for the shell, for example "80-10.0.0.2|10.0.0.3:81*2".';
const TWICE_FIX = "Leave one of them out; to send every request several times there is -n.";

const NAMES: Record<string, string[]> = {
  "test-1.example": ["10.0.0.7", "10.0.0.8"],
  six: ["2001:db8::7"],
};
const lookup: Lookup = async (name) => {
  if (!NAMES[name]) throw new Error("ENOTFOUND");
  return NAMES[name].map((address) => ({ address }));
};
const first: Choose = async ({ addresses }) => addresses[0]!;
const resolve = (...values: string[]) => resolveTransfers(parseTransfers(values), lookup, first);
const printed = (service: Service) => service.routes.map((route) => formatRoute(service, route));
/** For each service its routes, printed. */
const meaning = async (...values: string[]) => (await resolve(...values)).map(printed);

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
  ["80-10.0.0.2|10.0.0.3", "80-10.0.0.2:80|10.0.0.3:80"],
  ["80-10.0.0.2:80|10.0.0.3:80*2", "80-10.0.0.2:80|10.0.0.3:80*2"],
  ["80-10.0.0.2:81*3|10.0.0.2:82*1|10.0.0.3*01000", "80-10.0.0.2:81*3|10.0.0.2:82|10.0.0.3:80*1000"],
  [
    "[::1]:80-[2001:db8::2]*2|10.0.0.2|[2001:db8::3]:81",
    "[::1]:80-[2001:db8::2]:80*2|10.0.0.2:80|[2001:db8::3]:81",
  ],
  ["80-six|test-1.example:81*5", "80-[2001:db8::7]:80|10.0.0.7:81*5"],
])("%s means %s", async (text, means) => {
  expect(await meaning(text)).toEqual([[means]]);
});

test("a target's name with several addresses is chosen from, those of the clients' family first", async () => {
  const asked: Ambiguous[] = [];
  const last: Choose = async (of) => {
    asked.push(of);
    return of.addresses.at(-1)!;
  };
  const both: Lookup = async () =>
    ["2001:db8::7", "10.0.0.7", "2001:db8::7", "fe80::7", "10.0.0.8"].map((address) => ({ address }));
  const resolveLast = async (value: string) =>
    (await resolveTransfers(parseTransfers([value]), both, last)).map(printed);
  expect(await resolveLast("10.0.0.1:80-a")).toEqual([["10.0.0.1:80-[2001:db8::7]:80"]]);
  expect(await resolveLast("udp:53-b:54")).toEqual([["udp:53-10.0.0.8:54"]]);
  const order = asked.map(({ name, port, transport, addresses }) => [
    name,
    port,
    transport,
    ...addresses.map(({ bytes }) => formatAddress(bytes)),
  ]);
  expect(order).toEqual([
    ["a", 80, undefined, "10.0.0.7", "10.0.0.8", "2001:db8::7"],
    ["b", 54, "udp", "2001:db8::7", "10.0.0.7", "10.0.0.8"],
  ]);
});

test("MAC addresses of the sender and of the next hop", async () => {
  const [one, other] = await resolve(
    "80@2:0:0:0:0:A-10.0.0.2:81@02:00:00:00:00:0b|[2001:db8::2]*2,82-10.0.0.3@06:1:2:3:4:5*1|10.0.0.4",
  );
  const targets = one!.routes[0]!.targets.map(({ mac, sourceMac, port, weight }) => ({
    mac,
    sourceMac,
    port,
    weight,
  }));
  const sourceMac = Uint8Array.of(2, 0, 0, 0, 0, 10);
  expect(targets).toEqual([
    { mac: Uint8Array.of(2, 0, 0, 0, 0, 11), sourceMac, port: 81, weight: 1 },
    { mac: undefined, sourceMac, port: 80, weight: 2 },
  ]);
  expect(other!.routes[0]!.targets[0]!.mac).toEqual(Uint8Array.of(6, 1, 2, 3, 4, 5));
  expect(other!.routes[0]!.targets[0]!.sourceMac).toBeUndefined();
});

test.each([
  "80-10.0.0.2@",
  "80-10.0.0.2@2:0:0:0:0",
  "80-10.0.0.2:80@01:00:5e:00:00:01",
  "80@0:0:0:0:0:0-10.0.0.2",
  "80@x-10.0.0.2",
])("%s has no MAC address of a host", (text) => {
  expect(() => parseTransfers([text])).toThrow(/is not the MAC address of a host/);
});

test("several come by comma, by repeating, or both", async () => {
  const services = await resolve("80-10.0.0.2, 81-10.0.0.3", "82-10.0.0.4");
  expect(services.map(printed)).toEqual([["80-10.0.0.2:80"], ["81-10.0.0.3:81"], ["82-10.0.0.4:82"]]);
  expect(services.map(labelOf)).toEqual(["80-10.0.0.2", "81-10.0.0.3", "82-10.0.0.4"]);
});

describe("the same source with several targets", () => {
  test.each([
    [["80-10.0.0.2,80-10.0.0.3"], [["80-10.0.0.2:80", "80-10.0.0.3:80"]]],
    [["80-10.0.0.2", "80-10.0.0.2:81"], [["80-10.0.0.2:80", "80-10.0.0.2:81"]]],
    [
      ["80-10.0.0.2,81-10.0.0.2", "80-10.0.0.3|10.0.0.4"],
      [["80-10.0.0.2:80", "80-10.0.0.3:80|10.0.0.4:80"], ["81-10.0.0.2:81"]],
    ],
    [
      ["10.0.0.7:80-10.0.0.2", "test-1.example:80-10.0.0.3"],
      [["10.0.0.7:80-10.0.0.2:80", "10.0.0.7:80-10.0.0.3:80"]],
    ],
    // A target more for some of the sessions is something to want.
    [["80-10.0.0.2,80-10.0.0.2|10.0.0.3"], [["80-10.0.0.2:80", "80-10.0.0.2:80|10.0.0.3:80"]]],
  ])("%j is one service", async (values, routes) => {
    expect(await meaning(...values)).toEqual(routes);
  });

  test("has the labels of all of them", async () => {
    expect((await resolve("80-10.0.0.2", "80-six")).map(labelOf)).toEqual(["80-10.0.0.2, 80-six"]);
  });
});

describe("what cannot be read", () => {
  test.each([
    ["80", "there is no target in it"],
    ["", "there is no target in it"],
    ["10.0.0.2:80", "there is no target in it"],
    ["-10.0.0.2:80", "the part before the target is not [address:]port"],
    ["http-10.0.0.2:80", "the part before the target is not [address:]port"],
    ["80-", "there is no target behind the last -"],
    ["2001:db8::1:80-10.0.0.2", "the part before the target is not [address:]port"],
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
    ["80-[fe80::1%]:80", '"[fe80::1%]" is neither an address nor a name'],
    ["80-[fe80::1%a b]:80", '"[fe80::1%a b]" is neither an address nor a name'],
    ["80-[2001:db8::1%eth0]:80", '"[2001:db8::1%eth0]" is neither an address nor a name'],
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

  test("another transport than TCP and UDP", () => {
    expect(failing(() => parseTransfers(["sctp:80-10.0.0.2"]))).toEqual({
      message: 'Cannot use -x "sctp:80-10.0.0.2": "sctp:" is neither "tcp:" nor "udp:"',
      fix: 'Leave it out for TCP, and write UDP as "udp:53-10.0.0.2:5353".',
      exitCode: 2,
    });
  });

  test.each([
    ["80-10.0.0.2|10.0.0.3*0", '"0" is not a weight from 1 to 1000'],
    ["80-10.0.0.2*1001|10.0.0.3", '"1001" is not a weight from 1 to 1000'],
    ["80-10.0.0.2*|10.0.0.3", '"" is not a weight from 1 to 1000'],
    ["80-10.0.0.2|10.0.0.3*2*2", '"2*2" is not a weight from 1 to 1000'],
    ["80-10.0.0.2|10.0.0.3*1.5", '"1.5" is not a weight from 1 to 1000'],
    ["80-10.0.0.2|10.0.0.3*2:81", '"2:81" is not a weight from 1 to 1000'],
  ])('group "%s": %s', (text, cause) => {
    expect(failing(() => parseTransfers([text]))).toEqual({
      message: `Cannot use -x "${text}": ${cause}`,
      fix: GROUP_FIX,
      exitCode: 2,
    });
  });

  test.each([
    ["80-10.0.0.2|", '"" is not target[:port] (IPv6 addresses go in brackets)'],
    ["80-|10.0.0.2", '"" is not target[:port] (IPv6 addresses go in brackets)'],
    ["80-10.0.0.2|*2", '"" is not target[:port] (IPv6 addresses go in brackets)'],
    ["80-10.0.0.2||10.0.0.3", '"" is not target[:port] (IPv6 addresses go in brackets)'],
    ["80-10.0.0.2|81-10.0.0.3", '"81-10.0.0.3" is neither an address nor a name'],
    ["80-10.0.0.2|10.0.0.3:0", '"0" is not a port from 1 to 65535'],
  ])('group "%s": %s', (text, cause) => {
    expect(failing(() => parseTransfers([text]))).toEqual({
      message: `Cannot use -x "${text}": ${cause}`,
      fix: FIX,
      exitCode: 2,
    });
  });

  test("a weight of a single target", () => {
    expect(failing(() => parseTransfers(["80-10.0.0.2*2"]))).toEqual({
      message: 'Cannot use -x "80-10.0.0.2*2": a weight needs a second target to share connections with',
      fix: "Leave it out; to send every request several times there is -n.",
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
      message: "Cannot copy anything: no -x names a service and its target",
      fix: FIX,
      exitCode: 2,
    });
  });
});

test.each([
  ["80-no.example", "no.example"],
  ["no.example:80-10.0.0.2", "no.example"],
  ["80-10.0.0.2|no.example", "no.example"],
])("%s does not resolve", async (text, name) => {
  expect(await rejecting(resolve(text))).toEqual({
    message: `Cannot use -x "${text}": the name "${name}" does not resolve`,
    fix: `Check the name, or write its address: "getent ahosts ${name}" must print one.`,
    exitCode: 2,
  });
});

describe("contradictions", () => {
  test.each([
    [["80-10.0.0.2", "80-10.0.0.2:80"], "80-10.0.0.2:80"],
    [["80-10.0.0.2,80-10.0.0.3,80-10.0.0.2"], "80-10.0.0.2"],
    [["10.0.0.7:80-10.0.0.2", "test-1.example:80-10.0.0.2:80"], "test-1.example:80-10.0.0.2:80"],
    [["80-10.0.0.2|10.0.0.3*2", "80-10.0.0.2:80*1|10.0.0.3:80*2"], "80-10.0.0.2:80*1|10.0.0.3:80*2"],
  ])("%j: twice", async (values, label) => {
    expect(await rejecting(resolve(...values))).toEqual({
      message: `Cannot use -x "${label}": it is given twice`,
      fix: TWICE_FIX,
      exitCode: 2,
    });
  });

  test.each([
    ["80-10.0.0.2|10.0.0.3|10.0.0.2:80*2", "10.0.0.2:80"],
    ["80-six|[2001:db8::7]:80", "[2001:db8::7]:80"],
  ])("%s: a target twice in a group", async (text, target) => {
    expect(await rejecting(resolve(text))).toEqual({
      message: `Cannot use -x "${text}": the target ${target} is in it twice`,
      fix: `Name it once, and give it a weight: "${target}*2".`,
      exitCode: 2,
    });
  });

  test.each([
    [["80-10.0.0.2", "81-10.0.0.2"]],
    [["10.0.0.1:80-10.0.0.2", "10.0.0.9:80-10.0.0.2"]],
    // The kernel program takes the transfer with the address first.
    [["80-10.0.0.2", "10.0.0.1:80-10.0.0.2"]],
  ])("%j are two services", async (values) => {
    expect(await resolve(...values)).toHaveLength(2);
  });
});

test("a service covers its port, on its address or on every one", async () => {
  const [all, one] = await resolve("80-10.0.0.2", "10.0.0.7:81-10.0.0.2");
  const [here, there] = [parseAddress("10.0.0.7")!, parseAddress("10.0.0.2")!];
  expect(covers(all!, here, 80)).toBe(true);
  expect(covers(all!, here, 81)).toBe(false);
  expect(covers(one!, here, 81)).toBe(true);
  expect(covers(one!, there, 81)).toBe(false);
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

  const target = fc.record({
    host,
    to: fc.option(port),
    weight: fc.option(fc.integer({ min: 1, max: 1000 })),
  });

  test("that is a transfer reads back as printed", async () => {
    await fc.assert(
      fc.asyncProperty(fc.option(host), port, host, fc.option(port), async (source, from, host, to) => {
        const text = `${source ? `${source}:` : ""}${from}-${host}${to ? `:${to}` : ""}`;
        const full = `${source ? `${source}:` : ""}${from}-${host}:${to ?? from}`;
        expect(await meaning(text)).toEqual([[full]]);
        expect(await meaning(full)).toEqual([[full]]);
      }),
    );
  });

  test("that is a group reads back as printed", async () => {
    const group = fc.uniqueArray(target, {
      minLength: 2,
      maxLength: 5,
      selector: ({ host, to }) => `${host} ${to}`,
    });
    await fc.assert(
      fc.asyncProperty(port, group, async (from, targets) => {
        // The same target by its port and by the port of the source.
        fc.pre(new Set(targets.map(({ host, to }) => `${host}:${to ?? from}`)).size === targets.length);
        const written = targets.map(
          ({ host, to, weight }) =>
            host + (to === null ? "" : `:${to}`) + (weight === null ? "" : `*${weight}`),
        );
        const full = targets.map(
          ({ host, to, weight }) => `${host}:${to ?? from}` + ((weight ?? 1) === 1 ? "" : `*${weight}`),
        );
        const printed = `${from}-${full.join("|")}`;
        expect(await meaning(`${from}-${written.join("|")}`)).toEqual([[printed]]);
        expect(await meaning(printed)).toEqual([[printed]]);
        const [service] = await resolve(printed);
        expect(service!.routes[0]!.targets.map(({ weight }) => weight)).toEqual(
          targets.map(({ weight }) => weight ?? 1),
        );
      }),
    );
  });

  test("is transfers or a Failure", () => {
    const pieces = fc.constantFrom(..."80 - : [ ] , | * 10.0.0.2 ::1 a . % x".split(" "), " ");
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

test("a link-local target names its link", () => {
  const [transfer] = parseTransfers(["80-[fe80::2%eth0.5]:8080"]);
  expect(transfer!.targets[0]).toMatchObject({
    host: { address: { ...parseAddress("fe80::2")!, zone: "eth0.5" } },
    port: 8080,
  });
  expect(failing(() => parseTransfers(["80-[fe80::2]:8080"]))).toEqual({
    message:
      'Cannot use -x "80-[fe80::2]:8080": "[fe80::2]" cannot be one end of a connection, it is valid on one link only',
    fix: 'Name the interface of that link too, as in "[fe80::2%eth0]".',
    exitCode: 2,
  });
});
