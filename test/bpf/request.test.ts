/** The request program, by test runs in the kernel: which packets are captured, and as what. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { SEGMENT_FRAGMENT_INDEX } from "../../src/capture/record-index.ts";
import { type TestContext, testRun } from "../../src/native/bpf/test-run.ts";
import {
  ACK,
  AUTHENTICATION,
  build,
  DESTINATION_OPTIONS,
  FIN,
  FRAGMENT,
  type Frame,
  HOP_BY_HOP,
  PSH,
  ROUTING,
  RST,
  SYN,
} from "./build.ts";
import { loadForTest, MARK, type TestCapture } from "./capture.ts";
import { Namespace } from "./namespace.ts";

const PASS = -1;
const V6 = { source: "fd00::1", destination: "fd00::2" };
const OTHER_HOST = [2, 9, 9, 9, 9, 9];

let capture: TestCapture;
let namespace: Namespace;
let interfaces: number[];

beforeAll(() => {
  capture = loadForTest();
  namespace = new Namespace();
  namespace.ip("link", "add", "xca", "type", "veth", "peer", "name", "xcb");
  interfaces = ["xca", "xcb"].map((name) => namespace.ifindex(name));
});

afterAll(() => {
  capture?.kernel.detach();
  namespace?.remove();
});

let clients = 0;
/** Every test has a client of its own, so that none is taken for the repetition of another. */
let client: Frame;

beforeEach(() => {
  client = { sourcePort: 20000 + clients++ };
  capture.beat();
  capture.takeRequests();
  capture.counted();
});

function run(frame: Frame, context: TestContext = {}): number {
  const { bytes } = build({ ...client, ...frame });
  return namespace.enter(() => testRun(capture.kernel.requestProgram, bytes, context).verdict);
}

/** Runs one frame that must be captured whole, and returns its record. */
function captured(frame: Frame, index: number, context: TestContext = {}) {
  const { ip } = build({ ...client, ...frame });
  expect(run(frame, context)).toBe(PASS);
  const records = capture.takeRequests();
  expect(records).toHaveLength(1);
  const [record] = records;
  expect(record!.bytes).toEqual(ip);
  expect(record!.index).toBe(index);
  expect(capture.counted()).toEqual({ requestsCaptured: 1, requestBytes: ip.length });
  return record!;
}

function passedBy(frame: Frame, counters: Record<string, number>, context: TestContext = {}): void {
  expect(run(frame, context)).toBe(PASS);
  expect(capture.takeRequests()).toEqual([]);
  expect(capture.counted()).toEqual(counters);
}

describe("what is captured", () => {
  const cases: [name: string, frame: Frame, index: number, tcp: number][] = [
    ["data to the address of a service", { payload: "GET /" }, 1, 20],
    [
      "data to any address of this host",
      { destination: "10.7.7.7", destinationPort: 8080, payload: "x" },
      2,
      20,
    ],
    ["IPv6 data to the address of a service", { ...V6, payload: "GET /" }, 3, 40],
    [
      "IPv6 data to any address",
      { ...V6, destination: "fd00::77", destinationPort: 8080, payload: "x" },
      4,
      40,
    ],
    ["a SYN", { flags: SYN, tcpOptions: 20 }, 1, 20],
    ["a FIN without data", { flags: FIN | ACK }, 1, 20],
    ["a RST", { flags: RST }, 1, 20],
    ["data with FIN", { flags: FIN | PSH | ACK, payload: 10 }, 1, 20],
    ["IPv4 options", { ipOptions: 40, payload: 10 }, 1, 60],
    ["the longest TCP options", { tcpOptions: 40, payload: 10 }, 1, 20],
    ["a VLAN tag in the packet", { tags: [0x8100], payload: 10 }, 1, 20],
    ["two VLAN tags in the packet", { tags: [0x88a8, 0x8100], payload: 10 }, 1, 20],
    ["IPv6 in two VLAN tags", { ...V6, tags: [0x88a8, 0x8100], payload: 10 }, 3, 40],
    ["one extension header", { ...V6, extensions: [HOP_BY_HOP], payload: 10 }, 3, 48],
    [
      "four extension headers",
      {
        ...V6,
        extensions: [HOP_BY_HOP, [ROUTING, 24], [DESTINATION_OPTIONS, 16], [AUTHENTICATION, 24]],
        payload: 10,
      },
      3,
      40 + 8 + 24 + 16 + 24,
    ],
    ["a padded frame, without its padding", { payload: 1, padding: 5 }, 1, 20],
  ];
  test.each(cases)("%s", (_, frame, index, tcp) => {
    const record = captured(frame, index);
    expect(record.tcp).toBe(tcp);
    expect(record.payload).toBe(tcp + 20 + (frame.tcpOptions ?? 0));
    expect(record.length).toBe(record.bytes.length - record.payload);
    expect(record.think).toBe(-1);
  });

  // At and around every size that the program reserves; larger packets come over a veth, see test/capture.
  const sizes = [127, 128, 129, 255, 256, 257, 511, 512, 513, 1024, 1025, 1500, 1600, 1601, 2048, 2049, 3600];
  test.each(sizes)("a packet of %d bytes", (size) => {
    captured({ payload: size - 40 }, 1);
  });

  test("a packet whose length is only in the skb (BIG TCP)", () => {
    for (const [frame, index] of [
      [{}, 1],
      [V6, 3],
    ] as const) {
      captured({ ...frame, totalLength: 0, payload: 300 }, index);
    }
  });

  test("a packet to another MAC, if the address is exact", () => {
    captured({ destinationMac: OTHER_HOST, payload: 5 }, 1);
  });

  test.each([0x42, 0x60])("a packet to a MAC that begins with %d, like an IP header", (first) => {
    captured({ destinationMac: [first, 0, 0, 0, 0, 1], payload: 5 }, 1);
    captured({ ...V6, destinationMac: [first, 0, 0, 0, 0, 1], payload: 5 }, 3);
    passedBy({ destinationMac: [first, 0, 0, 0, 0, 1], destinationPort: 81, payload: 5 }, {});
  });

  test("a later time, in microseconds", () => {
    const first = captured({ seq: 1, payload: 5 }, 1);
    const second = captured({ seq: 6, payload: 5 }, 1);
    expect(second.time).toBeGreaterThan(first.time);
    expect(second.time - first.time).toBeLessThan(60e6);
  });
});

describe.each([
  ["IPv4", {}, 20],
  ["IPv6", { ...V6, extensions: [FRAGMENT] }, 48],
] as [string, Frame, number][])("fragments of segments over %s", (name, family, headers) => {
  const first = { ...family, moreFragments: true, payload: 104 };
  const later = { ...family, fragmentOffset: 16, payload: 100, sourcePort: 1, destinationPort: 2 };
  // In IPv6 the identification is always the same here.
  const from = (source: number) => ({ source: name === "IPv4" ? `10.1.1.${source}` : `fd00::1:${source}` });

  test("to a service are captured, the first one first or not", () => {
    for (const frame of [
      { ...first, ...from(1) },
      { ...later, ...from(1) },
      { ...later, ...from(2) },
    ]) {
      const record = captured(frame, SEGMENT_FRAGMENT_INDEX);
      expect([record.tcp, record.payload]).toEqual([headers, headers]);
      expect(record.length).toBe(record.bytes.length - headers);
    }
  });

  test("of others are not captured, where the first one has come", () => {
    passedBy({ ...first, ...from(3), destinationPort: 81 }, {});
    passedBy({ ...later, ...from(3) }, {});
    passedBy({ ...later, ...from(4), destinationMac: OTHER_HOST }, {});
  });

  test("that came over another interface before are left out", () => {
    const [one, other] = interfaces.map((ifindex) => ({ ifindex }));
    for (const frame of [first, later].map((each) => ({ ...each, ...from(5) }))) {
      captured(frame, SEGMENT_FRAGMENT_INDEX, one);
      passedBy(frame, { duplicates: 1 }, other);
    }
  });

  test("of flows that the sample leaves out are not captured", () => {
    capture.control.setSample(0);
    passedBy({ ...first, ...from(6) }, { unsampled: 1 });
    passedBy({ ...later, ...from(6) }, {});
    capture.control.setSample(1);
  });
});

describe("what is not captured", () => {
  const cases: [name: string, frame: Frame, counters: Record<string, number>][] = [
    ["another port", { destinationPort: 81, payload: 5 }, {}],
    ["the port of a service at another address", { destination: "10.0.0.3", payload: 5 }, {}],
    [
      "an IPv6 address that begins with the bytes of an IPv4 service",
      { source: "fd00::1", destination: "a00:2::", payload: 5 },
      {},
    ],
    [
      "a packet to another host, for a service at any address",
      { destinationMac: OTHER_HOST, destinationPort: 8080, payload: 5 },
      {},
    ],
    ["UDP", { protocol: 17, payload: 5 }, {}],
    ["IPv6 with another protocol", { ...V6, protocol: 17, payload: 5 }, {}],
    ["five extension headers", { ...V6, extensions: Array(5).fill(HOP_BY_HOP), payload: 5 }, {}],
    ["three VLAN tags", { tags: [0x88a8, 0x8100, 0x8100], payload: 5 }, {}],
    ["a pure ACK", { flags: ACK }, { pureAcks: 1 }],
    ["a pure ACK in a padded frame", { flags: ACK, padding: 6 }, { pureAcks: 1 }],
    ["an IPv6 pure ACK", { ...V6, flags: ACK }, { pureAcks: 1 }],
    ["a first fragment to another port", { moreFragments: true, destinationPort: 81, payload: 104 }, {}],
    [
      "a later fragment to another host",
      { id: 9, fragmentOffset: 185, destinationMac: OTHER_HOST, payload: 100 },
      {},
    ],
    ["a later fragment of UDP", { protocol: 17, fragmentOffset: 185, payload: 100 }, {}],
    ["an IP length beyond the packet", { totalLength: 1000, payload: 5 }, { unreadable: 1 }],
    ["an IP length within the headers", { totalLength: 39, payload: 5 }, {}],
  ];
  test.each(cases)("%s", (_, frame, counters) => {
    passedBy(frame, counters);
  });

  test("what xcopy sent, by its mark", () => {
    passedBy({ payload: 5 }, { ownMark: 1 }, { mark: MARK });
    captured({ payload: 5 }, 1, { mark: MARK + 1 });
  });

  test("frames too short for their headers", () => {
    const { bytes } = build({ ...client, payload: 5 });
    for (let length = 34; length < 54; length++) {
      namespace.enter(() =>
        expect(testRun(capture.kernel.requestProgram, bytes.subarray(0, length)).verdict).toBe(PASS),
      );
    }
    expect(capture.takeRequests()).toEqual([]);
    expect(capture.counted()).toEqual({});
  });
});

describe("pure ACKs", () => {
  const ack = { flags: ACK, source: "10.0.66.1", seq: 5000, ack: 7000 };

  test("the one that ends a handshake is captured, once, whatever other ACKs come between", () => {
    run({ ...ack, seq: 4999, flags: SYN });
    capture.takeRequests();
    capture.counted();
    passedBy({ ...ack, seq: 5001 }, { pureAcks: 1 });
    passedBy({ ...ack, seq: 4999 }, { pureAcks: 1 });
    captured(ack, 1);
    passedBy(ack, { pureAcks: 1 });
  });

  test("after a SYN with data it has the number after the data", () => {
    run({ ...ack, seq: 4999, flags: SYN, payload: 30 });
    capture.takeRequests();
    capture.counted();
    passedBy({ ...ack, seq: 5000 }, { pureAcks: 1 });
    captured({ ...ack, seq: 5030 }, 1);
  });
});

describe("think time", () => {
  const data = { seq: 5000, ack: 7000, payload: 10 };

  test("is known after a pure ACK with the same seq and ack", () => {
    run({ seq: 5000, ack: 7000, flags: ACK });
    capture.counted();
    const { think } = captured(data, 1);
    expect(think).toBeGreaterThanOrEqual(0);
    expect(think).toBeLessThan(60e6);
  });

  test.each([
    ["seq", { seq: 4999, ack: 7000 }],
    ["ack", { seq: 5000, ack: 6999 }],
    ["port", { seq: 5000, ack: 7000, sourcePort: 19999 }],
    ["address", { seq: 5000, ack: 7000, source: "10.0.0.7" }],
  ])("is not known after one with another %s", (_, ack) => {
    run({ ...ack, flags: ACK });
    capture.counted();
    expect(captured(data, 1).think).toBe(-1);
  });

  test("is not taken from another flow that shares its slot", () => {
    // More flows than there are slots: some share that of the flow that sends data then.
    const { bytes } = build({ seq: 5000, ack: 7000, flags: ACK });
    const view = new DataView(bytes.buffer);
    for (let flow = 0; flow < 150_000; flow++) {
      view.setUint16(14 + 14, flow >> 14);
      view.setUint16(14 + 20, 1 + (flow & 0x3fff));
      if (flow % 100 === 0) capture.beat();
      if (flow % 10_000 === 0) capture.takeRequests();
      testRun(capture.kernel.requestProgram, bytes);
    }
    // Some are a sign of life, because another flow has used their slot for that, too.
    const { pureAcks = 0, requestsCaptured = 0 } = capture.counted();
    expect(pureAcks + requestsCaptured).toBe(150_000);
    capture.takeRequests();
    for (let port = 0; port < 20; port++) {
      expect(captured({ ...data, source: "10.0.77.77", sourcePort: 40000 + port }, 1).think).toBe(-1);
    }
  });
});

describe("what production's TCP would say", () => {
  test("a packet that the kernel has put together has no checksum of its own", () => {
    expect(captured({ seq: 6000, payload: 2000 }, 1, { gsoSize: 1000 }).isVerified).toBe(true);
    expect(captured({ seq: 8000, payload: 2000 }, 1).isVerified).toBe(false);
  });

  test("an acknowledgement far from the flow's last pure ACK is told", () => {
    const flow = { sourcePort: 50077, seq: 5000 };
    const far = (ack: number, flags?: number) =>
      captured({ ...flow, payload: 10, ack, ...(flags === undefined ? {} : { flags }) }, 1).acksFar;
    const most = 16 << 20;
    expect(far(7)).toBe(false);
    expect(far(2 ** 31)).toBe(false);
    run({ ...flow, ack: 2 ** 32 - 10, flags: ACK });
    capture.counted();
    expect([most - 10, most - 9, 2 ** 32 - 10 - most, 2 ** 32 - 11 - most].map((ack) => far(ack))).toEqual([
      false,
      true,
      false,
      true,
    ]);
    expect(far(0, RST)).toBe(false);
  });

  test("what a neighbour acknowledges is not taken for the client's own", () => {
    // The bits by which their ports differ are those by which their addresses do.
    run({ source: "10.0.66.4", sourcePort: 50_078, ack: 7, flags: ACK });
    capture.counted();
    const own = { source: "10.0.66.5", sourcePort: 50_079, payload: 10, ack: 2 ** 31 };
    expect(captured(own, 1).acksFar).toBe(false);
  });
});

describe("a packet on a second interface", () => {
  const data = { payload: 10, id: 77 };

  test("is not captured again", () => {
    captured(data, 1, { ifindex: interfaces[0]! });
    passedBy(data, { duplicates: 1 }, { ifindex: interfaces[1]! });
    passedBy(data, { duplicates: 1 }, { ifindex: interfaces[1]! });
  });

  test("is captured again on the same interface: a retransmission", () => {
    captured(data, 1, { ifindex: interfaces[0]! });
    captured(data, 1, { ifindex: interfaces[0]! });
  });

  test.each([
    ["seq", { seq: 1001 }],
    ["ack", { ack: 2001 }],
    ["length", { payload: 11 }],
    ["id", { id: 78 }],
    ["flags", { flags: ACK | FIN }],
    ["client", { sourcePort: 19998 }],
  ])("is captured if it has another %s", (_, difference) => {
    captured(data, 1, { ifindex: interfaces[0]! });
    captured({ ...data, ...difference }, 1, { ifindex: interfaces[1]! });
  });

  test("is recognised among many others", () => {
    for (let seq = 0; seq < 50; seq++) captured({ seq, payload: 1 }, 1, { ifindex: interfaces[0]! });
    for (let seq = 0; seq < 50; seq++) {
      passedBy({ seq, payload: 1 }, { duplicates: 1 }, { ifindex: interfaces[1]! });
    }
  });
});
