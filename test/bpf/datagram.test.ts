/** UDP in the kernel programs: which datagrams and fragments are captured, and which answers are dropped. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { type TestContext, testRun } from "../../src/native/bpf/test-run.ts";
import { until } from "../support/until.ts";
import { build, bytesOf, FRAGMENT, type Frame, HOP_BY_HOP } from "./build.ts";
import { loadForTest, MARK, TARGET, TARGET6, type TestCapture } from "./capture.ts";
import { Namespace } from "./namespace.ts";

const PASS = -1;
const DROP = 2;
const UDP = 17;
const NOT_UNICAST = 0x40000000;
const FRAGMENT_INDEX = 0x20000000;
const OTHER_HOST = [2, 9, 9, 9, 9, 9];
const EVERYBODY = [255, 255, 255, 255, 255, 255];
const GROUP = [1, 0, 0x5e, 0, 0, 0xfb];
const V6 = { source: "fd00::1", destination: "fd00::2" };

let capture: TestCapture;
let namespace: Namespace;
let interfaces: number[];

beforeAll(() => {
  capture = loadForTest({
    services: [
      { address: bytesOf("10.0.0.2"), family: 4, port: 80, index: 1 },
      { address: null, family: 4, port: 53, index: 2, transport: "udp" },
      { address: bytesOf("fd00::2"), family: 6, port: 53, index: 3, transport: "udp" },
      { address: bytesOf("10.0.0.2"), family: 4, port: 80, index: 4, transport: "udp" },
    ],
    paths: [
      { family: 4, ...TARGET },
      { family: 4, ...TARGET, transport: "udp" },
      { family: 6, ...TARGET6, transport: "udp" },
      {
        family: 4,
        ...TARGET,
        targetPort: 8053,
        transport: "udp",
        payload: { bytes: 512, takesHeads: false },
      },
    ],
  });
  namespace = new Namespace();
  namespace.ip("link", "add", "xca", "type", "veth", "peer", "name", "xcb");
  interfaces = ["xca", "xcb"].map((name) => namespace.ifindex(name));
});

afterAll(() => {
  capture?.kernel.detach();
  namespace?.remove();
});

let clients = 0;
let client: Frame;

beforeEach(() => {
  client = { protocol: UDP, destinationPort: 53, sourcePort: 20_000 + clients, id: 1 + clients++ };
  capture.beat();
  capture.takeRequests();
  capture.takeResponses();
  capture.counted();
});

/** A frame whose TCP header is taken for a UDP header of 8 bytes and 12 bytes of payload; `seq` is length and checksum. */
function datagram(frame: Frame): Uint8Array {
  return build({ ...client, seq: (20 + (frame.payload as number)) * 65536 + 0x1234, ...frame }).bytes;
}

function run(frame: Frame, context: TestContext = {}, program = capture.kernel.requestProgram): number {
  return namespace.enter(() => testRun(program, datagram({ payload: 10, ...frame }), context).verdict);
}

function captured(frame: Frame, context: TestContext = {}) {
  expect(run(frame, context)).toBe(PASS);
  return capture.takeRequests();
}

describe("a datagram is captured", () => {
  const cases: [name: string, frame: Frame, index: number, udp: number][] = [
    ["to any address of this host", { destination: "10.7.7.7" }, 2, 20],
    ["to the address of a service", { ...V6 }, 3, 40],
    ["to a port that TCP has, too", { destinationPort: 80 }, 4, 20],
    ["with IPv4 options", { ipOptions: 8 }, 2, 28],
    ["behind an extension header", { ...V6, extensions: [HOP_BY_HOP] }, 3, 48],
    ["in a VLAN", { tags: [0x8100] }, 2, 20],
    ["to a broadcast address", { destinationMac: EVERYBODY }, 2 | NOT_UNICAST, 20],
    ["to a multicast address", { destinationMac: GROUP }, 2 | NOT_UNICAST, 20],
  ];
  test.each(cases)("%s", (_, frame, index, udp) => {
    const [record, ...others] = captured(frame);
    expect(others).toEqual([]);
    expect(record).toMatchObject({ index, tcp: udp, payload: udp + 8, length: 22, think: -1 });
  });

  test("that is one of several in a packet (GSO), with their size", () => {
    const [record] = captured({ payload: 300 }, { gsoSize: 100 });
    expect(record!.think).toBe(100);
    // It has no checksum of its own.
    expect(record!.isVerified).toBe(true);
    expect(captured({ payload: 301 })[0]!.isVerified).toBe(false);
  });

  test("while TCP to the same port goes to its own service", () => {
    expect(captured({ protocol: 6, destinationPort: 80 }).map(({ index }) => index)).toEqual([1]);
  });

  test("again on the same interface, but not on another one", () => {
    const [first, second] = interfaces.map((ifindex) => ({ ifindex }));
    // Only of a service with an address: the MAC address is none of these interfaces'.
    const frame = { destinationPort: 80 };
    expect(captured(frame, first)).toHaveLength(1);
    expect(captured(frame, first)).toHaveLength(1);
    capture.counted();
    expect(captured(frame, second)).toHaveLength(0);
    expect(capture.counted()).toEqual({ duplicates: 1 });
    expect(captured({ ...frame, seq: 30 * 65536 + 9 }, second)).toHaveLength(1);
  });

  test("as often as the same came in, whichever interfaces each of them crosses", () => {
    const frame = { destinationPort: 80, id: 0 };
    const [leg, bond] = interfaces.map((ifindex) => ({ ifindex }));
    const fates = (contexts: TestContext[]) => contexts.map((context) => captured(frame, context).length);
    expect(fates([leg!, leg!, bond!, bond!])).toEqual([1, 1, 0, 0]);
    // A third by another leg, which only the bond has shown so far.
    expect(fates([bond!])).toEqual([1]);
  });

  test("by another interface later: the client has sent it again", async () => {
    const frame = { destinationPort: 80, id: 0 };
    const [first, second] = interfaces.map((ifindex) => ({ ifindex }));
    expect(captured(frame, first)).toHaveLength(1);
    const start = performance.now();
    await until("the time in which it would be a duplicate is over", () => performance.now() - start > 51);
    expect(captured(frame, second)).toHaveLength(1);
  });
});

describe("what is not captured", () => {
  const cases: [name: string, frame: Frame, context: TestContext, counters: Record<string, number>][] = [
    ["another port", { destinationPort: 54 }, {}, {}],
    ["TCP to a port of UDP", { protocol: 6 }, {}, {}],
    ["a datagram to another host", { destinationMac: OTHER_HOST }, {}, {}],
    ["what xcopy sent, by its mark", {}, { mark: MARK }, { ownMark: 1 }],
    ["another protocol", { protocol: 47 }, {}, {}],
  ];
  test.each(cases)("%s", (_, frame, context, counters) => {
    expect(captured(frame, context)).toEqual([]);
    expect(capture.counted()).toEqual(counters);
  });

  test("everything, while user space is stalled", () => {
    capture.control.heartbeat(0);
    expect(captured({})).toEqual([]);
    expect(capture.counted()).toEqual({ inert: 1 });
  });
});

describe.each([
  ["IPv4", {}],
  ["IPv6", { ...V6, extensions: [FRAGMENT] }],
] as [string, Frame][])("fragments over %s", (name, family) => {
  const first = { ...family, moreFragments: true, payload: 12 };
  const later = { ...family, fragmentOffset: 4, payload: 12, sourcePort: 1, destinationPort: 2 };
  const firstOfOthers = { ...first, destinationPort: 99 };
  // In IPv6 the identification is always the same here.
  const from = (source: number) => ({ source: name === "IPv4" ? `10.1.1.${source}` : `fd00::${source}` });

  test("of a datagram to a service are captured", () => {
    expect(captured({ ...first, ...from(11) })).toMatchObject([{ index: FRAGMENT_INDEX }]);
    expect(captured({ ...later, ...from(11) })).toMatchObject([{ index: FRAGMENT_INDEX }]);
  });

  test("that come before the first one are captured, if they are for this host", () => {
    expect(captured({ ...later, ...from(12) })).toHaveLength(1);
    expect(captured({ ...later, ...from(13), destinationMac: OTHER_HOST })).toHaveLength(0);
  });

  test("of other datagrams are not captured", () => {
    expect(captured({ ...firstOfOthers, ...from(14) })).toHaveLength(0);
    expect(captured({ ...later, ...from(14) })).toHaveLength(0);
  });
});

describe("a response", () => {
  const PORT = 33_000;
  const ANSWER = { source: "10.0.0.9", destination: "10.0.0.2", sourcePort: 8080, destinationPort: PORT };
  const ANSWER6 = { ...ANSWER, source: "fd00::9", destination: "fd00::2" };

  beforeAll(() => {
    capture.flows.add(1, PORT);
    capture.flows.add(2, PORT);
  });

  const answered = (frame: Frame, context: TestContext = {}) => ({
    verdict: run(frame, context, capture.kernel.responseProgram),
    records: capture.takeResponses(),
  });

  test.each([
    ["IPv4", ANSWER, 1, 20],
    ["IPv6", ANSWER6, 2, 40],
  ] as const)("to a flow of ours is dropped, and its headers are captured: %s", (_, frame, index, udp) => {
    const { verdict, records } = answered({ ...frame, payload: 500 });
    expect(verdict).toBe(DROP);
    expect(records).toMatchObject([{ index, tcp: udp, payload: udp + 8, length: 512 }]);
    expect(records[0]!.bytes.length).toBe(udp + 8);
  });

  test.each([
    ["a short one", 20, 20 + 8 + 32],
    ["a long one", 500, 128],
    ["the first fragment of a longer one", 60, 20 + 8 + 72],
  ])("on a path that is read has the beginning of its payload: %s", (name, payload, bytes) => {
    capture.flows.add(3, PORT);
    const isFragment = name.includes("fragment");
    const frame = {
      ...ANSWER,
      sourcePort: 8053,
      payload,
      ...(isFragment ? { moreFragments: true, seq: 4000 << 16 } : {}),
    };
    const { verdict, records } = answered(frame);
    expect(verdict).toBe(DROP);
    expect(records).toMatchObject([{ index: 3, tcp: 20, payload: 28 }]);
    expect(records[0]!.bytes.length).toBe(bytes);
  });

  test("that is one of several in a packet (GSO) has their size", () => {
    expect(answered({ ...ANSWER, payload: 500 }, { gsoSize: 128 }).records[0]!.think).toBe(128);
  });

  test("in fragments is dropped whole", () => {
    expect(answered({ ...ANSWER, id: 500, moreFragments: true, payload: 12 })).toMatchObject({
      verdict: DROP,
      records: [{ index: 1 }],
    });
    const rest = { ...ANSWER, id: 500, fragmentOffset: 4, payload: 12, sourcePort: 1, destinationPort: 2 };
    expect(answered(rest)).toEqual({ verdict: DROP, records: [] });
    expect(answered({ ...rest, id: 501 })).toEqual({ verdict: PASS, records: [] });
  });

  test.each([
    ["to a port that no flow of ours has", { ...ANSWER, destinationPort: PORT + 1 }],
    ["of another port", { ...ANSWER, sourcePort: 8081 }],
    ["of another host", { ...ANSWER, source: "10.0.0.8" }],
    ["of TCP, whose flow it is not", { ...ANSWER, protocol: 6 }],
  ])("%s passes", (_, frame) => {
    expect(answered(frame)).toEqual({ verdict: PASS, records: [] });
  });

  test("passes while user space is stalled", () => {
    capture.control.heartbeat(0);
    expect(answered(ANSWER).verdict).toBe(PASS);
  });
});
