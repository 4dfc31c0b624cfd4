/** The outgoing program, by test runs in the kernel: how much is captured of what services send, over TCP and UDP. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { OUTGOING } from "../../src/capture/record-index.ts";
import { outgoingProgram } from "../../src/host/carried-programs.ts";
import { testRun } from "../../src/native/bpf/test-run.ts";
import { monotonicMicroseconds } from "../../src/native/libc.ts";
import { DATAGRAM_BYTES, HEAD_BYTES, type Prefix, WHOLE } from "../../src/wire/prefix.ts";
import { ACK, build, bytesOf, FIN, type Frame, RST, SYN } from "./build.ts";
import { type Captured, loadForTest, MARK, OPTIONS, type TestCapture } from "./capture.ts";

const PASS = -1;
const UDP = 17;
const HEADS: Prefix = { bytes: 512, takesHeads: true };
const DATAGRAMS: Prefix = { bytes: DATAGRAM_BYTES, takesHeads: false };
const HEAD = `HTTP/1.1 200 OK\r\nX: ${"x".repeat(900)}\r\n\r\n`;
/** A test run takes no larger frame of IPv6 on every kernel. */
const LONG = 3000;

/** Services 1 and 2: heads; 3 and 4: all; 5 and 6: datagrams. */
const SERVICES = [
  { ...OPTIONS.services[0]!, payload: HEADS },
  { ...OPTIONS.services[1]!, payload: { bytes: 64, takesHeads: false } },
  { ...OPTIONS.services[2]!, payload: HEADS },
  { ...OPTIONS.services[3]!, payload: WHOLE },
  { address: null, family: 4 as const, port: 53, index: 5, transport: "udp" as const, payload: DATAGRAMS },
  {
    address: bytesOf("fd00::2"),
    family: 6 as const,
    port: 53,
    index: 6,
    transport: "udp" as const,
    payload: DATAGRAMS,
  },
];

let capture: TestCapture;
let client = 20_000;
beforeAll(() => {
  capture = loadForTest({
    services: SERVICES,
    paths: null,
    outgoingObject: outgoingProgram(),
    outgoingServices: SERVICES,
  });
});
afterAll(() => capture?.kernel.detach());
beforeEach(() => {
  capture.beat();
  capture.takeRequests();
  capture.counted();
});

const V6 = { source: "fd00::2", destination: "fd00::1" };
const answer = (some: Frame): Frame => ({
  source: "10.0.0.2",
  destination: "10.0.0.1",
  sourcePort: 80,
  destinationPort: client++,
  flags: ACK,
  ...some,
});

/** The bytes of a UDP header are the first 8 of a TCP header: ports, then length and checksum. */
const datagram = (some: Frame & { payload: number }, said = 20 + some.payload): Frame =>
  answer({ protocol: UDP, sourcePort: 53, seq: said * 65_536 + 0x1234, ...some });

function run(fields: Frame, context = {}): { records: Captured[]; ip: Uint8Array } {
  const { bytes, ip } = build(fields);
  expect(testRun(capture.kernel.outgoingProgram, bytes, context).verdict).toBe(PASS);
  return { records: capture.takeRequests(), ip };
}

describe("of a segment", () => {
  const cases: [name: string, fields: Frame, index: number, captured: number][] = [
    ["that is short, all", { payload: 511 }, 1, 511],
    ["of 512 bytes, all", { payload: 512 }, 1, 512],
    ["of more, a prefix", { payload: 1400 }, 1, 512],
    ["that begins with a head, all", { payload: HEAD }, 1, HEAD.length],
    ["whose head has no end, all", { payload: `HTTP/1.0${"x".repeat(LONG - 8)}` }, 1, LONG],
    ["of another version, a prefix", { payload: `HTTP/2.0${"x".repeat(900)}` }, 1, 512],
    ["with a head behind its first byte, a prefix", { payload: ` ${HEAD}` }, 1, 512],
    ["of IPv6, a prefix", { ...V6, payload: 1400 }, 3, 512],
    ["of IPv6 with a head, all", { ...V6, payload: HEAD }, 3, HEAD.length],
    ["with options, a prefix", { tcpOptions: 40, ipOptions: 40, payload: 1400 }, 1, 512],
    ["with extension headers and a head, all", { ...V6, extensions: [0, 43], payload: HEAD }, 3, HEAD.length],
    ["in VLANs, a prefix", { tags: [0x88a8, 0x8100], payload: 1400 }, 1, 512],
    ["in VLANs with a head, all", { tags: [0x8100], payload: HEAD }, 1, HEAD.length],
    ["of a service without heads, a prefix", { sourcePort: 8080, payload: HEAD }, 2, 64],
    ["of a service that is read whole, all", { ...V6, sourcePort: 8080, payload: LONG }, 4, LONG],
  ];
  test.each(cases)("%s", (_, fields, index, captured) => {
    const { records, ip } = run(answer(fields));
    const [record] = records;
    expect(records).toHaveLength(1);
    const headers = record!.payload;
    expect(record!.index).toBe(OUTGOING + index);
    expect(record!.bytes).toEqual(ip.subarray(0, headers + captured));
    expect(record!.length).toBe(ip.length - headers);
    expect(capture.counted()).toEqual({ outgoingCaptured: 1, outgoingBytes: ip.length });
  });

  test.each([
    ["SYN-ACK", SYN | ACK],
    ["FIN", FIN | ACK],
    ["RST", RST],
  ])("a %s is captured, as it says how the stream begins or ends", (_, flags) => {
    expect(run(answer({ flags })).records).toHaveLength(1);
  });

  test("a pure ACK is not", () => {
    expect(run(answer({})).records).toEqual([]);
    expect(capture.counted()).toEqual({ pureAcks: 1 });
  });

  test("the same again is captured again, as the client may have missed the first", () => {
    const fields = answer({ payload: 10, id: 7 });
    expect(run(fields).records).toHaveLength(1);
    expect(run(fields).records).toHaveLength(1);
  });

  test("its flags and the length of a segment that was not cut yet are those of the packet", () => {
    const { records } = run(answer({ payload: LONG, flags: FIN | ACK }), { gsoSize: 1448 });
    expect(records.map(({ length, bytes }) => [length, bytes.length])).toEqual([[LONG, 40 + 512]]);
  });
});

describe("of a datagram", () => {
  test.each<[string, Frame & { payload: number }, number]>([
    ["all", { payload: 1232 }, 5],
    ["of IPv6, all", { ...V6, payload: 1232 }, 6],
    ["in a VLAN, all", { tags: [0x8100], payload: 100 }, 5],
    ["that is empty, its header", { payload: 0 }, 5],
  ])("%s", (_, fields, index) => {
    // `payload` of build is what is behind 20 bytes of a TCP header.
    const { records, ip } = run(datagram(fields));
    expect(records.map(({ bytes, index: of, think }) => ({ bytes, of, think }))).toEqual([
      { bytes: ip, of: OUTGOING + index, think: -1 },
    ]);
    expect(records[0]!.payload).toBe(ip.length - 12 - fields.payload);
    expect(capture.counted()).toEqual({ outgoingCaptured: 1, outgoingBytes: ip.length });
  });

  test("in fragments, the first one, with the length of all", () => {
    const first = datagram({ payload: 1000, moreFragments: true, id: 9 }, 2008);
    const { records, ip } = run(first);
    expect(records.map(({ bytes, length, index }) => ({ bytes, length, index }))).toEqual([
      { bytes: ip, length: 2000, index: OUTGOING + 5 },
    ]);
    const later = datagram({ payload: 1000, id: 9, fragmentOffset: 125 });
    expect(run(later).records).toEqual([]);
  });

  test("that is several (UDP_SEGMENT), how long each is", () => {
    const { records } = run(datagram({ payload: 300 }), { gsoSize: 100 });
    expect(records.map(({ think }) => think)).toEqual([100]);
  });

  test.each<[string, Frame]>([
    ["from another port", { sourcePort: 54 }],
    ["to the port", { sourcePort: 5000, destinationPort: 53 }],
    ["from a TCP service's port", { sourcePort: 80 }],
  ])("%s: nothing", (_, some) => {
    expect(run({ ...datagram({ payload: 10 }), ...some }).records).toEqual([]);
    expect(capture.counted()).toEqual({});
  });

  test("of ours, nothing", () => {
    expect(run(datagram({ payload: 10 }), { mark: MARK }).records).toEqual([]);
    expect(capture.counted()).toEqual({ ownMark: 1 });
  });

  test("while user space stalls, nothing, and that is counted", () => {
    capture.control.heartbeat(monotonicMicroseconds() / 1000 - 10_000);
    expect(run(datagram({ payload: 10 })).records).toEqual([]);
    expect(capture.counted()).toEqual({ inert: 1 });
  });
});

test("a client's datagrams and those to it have one worker", () => {
  const several = loadForTest({
    services: SERVICES,
    paths: null,
    workers: 4,
    outgoingObject: outgoingProgram(),
    outgoingServices: SERVICES,
  });
  several.beat();
  const { requestProgram, outgoingProgram: program } = several.kernel;
  for (let last = 1; last <= 40; last++) {
    const there = datagram({ payload: 10, destination: `10.0.0.${last}` });
    const asked = {
      ...there,
      source: there.destination!,
      destination: "10.0.0.2",
      sourcePort: 4000,
      destinationPort: 53,
    };
    testRun(requestProgram, build(asked).bytes);
    testRun(program, build(there).bytes);
    const each = several.workers.map(({ requests }) => {
      let count = 0;
      requests.drain(() => count++, 10);
      return count;
    });
    expect(each.toSorted()).toEqual([0, 0, 0, 2]);
  }
  several.kernel.detach();
});

test("half of the rings is for requests: answers that are only compared leave it to them", () => {
  const small = loadForTest({
    services: SERVICES,
    paths: null,
    requestRingBytes: 1 << 16,
    outgoingObject: outgoingProgram(),
    outgoingServices: SERVICES,
  });
  small.beat();
  const { kernel } = small;
  const send = (program: number, fields: Frame, count: number) => {
    for (let time = 0; time < count; time++) testRun(program, build({ ...fields, seq: time }).bytes);
  };
  // More than all CPUs have room for.
  const many = kernel.requestRings.length * 80;
  send(kernel.outgoingProgram, answer({ payload: 1400 }), many);
  const before = kernel.stats();
  expect(before.outgoingRingFull).toBeGreaterThan(0);
  send(kernel.requestProgram, { payload: 1400 }, 10);
  // What decides about logins is captured as long as there is room.
  send(kernel.outgoingProgram, answer({ sourcePort: 8080, payload: 10 }), 10);
  const { requestsCaptured, requestRingFull, outgoingCaptured } = kernel.stats();
  expect([requestsCaptured, requestRingFull]).toEqual([10, 0]);
  expect(outgoingCaptured - before.outgoingCaptured).toBe(10);
  kernel.detach();
});

test("what finds no room in the rings is counted by itself, and passes", () => {
  const small = loadForTest({
    services: SERVICES,
    paths: null,
    requestRingBytes: 4096,
    outgoingObject: outgoingProgram(),
    outgoingServices: SERVICES,
  });
  small.beat();
  for (let count = 0; count < 20; count++)
    testRun(small.kernel.outgoingProgram, build(answer({ payload: HEAD_BYTES / 4 })).bytes);
  const { outgoingCaptured, outgoingRingFull, requestRingFull, responseRingFull } = small.kernel.stats();
  expect(outgoingRingFull).toBeGreaterThan(0);
  expect(outgoingCaptured + outgoingRingFull).toBe(20);
  expect([requestRingFull, responseRingFull]).toEqual([0, 0]);
  small.kernel.detach();
});
