/** Services without address, by test runs in the kernel: only what goes to addresses of this host is a request. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { testRun } from "../../src/native/bpf/test-run.ts";
import type { LocalPrefix } from "../../src/native/netlink/local-prefixes.ts";
import { build, bytesOf, type Frame } from "./build.ts";
import { loadForTest, type TestCapture } from "./capture.ts";
import { Namespace } from "./namespace.ts";

const UDP = 17;
const EVERYBODY = [255, 255, 255, 255, 255, 255];

function prefix(text: string): LocalPrefix {
  const [address, bits] = text.split("/") as [string, string?];
  const bytes = bytesOf(address);
  return { family: bytes.length === 4 ? 4 : 6, bytes, bits: bits ? Number(bits) : bytes.length * 8 };
}

const LOCAL = ["10.0.0.2", "10.0.0.255", "fd00::2", "10.5.0.0/16", "10.5.8.128/25", "fd05::/64"].map(prefix);

let capture: TestCapture;
let namespace: Namespace;

beforeAll(() => {
  const services = ([4, 6] as const).flatMap((family) => [
    { address: null, family, port: 80, index: 1 },
    { address: null, family, port: 53, index: 2, transport: "udp" as const },
  ]);
  const named = { address: bytesOf("10.7.7.7"), family: 4 as const, port: 80, index: 3 };
  capture = loadForTest({ services: [...services, named], onlyLocal: true, paths: null });
  namespace = new Namespace();
});

afterAll(() => {
  capture?.kernel.detach();
  namespace?.remove();
});

let clients = 0;

beforeEach(() => {
  capture.beat();
  capture.takeRequests();
  capture.counted();
});

function run(frame: Frame): void {
  const { bytes } = build({ sourcePort: 20_000 + clients, id: 1 + clients++, payload: 10, ...frame });
  expect(namespace.enter(() => testRun(capture.kernel.requestProgram, bytes).verdict)).toBe(-1);
}

/** `seq` is length and checksum of a UDP header. */
const DATAGRAM = { protocol: UDP, destinationPort: 53, seq: 30 * 65536 };

/** Both: from an address of the same family. */
function to(destination: string): Frame {
  return { destination, source: destination.includes(":") ? "fd00::1" : "10.0.0.1" };
}

describe.each([
  ["TCP", { destinationPort: 80 }],
  ["UDP", DATAGRAM],
] as [string, Frame][])("%s", (_, service) => {
  beforeAll(() => {
    expect(capture.kernel.setLocal!(LOCAL)).toBe(0);
  });

  test.each([
    "10.0.0.2",
    "127.0.0.1",
    "127.9.9.9",
    "fd00::2",
    "10.5.0.0",
    "10.5.255.255",
    "10.5.8.200",
    "fd05::77",
  ])("to this host's %s is a request", (destination) => {
    run({ ...service, ...to(destination) });
    expect(capture.takeRequests()).toHaveLength(1);
    expect(capture.counted()).toMatchObject({ requestsCaptured: 1 });
  });

  test.each(["10.0.0.3", "10.0.0.1", "10.4.255.255", "10.6.0.0", "fd00::3", "fd05:0:0:1::1", "0.0.0.2"])(
    "to %s passes through",
    (destination) => {
      run({ ...service, ...to(destination) });
      expect(capture.takeRequests()).toEqual([]);
      expect(capture.counted()).toEqual({ forwarded: 1 });
    },
  );
});

test.each([
  ["multicast", "224.0.0.251", [1, 0, 0x5e, 0, 0, 0xfb]],
  ["multicast, on an interface without MAC addresses", "239.1.1.1", undefined],
  ["IPv6 multicast", "ff02::fb", [0x33, 0x33, 0, 0, 0, 0xfb]],
  ["broadcast of a network of this host", "10.0.0.255", EVERYBODY],
])("a datagram by %s is for this host", (_, destination, destinationMac) => {
  run({ ...DATAGRAM, ...to(destination), ...(destinationMac && { destinationMac }) });
  expect(capture.takeRequests()).toHaveLength(1);
});

test("the fragments of a datagram that passes through are left out, and it is counted once", () => {
  const fragment = { ...DATAGRAM, ...to("10.0.0.3"), id: 7777 };
  run({ ...fragment, moreFragments: true, payload: 12 });
  run({ ...fragment, fragmentOffset: 4 });
  expect(capture.takeRequests()).toEqual([]);
  expect(capture.counted()).toEqual({ forwarded: 1 });
});

test("a service with an address is copied wherever it is", () => {
  run({ destinationPort: 80, destination: "10.7.7.7" });
  expect(capture.takeRequests().map(({ index }) => index)).toEqual([3]);
});

test("addresses come and go, and the first that passed through is told", () => {
  const at = (destination: string) => {
    run({ destinationPort: 80, destination });
    return capture.takeRequests().length;
  };
  expect(at("10.9.9.9")).toBe(0);
  capture.kernel.setLocal!([prefix("10.9.9.9"), prefix("10.8.0.0/16"), prefix("10.9.9.9")]);
  expect(["10.9.9.9", "10.8.1.1", "10.0.0.2", "10.5.1.1"].map(at)).toEqual([1, 1, 0, 0]);
  capture.kernel.setLocal!([prefix("0.0.0.0/0")]);
  expect(["10.9.9.9", "10.8.1.1"].map(at)).toEqual([1, 1]);
  capture.kernel.setLocal!(LOCAL);
  expect(["10.9.9.9", "10.8.1.1", "10.0.0.2"].map(at)).toEqual([0, 0, 1]);
  expect(capture.kernel.forwarded()).not.toBeNull();
});

test("more ranges than there is room for are counted, the others hold", () => {
  const many = Array.from({ length: 1030 }, (_, index) =>
    prefix(`10.${100 + (index >> 8)}.${index & 255}.0/24`),
  );
  expect(capture.kernel.setLocal!(many)).toBe(6);
  run({ destinationPort: 80, destination: "10.100.7.1" });
  expect(capture.takeRequests()).toHaveLength(1);
  expect(capture.kernel.setLocal!(LOCAL)).toBe(0);
});

test("the destination that is told is one that passed through", () => {
  const other = loadForTest({
    services: [{ address: null, family: 6, port: 80, index: 1 }],
    onlyLocal: true,
    paths: null,
  });
  try {
    expect(other.kernel.forwarded()).toBeNull();
    const { bytes } = build({ ...to("fd77::1"), destinationPort: 80, payload: 1 });
    other.beat();
    namespace.enter(() => testRun(other.kernel.requestProgram, bytes));
    expect(other.kernel.forwarded()).toEqual({ address: bytesOf("fd77::1"), port: 80 });
  } finally {
    other.kernel.detach();
  }
});
