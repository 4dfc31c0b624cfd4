/** The programs of the intercept, by test runs in the kernel: what is learned, caught and swallowed. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { OPEN, OPENING, UNNUMBERED } from "../../src/channel/registration.ts";
import { FORMER } from "../../src/intercept/data-plane/flow-maps.ts";
import { AHEAD, MOST_IN_FLIGHT, NEAR } from "../../src/intercept/data-plane/proof.ts";
import { testRun } from "../../src/native/bpf/test-run.ts";
import {
  answerTo,
  COOKIE,
  cookieOption,
  flowOf,
  loadForTest,
  SLOT,
  type TestIntercept,
} from "../intercept/load.ts";
import {
  ACK,
  AUTHENTICATION,
  build,
  bytesOf,
  DESTINATION_OPTIONS,
  FIN,
  type Frame,
  HOP_BY_HOP,
  PSH,
  ROUTING,
  RST,
  SYN,
} from "./build.ts";

const PASS = -1;
/** Of a redirect to nowhere: the packet is gone, and its sender takes it for sent. */
const GONE = 7;
const MARKED = cookieOption(COOKIE);
const FORGED: Frame = {
  source: "203.0.113.7",
  destination: "10.0.0.2",
  sourcePort: 40000,
  destinationPort: 8080,
  flags: SYN,
  options: MARKED,
};
const FORGED6: Frame = { ...FORGED, source: "2001:db8::7", destination: "fd00::2" };

let intercept: TestIntercept;

function learn(frame: Frame): number {
  return testRun(intercept.kernel.learnProgram, build(frame).bytes).verdict;
}

function send(frame: Frame): number {
  return testRun(intercept.kernel.catchProgram, build(frame).bytes).verdict;
}

function forgetAll(): void {
  for (const one of [FORGED, FORGED6]) intercept.learned.remove(flowOf(one));
}

describe("target", () => {
  beforeAll(() => {
    intercept = loadForTest({
      services: [
        { address: null, family: 4, ports: [[8080, 8080]] },
        { address: null, family: 6, ports: [[8080, 8080]] },
        { address: bytesOf("10.0.0.3"), family: 4, ports: [[9000, 9100]] },
        { address: bytesOf("10.0.0.3"), family: 4, ports: [[9200, 9200]] },
        { address: bytesOf("fd00::3"), family: 6, ports: [[443, 443]] },
      ],
    });
  });

  afterAll(() => {
    intercept?.kernel.detach();
  });

  beforeEach(() => {
    intercept.beat();
    forgetAll();
    intercept.take();
    intercept.counted();
  });

  describe("a SYN with a cookie of ours passes, and its flow is learned", () => {
    const others = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
    const cases: [name: string, frame: Frame][] = [
      ["alone", FORGED],
      ["behind other options", { ...FORGED, options: [...others, ...MARKED] }],
      ["before other options", { ...FORGED, options: [...MARKED, ...others] }],
      ["behind as much padding as there can be", { ...FORGED, options: [...Array(28).fill(1), ...MARKED] }],
      ["behind another experiment", { ...FORGED, options: [253, 4, 0xf9, 0x89, ...MARKED] }],
      ["behind an experiment as long", { ...FORGED, options: [253, 12, 0xf9, 0x89, ...COOKIE, ...MARKED] }],
      ["with data", { ...FORGED, payload: 100 }],
      ["with ECN", { ...FORGED, flags: SYN | 0xc0 }],
      ["with IP options", { ...FORGED, ipOptions: 40 }],
      ["in a VLAN", { ...FORGED, tags: [0x88a8, 0x8100] }],
      ["IPv6", FORGED6],
      [
        "IPv6 with extension headers",
        { ...FORGED6, extensions: [HOP_BY_HOP, [ROUTING, 24], DESTINATION_OPTIONS] },
      ],
      ["the first port of a range", { ...FORGED, destination: "10.0.0.3", destinationPort: 9000 }],
      ["the last port of a range", { ...FORGED, destination: "10.0.0.3", destinationPort: 9100 }],
      ["another range of the address", { ...FORGED, destination: "10.0.0.3", destinationPort: 9200 }],
      ["any address, though it has ports of its own", { ...FORGED, destination: "10.0.0.3" }],
      ["an IPv6 address", { ...FORGED6, destination: "fd00::3", destinationPort: 443 }],
      ["to a machine behind a bridge", { ...FORGED, destinationMac: [2, 9, 9, 9, 9, 9] }],
    ];
    test.each(cases)("%s", (_, frame) => {
      expect(learn(frame)).toBe(PASS);
      expect(intercept.counted()).toEqual({ learned: 1 });
      expect(intercept.learned.count()).toBe(1);
      expect(send({ ...answerTo(frame), flags: SYN | ACK })).toBe(GONE);
      expect(intercept.take().map(({ index }) => index)).toEqual([SLOT]);
      intercept.learned.remove(flowOf(frame));
      expect(intercept.learned.isEmpty).toBe(true);
      expect(send({ ...answerTo(frame), flags: SYN | ACK })).toBe(PASS);
    });
  });

  describe("what is not learned", () => {
    const cases: [name: string, frame: Frame, counted: Record<string, number>][] = [
      ["a SYN of somebody else", { ...FORGED, options: [2, 4, 5, 180] }, {}],
      ["a SYN without options", { ...FORGED, options: [] }, {}],
      ["a SYN-ACK", { ...FORGED, flags: SYN | ACK }, {}],
      ["data", { ...FORGED, flags: ACK | PSH, payload: 5 }, {}],
      [
        "another cookie",
        { ...FORGED, options: cookieOption(Uint8Array.from(COOKIE).reverse()) },
        { unknownCookies: 1 },
      ],
      ["another experiment", { ...FORGED, options: [253, 12, 0x78, 0x64, ...COOKIE] }, {}],
      ["the other experimental kind", { ...FORGED, options: [254, 12, 0x78, 0x63, ...COOKIE] }, {}],
      ["behind the end of the options", { ...FORGED, options: [0, 1, 1, 1, ...MARKED] }, {}],
      ["inside another option", { ...FORGED, options: [30, 16, 0, 0, ...MARKED] }, {}],
      ["behind an option of no length", { ...FORGED, options: [30, 0, 1, 1, ...MARKED] }, {}],
      ["cut by the end of the header", { ...FORGED, options: [...MARKED.slice(0, 8)], payload: COOKIE }, {}],
      ["in the payload", { ...FORGED, options: [], payload: Uint8Array.from(MARKED) }, {}],
      ["another port", { ...FORGED, destinationPort: 8081 }, {}],
      ["a port of another address", { ...FORGED, destinationPort: 9000 }, {}],
      ["a port behind the range", { ...FORGED, destination: "10.0.0.3", destinationPort: 9101 }, {}],
      ["an IPv6 address's port on another", { ...FORGED6, destinationPort: 443 }, {}],
      ["UDP", { ...FORGED, protocol: 17 }, {}],
      ["a fragment", { ...FORGED, fragmentOffset: 1 }, {}],
    ];
    test.each(cases)("%s", (_, frame, counted) => {
      expect(learn(frame)).toBe(PASS);
      expect(intercept.counted()).toEqual(counted);
      expect(intercept.learned.isEmpty).toBe(true);
    });
  });

  test("a cookie is valid from set to remove, and each has its slot", () => {
    const other = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
    const frame = { ...FORGED, options: cookieOption(other) };
    intercept.cookies.set(other, 1023);
    learn(frame);
    send(answerTo(frame));
    expect(intercept.take().map(({ index }) => index)).toEqual([1023]);
    intercept.cookies.remove(other);
    intercept.cookies.remove(other);
    learn({ ...frame, sourcePort: 40001 });
    expect(intercept.learned.count()).toBe(1);
    // What was learned stays.
    expect(send(answerTo(frame))).toBe(GONE);
  });

  test("a real client with the address and port of an earlier copied flow gets its responses", () => {
    learn(FORGED);
    expect(send(answerTo(FORGED))).toBe(GONE);
    learn({ ...FORGED, options: Array(20).fill(1) });
    expect(send(answerTo(FORGED))).toBe(PASS);
    expect(intercept.counted()).toMatchObject({ learned: 1, forgotten: 1 });
    expect(intercept.take().map(({ index }) => index)).toEqual([SLOT]);
  });

  describe("a flow that was registered", () => {
    const OWNER = 7 + 3 * 1024;
    const ISN = 0xfffffffe;
    const syn = { ...FORGED, options: Array(20).fill(1) };
    const answer = answerTo(FORGED);

    beforeAll(() => intercept.owners.set(OWNER));

    function register(state: number, una: number, max = una, rcv = 0, frame = FORGED): void {
      intercept.registered.add(flowOf(frame), 0, OWNER, una, max, rcv, state);
      intercept.registered.flush();
      intercept.setRegisters();
    }

    afterEach(() => {
      intercept.registered.remove(flowOf(FORGED), 0);
      intercept.registered.remove(flowOf(FORGED6), 0);
      intercept.registered.flush();
    });

    const cases: [name: string, proof: number[], frame: Frame, is: boolean][] = [
      ["SYN-ACK of the copy's SYN", [OPENING, 1001], { flags: SYN | ACK, seq: 7, ack: 1001 }, true],
      ["RST of the copy's SYN", [OPENING, 1001], { flags: RST | ACK, seq: 0, ack: 1001 }, true],
      ["SYN-ACK of a real client's SYN", [OPENING, 1001], { flags: SYN | ACK, seq: 7, ack: 1002 }, false],
      [
        "data of a real client's connection",
        [OPENING, 1001],
        { flags: ACK, seq: 7, ack: 9, payload: 9 },
        false,
      ],
      ["RST without ACK", [OPENING, 1001], { flags: RST, seq: 1001, ack: 1001 }, false],
      ["ACK in an open connection", [OPEN, 5000, 6000, 90], { flags: ACK, seq: 90, ack: 6000 }, true],
      ["ACK of what was sent later", [OPEN, 5000, 5000, 90], { flags: ACK, seq: 90, ack: 5700 }, true],
      ["data sent again", [OPEN, 0xffffff00, 100, 20], { flags: ACK, seq: 0xfffffff0, ack: 50 }, true],
      ["ACK from below", [OPEN, 5000, 6000, 90], { flags: ACK, seq: 90, ack: 4999 }, false],
      ["ACK from above", [OPEN, 5000, 6000, 90], { flags: ACK, seq: 90, ack: 6001 + AHEAD }, false],
      [
        "all in flight",
        [OPEN, 5000, 4999, 90],
        { flags: ACK, seq: 90, ack: 5001 + MOST_IN_FLIGHT + AHEAD },
        false,
      ],
      ["data from elsewhere", [OPEN, 5000, 6000, 90], { flags: ACK, seq: 91 + NEAR, ack: 6000 }, false],
      ["RST of a target that was restarted", [OPEN, 5000, 6000, 90], { flags: RST, seq: 90, ack: 0 }, true],
      ["another RST", [OPEN, 5000, 6000, 90], { flags: RST, seq: 91, ack: 0 }, false],
      ["SYN-ACK to a tcpcopy", [UNNUMBERED, 0], { flags: SYN | ACK, seq: 7, ack: 1001 }, true],
      ["RST to a tcpcopy's SYN", [UNNUMBERED, 0], { flags: RST | ACK, seq: 0, ack: 1001 }, true],
      ["data, registered by a tcpcopy", [UNNUMBERED, 0], { flags: ACK, seq: 7, ack: 1001 }, false],
      ["RST, registered by a tcpcopy", [UNNUMBERED, 0], { flags: RST | ACK, seq: 7, ack: 1001 }, false],
    ];
    test.each(cases)("is the copy's from what only its connection can have: %s", (_, proof, frame, is) => {
      const [state, una, max, rcv] = proof;
      register(state!, una!, max, rcv);
      expect(send({ ...answer, ...frame })).toBe(is ? GONE : PASS);
      expect(intercept.counted()).toMatchObject(is ? { confirmed: 1, responsesCaptured: 1 } : {});
      expect(intercept.take().map(({ index }) => index)).toEqual(is ? [OWNER] : []);
      // From then on all of it is.
      expect(send({ ...answer, seq: 1 << 30, ack: 1 << 30 })).toBe(is ? GONE : PASS);
      expect(intercept.learned.count()).toBe(is ? 1 : 0);
    });

    test("is the copy's from its SYN on, if the mark on that was lost on the way", () => {
      register(OPENING, (ISN + 1) >>> 0);
      expect(learn({ ...syn, seq: ISN })).toBe(PASS);
      expect(intercept.counted()).toEqual({ confirmed: 1 });
      // A challenge ACK, of an older connection.
      expect(send({ ...answer, flags: ACK, seq: 1, ack: 2 })).toBe(GONE);
      learn({ ...syn, seq: ISN });
      expect(send({ ...answer, flags: SYN | ACK, ack: ISN + 1 })).toBe(GONE);
      // Another SYN is a real client's.
      learn({ ...syn, seq: 5 });
      expect(intercept.counted()).toMatchObject({ forgotten: 1 });
      expect(send({ ...answer, flags: SYN | ACK, ack: 6 })).toBe(PASS);
    });

    test("of IPv6 is as well", () => {
      register(OPENING, 1001, 1001, 0, FORGED6);
      expect(send({ ...answerTo(FORGED6), flags: SYN | ACK, ack: 1000 })).toBe(PASS);
      expect(send({ ...answerTo(FORGED6), flags: SYN | ACK, ack: 1001 })).toBe(GONE);
    });

    test("is taken from another copy by a new connection alone", () => {
      learn(FORGED);
      register(OPEN, 2000, 2000, 1000);
      send(answer);
      register(OPENING, 77);
      send({ ...answer, flags: ACK, ack: 77 });
      send({ ...answer, flags: SYN | ACK, ack: 77 });
      send(answer);
      expect(intercept.take().map(({ index }) => index)).toEqual([SLOT, SLOT, OWNER, OWNER]);
    });

    test("is the copy's again, if it was a copy's before the intercept was restarted", () => {
      intercept.learned.add(flowOf(FORGED), FORMER);
      register(OPEN, 2000, 2000, 1000);
      send({ ...answer, seq: 1 << 30 });
      send(answer);
      send({ ...answer, seq: 1 << 30 });
      expect(intercept.take().map(({ index }) => index)).toEqual([FORMER, OWNER, OWNER]);
    });

    test("ICMP errors about its packets are dropped, those about a real client's pass", () => {
      register(OPENING, 1001);
      const error = (seq: number) =>
        testRun(intercept.kernel.catchProgram, icmp({ ...FORGED, seq }, 3, 3)).verdict;
      expect([error(1000), error(1001), error(1002), error(999)]).toEqual([GONE, GONE, PASS, PASS]);
      register(OPEN, 5000, 6000, 90);
      expect([error(4999), error(5000), error(6000)]).toEqual([PASS, GONE, GONE]);
      register(UNNUMBERED, 0);
      expect(error(5000)).toBe(PASS);
    });
  });

  describe("a response in a learned flow is dropped, and its headers are captured", () => {
    const answer = answerTo(FORGED);
    const answer6 = answerTo(FORGED6);
    const cases: [name: string, frame: Frame, headers: number][] = [
      ["SYN-ACK", { ...answer, flags: SYN | ACK, tcpOptions: 20 }, 60],
      ["ACK", { ...answer, flags: ACK }, 40],
      ["data", { ...answer, payload: 1448, tcpOptions: 12 }, 52],
      ["FIN", { ...answer, flags: FIN | ACK }, 40],
      ["RST", { ...answer, flags: RST }, 40],
      ["VLAN", { ...answer, tags: [0x8100], payload: 9 }, 40],
      ["all options", { ...answer, ipOptions: 40, tcpOptions: 40, payload: 9 }, 120],
      ["IPv6", { ...answer6, payload: 1400, tcpOptions: 12 }, 72],
      [
        "IPv6 with extension headers",
        { ...answer6, extensions: [HOP_BY_HOP, [AUTHENTICATION, 24]], payload: 3 },
        92,
      ],
    ];
    test.each(cases)("%s", (_, frame, headers) => {
      intercept.learned.add(Uint8Array.of(...flowOf(FORGED), ...flowOf(FORGED6)), SLOT);
      const { ip } = build(frame);
      expect(send(frame)).toBe(GONE);
      const [record, ...others] = intercept.take();
      expect(others).toEqual([]);
      expect(record).toMatchObject({ payload: headers, length: ip.length - headers, index: SLOT, think: -1 });
      expect(record!.bytes).toEqual(ip.subarray(0, headers));
      expect(intercept.counted()).toEqual({ responsesCaptured: 1, responseBytes: ip.length });
    });
  });

  describe("what passes at egress", () => {
    const answer = answerTo(FORGED);
    const cases: [name: string, frame: Frame, counted?: Record<string, number>][] = [
      ["another client", { ...answer, destination: "203.0.113.8" }],
      ["another port of the client", { ...answer, destinationPort: 40001 }],
      ["another address of the server", { ...answer, source: "10.0.0.3" }],
      ["another port of the server", { ...answer, sourcePort: 8081 }],
      ["the client's own packets", { ...FORGED, options: [] }],
      ["UDP", { ...answer, protocol: 17 }],
      ["IPv6", answerTo(FORGED6)],
      ["a later fragment", { ...answer, fragmentOffset: 10, payload: 9 }, { fragments: 1 }],
    ];
    test.each(cases)("%s", (_, frame, counted = {}) => {
      learn(FORGED);
      intercept.counted();
      expect(send(frame)).toBe(PASS);
      expect(intercept.take()).toEqual([]);
      expect(intercept.counted()).toEqual(counted);
    });
  });

  test("with a dead user space, a full ring or long headers the record is lost, and nothing passes", () => {
    learn(FORGED);
    learn(FORGED6);
    intercept.counted();
    const long = {
      ...answerTo(FORGED6),
      extensions: [[HOP_BY_HOP, 64]] as [number, number][],
      tcpOptions: 20,
    };
    expect(send(long)).toBe(GONE);
    expect(intercept.counted()).toEqual({ oversize: 1 });
    const ring = intercept.kernel.ringBytes * intercept.kernel.rings.length;
    for (let sent = 0; sent < ring / 168 + 1; sent++) expect(send(answerTo(FORGED))).toBe(GONE);
    const { responsesCaptured, responseRingFull } = intercept.kernel.stats();
    expect(responseRingFull).toBeGreaterThan(0);
    expect(intercept.take().length).toBeLessThanOrEqual(responsesCaptured);

    const silent = loadForTest();
    testRun(silent.kernel.learnProgram, build(FORGED).bytes);
    expect(testRun(silent.kernel.catchProgram, build(answerTo(FORGED)).bytes).verdict).toBe(GONE);
    expect(silent.take()).toEqual([]);
    expect(silent.counted()).toEqual({ learned: 1, inert: 1 });
    silent.kernel.detach();
  });

  describe("ICMP errors to the client about a learned flow are dropped, others pass", () => {
    const cases: [name: string, quoted: Frame, type: number, code: number, gone: boolean][] = [
      ["port unreachable", FORGED, 3, 3, true],
      ["administratively prohibited", FORGED, 3, 13, true],
      ["time exceeded", FORGED, 11, 0, true],
      ["IPv6 port unreachable", FORGED6, 1, 4, true],
      ["IPv6 packet too big", FORGED6, 2, 0, true],
      ["another client", { ...FORGED, sourcePort: 40001 }, 3, 3, false],
      ["another IPv6 client", { ...FORGED6, sourcePort: 40001 }, 1, 4, false],
      ["UDP", { ...FORGED, protocol: 17 }, 3, 3, false],
      ["an echo request that looks like it", FORGED, 8, 0, false],
      ["an IPv6 echo request that looks like it", FORGED6, 128, 0, false],
      ["a message to the server, about what it sent", answerTo(FORGED), 3, 3, false],
    ];
    test.each(cases)("%s", (_, quoted, type, code, gone) => {
      learn(FORGED);
      learn(FORGED6);
      intercept.counted();
      const { verdict } = testRun(intercept.kernel.catchProgram, icmp(quoted, type, code));
      expect(verdict).toBe(gone ? GONE : PASS);
      expect(intercept.counted()).toEqual(gone ? { icmpErrors: 1 } : {});
      expect(intercept.take()).toEqual([]);
    });
  });
});

describe.each([
  ["tcx", "tcx", "xdp"],
  ["xdp", "xdp", "xdp"],
  ["xdp on kernels before 5.18", "xdp", "xdp-linear"],
] as const)("assistant, %s", (_, hook, xdpProgram) => {
  const PASSED_ON = hook === "tcx" ? 2 : 1;
  const answer = answerTo(FORGED);
  const answer6 = answerTo(FORGED6);

  beforeAll(() => {
    intercept = loadForTest({ mode: "assistant", services: [], hook, xdpPrograms: [xdpProgram] });
  });

  afterAll(() => {
    intercept?.kernel.detach();
  });

  beforeEach(() => {
    intercept.beat();
    intercept.take();
    intercept.counted();
  });

  function swallow(frame: Frame): number {
    const context = hook === "tcx" ? {} : null;
    return testRun(intercept.kernel.swallowProgram, build(frame).bytes, context).verdict;
  }

  describe("everything is dropped, and headers are captured", () => {
    const cases: [name: string, frame: Frame, headers: number][] = [
      ["SYN-ACK", { ...answer, flags: SYN | ACK, tcpOptions: 20 }, 60],
      ["a bare ACK, padded", { ...answer, flags: ACK, padding: 6 }, 40],
      ["data", { ...answer, payload: 1448, tcpOptions: 12 }, 52],
      ["VLAN", { ...answer, tags: [0x8100], payload: 9 }, 40],
      ["two tags", { ...answer, tags: [0x88a8, 0x8100], payload: 9 }, 40],
      ["all options", { ...answer, ipOptions: 40, tcpOptions: 40, payload: 9 }, 120],
      ["the first fragment", { ...answer, moreFragments: true, payload: 80 }, 40],
      ["IPv6", { ...answer6, payload: 1400, tcpOptions: 12 }, 72],
      [
        "IPv6 with extension headers",
        { ...answer6, extensions: [HOP_BY_HOP, [ROUTING, 24], DESTINATION_OPTIONS], payload: 5 },
        100,
      ],
      ["IPv6 with 128 bytes of headers", { ...answer6, extensions: [[HOP_BY_HOP, 56]], tcpOptions: 12 }, 128],
    ];
    test.each(cases)("%s", (_, frame, headers) => {
      const { ip } = build(frame);
      expect(swallow(frame)).toBe(PASSED_ON);
      const [record, ...others] = intercept.take();
      expect(others).toEqual([]);
      const length = ip.length - headers;
      expect(record).toMatchObject({ payload: headers, length, index: 0xffffffff, think: -1 });
      expect(record!.tcp).toBe(headers - 20 - (frame.tcpOptions ?? 0));
      expect(record!.bytes).toEqual(ip.subarray(0, headers));
      expect(intercept.counted()).toEqual({ responsesCaptured: 1, responseBytes: ip.length });
    });
  });

  describe("while a copy reads payload, segments are captured whole", () => {
    beforeEach(() => intercept.setRead(true));
    afterEach(() => intercept.setRead(false));

    const cases: [name: string, frame: Frame, headers: number][] = [
      ["a SYN-ACK", { ...answer, flags: SYN | ACK, tcpOptions: 20 }, 60],
      ["a bare ACK, padded", { ...answer, flags: ACK, padding: 6 }, 40],
      ["a greeting", { ...answer, payload: 90, tcpOptions: 12 }, 52],
      ["a segment", { ...answer, payload: 1448, tcpOptions: 12 }, 52],
      ["a segment in a VLAN", { ...answer, tags: [0x8100], payload: 9 }, 40],
      ["IPv6", { ...answer6, payload: 1400, tcpOptions: 12 }, 72],
      ["a large segment", { ...answer, payload: 3000 }, 40],
      ["long headers", { ...answer6, extensions: [[HOP_BY_HOP, 64]], tcpOptions: 12, payload: 1 }, 136],
    ];
    test.each(cases)("%s", (_, frame, headers) => {
      const { ip } = build(frame);
      expect(swallow(frame)).toBe(PASSED_ON);
      const [record, ...others] = intercept.take();
      expect(others).toEqual([]);
      expect(record).toMatchObject({ payload: headers, length: ip.length - headers, index: 0xffffffff });
      expect(record!.bytes).toEqual(ip);
      expect(intercept.counted()).toEqual({ responsesCaptured: 1, responseBytes: ip.length });
    });

    test("but datagrams are not", () => {
      swallow({ ...answer, protocol: 17, payload: 100 });
      expect(intercept.take()).toMatchObject([{ payload: 28, bytes: { length: 28 } }]);
    });

    test("and segments as headers again when the copy is gone", () => {
      intercept.setRead(false);
      swallow({ ...answer, payload: 500 });
      expect(intercept.take()).toMatchObject([{ length: 500, bytes: { length: 40 } }]);
    });
  });

  describe("datagrams are dropped, and headers are captured", () => {
    const cases: [name: string, frame: Frame, headers: number][] = [
      ["IPv4", { ...answer, protocol: 17, payload: 100 }, 28],
      ["IPv4 with options and a tag", { ...answer, protocol: 17, ipOptions: 12, tags: [0x8100] }, 40],
      ["the first fragment", { ...answer, protocol: 17, moreFragments: true, payload: 80 }, 28],
      ["IPv6", { ...answer6, protocol: 17, payload: 9 }, 48],
    ];
    test.each(cases)("%s", (_, frame, headers) => {
      const { ip } = build(frame);
      expect(swallow(frame)).toBe(PASSED_ON);
      const [record, ...others] = intercept.take();
      expect(others).toEqual([]);
      expect(record).toMatchObject({ tcp: headers - 8, payload: headers, length: ip.length - headers });
      expect(record!.bytes).toEqual(ip.subarray(0, headers));
      expect(intercept.counted()).toEqual({ responsesCaptured: 1, responseBytes: ip.length });
    });
  });

  if (hook === "tcx") {
    test("ICMP errors to the clients are dropped and counted", () => {
      const bytes = icmp({ ...FORGED, protocol: 17 }, 3, 3);
      expect(testRun(intercept.kernel.swallowProgram, bytes, {}).verdict).toBe(PASSED_ON);
      expect(intercept.counted()).toEqual({ icmpErrors: 1 });
    });
  }

  describe("what has no headers to capture is dropped and counted", () => {
    const cases: [name: string, frame: Frame, counted: Record<string, number>][] = [
      ["a later fragment", { ...answer, fragmentOffset: 10, payload: 80 }, { fragments: 1 }],
      ["a later fragment of a datagram", { ...answer, protocol: 17, fragmentOffset: 10, payload: 80 }, {}],
      ["another protocol", { ...answer, protocol: 47 }, { unreadable: 1 }],
      ["a TCP header that says too much", { ...answer, totalLength: 30 }, { unreadable: 1 }],
      ["long headers", { ...answer6, extensions: [[HOP_BY_HOP, 64]], tcpOptions: 12 }, { oversize: 1 }],
    ];
    test.each(cases)("%s", (_, frame, counted) => {
      expect(swallow(frame)).toBe(PASSED_ON);
      expect(intercept.take()).toEqual([]);
      expect(intercept.counted()).toEqual(counted);
    });
  });

  test("nothing passes while user space is dead", () => {
    const silent = loadForTest({ mode: "assistant", services: [], hook, xdpPrograms: [xdpProgram] });
    const context = hook === "tcx" ? {} : null;
    const { verdict } = testRun(silent.kernel.swallowProgram, build(answer).bytes, context);
    expect(verdict).toBe(PASSED_ON);
    expect(silent.counted()).toEqual({ inert: 1 });
    silent.kernel.detach();
  });
});

/** An ICMP message of type and code from the server that quotes a packet. */
function icmp(quoted: Frame, type: number, code: number): Uint8Array {
  const inner = build(quoted).ip.subarray(0, 60);
  const isIpv6 = quoted.source!.includes(":");
  const carrier = build({
    source: quoted.destination!,
    destination: quoted.source!,
    payload: 8 + inner.length - 20,
  });
  const { bytes } = carrier;
  const ip = bytes.length - carrier.ip.length;
  const start = ip + (isIpv6 ? 40 : 20);
  bytes[isIpv6 ? ip + 6 : ip + 9] = isIpv6 ? 58 : 1;
  bytes.set([type, code, 0, 0, 0, 0, 0, 0], start);
  bytes.set(inner, start + 8);
  return bytes;
}
