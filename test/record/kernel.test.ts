/** What the programs of a record capture, without traffic: the kernel runs them on test frames. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { Control } from "../../src/capture/control.ts";
import { RingSet } from "../../src/capture/ring-set.ts";
import { testRun } from "../../src/native/bpf/test-run.ts";
import { monotonicMicroseconds } from "../../src/native/libc.ts";
import { loadRecordKernel, type RecordKernel } from "../../src/record/kernel.ts";
import { kernelLosses } from "../../src/record/losses.ts";
import { ACK, build, bytesOf, FIN, type Frame, RST, SYN } from "../bpf/build.ts";
import { buildObjects, MARK } from "../bpf/capture.ts";
import { Namespace } from "../bpf/namespace.ts";

const PASS = -1;
const OUTGOING = 0x80000000;
const SNAPLEN = 200;
const RING = 1 << 17;
const V6 = { source: "fd00::2", destination: "fd00::1" };

interface Loaded {
  kernel: RecordKernel;
  rings: RingSet;
  control: Control;
}

function load(some: Partial<Parameters<typeof loadRecordKernel>[0]> = {}): Loaded {
  buildObjects();
  const object = (name: string) =>
    new Uint8Array(readFileSync(`${import.meta.dir}/../../dist/bpf/${name}.bpf.o`));
  const kernel = loadRecordKernel({
    requestObject: object("request"),
    outgoingObject: object("outgoing"),
    services: [
      { address: bytesOf("10.0.0.2"), family: 4, port: 80, index: 1 },
      { address: null, family: 4, port: 8080, index: 2 },
      { address: bytesOf("fd00::2"), family: 6, port: 80, index: 3 },
    ],
    mark: MARK,
    keepsAcks: false,
    snaplen: SNAPLEN,
    ringBytes: RING,
    hook: "auto",
    ...some,
  });
  return { kernel, rings: new RingSet(kernel.rings, RING), control: new Control(kernel.controlMap) };
}

/** What is in the rings: index, bytes captured and on the wire, interface. */
function taken({ rings }: Loaded) {
  const list: { index: number; captured: number; length: number; ifindex: number }[] = [];
  rings.drain(({ index, ip, end, payload, length, ifindex }) => {
    list.push({ index, captured: end - ip, length: length + payload - ip, ifindex });
  }, 1000);
  return list;
}

let usual: Loaded;
let everything: Loaded;
let namespace: Namespace;
let interfaces: number[];
let clients = 0;
let response: Frame;

beforeAll(() => {
  usual = load();
  everything = load({ keepsAcks: true, snaplen: 65535 });
  namespace = new Namespace();
  namespace.ip("link", "add", "xca", "type", "veth", "peer", "name", "xcb");
  interfaces = ["xca", "xcb"].map((name) => namespace.ifindex(name));
});
afterAll(() => {
  usual?.kernel.close();
  everything?.kernel.close();
  namespace?.remove();
});
beforeEach(() => {
  for (const loaded of [usual, everything]) {
    loaded.control.heartbeat(monotonicMicroseconds() / 1000);
    loaded.control.setSample(1);
    taken(loaded);
  }
  response = {
    source: "10.0.0.2",
    destination: "10.0.0.1",
    sourcePort: 80,
    destinationPort: 20000 + clients++,
    payload: 10,
    flags: ACK,
  };
});

/** In the namespace that has the interfaces. */
const runOut = ({ kernel }: Loaded, frame: Frame, context = {}) =>
  namespace.enter(() => testRun(kernel.outgoingProgram, build(frame).bytes, context));
const runIn = ({ kernel }: Loaded, frame: Frame, context = {}) =>
  namespace.enter(() => testRun(kernel.requestProgram, build(frame).bytes, context));

describe("responses", () => {
  test("are recorded and pass", () => {
    expect(runOut(usual, response).verdict).toBe(PASS);
    expect(taken(usual)).toEqual([
      { index: OUTGOING + 1, captured: 50, length: 50, ifindex: expect.any(Number) },
    ]);
  });

  test.each([
    ["of any address", { source: "10.9.9.9", sourcePort: 8080 }, OUTGOING + 2],
    ["of IPv6", V6, OUTGOING + 3],
  ])("%s", (_, some, index) => {
    runOut(usual, { ...response, ...some });
    expect(taken(usual).map((record) => record.index)).toEqual([index]);
  });

  test.each([
    ["from another port", { sourcePort: 81 }],
    ["from another address", { source: "10.0.0.3" }],
    ["to the port", { sourcePort: 20000, destinationPort: 80 }],
    ["a pure ACK", { payload: 0 }],
  ])("%s is not recorded", (_, some) => {
    runOut(usual, { ...response, ...some });
    expect(taken(usual)).toEqual([]);
  });

  test.each([
    ["SYN-ACK", SYN | ACK],
    ["FIN", FIN | ACK],
    ["RST", RST],
  ])("%s is recorded without data", (_, flags) => {
    runOut(usual, { ...response, payload: 0, flags });
    expect(taken(usual).length).toBe(1);
  });

  test("that cross a second interface are recorded once", () => {
    for (const ifindex of interfaces) runOut(usual, { ...response, id: 7 }, { ifindex });
    expect(taken(usual).map(({ ifindex }) => ifindex)).toEqual([interfaces[0]!]);
  });

  test("with our mark are not recorded", () => {
    runOut(usual, response, { mark: MARK });
    expect(taken(usual)).toEqual([]);
  });

  test("are not recorded while user space is stalled, which is counted", () => {
    const before = usual.kernel.stats().inert;
    usual.control.heartbeat(monotonicMicroseconds() / 1000 - 10_000);
    runOut(usual, response);
    expect(taken(usual)).toEqual([]);
    expect(usual.kernel.stats().inert).toBe(before + 1);
  });
});

test("of a connection all is recorded or nothing, in both directions", () => {
  usual.control.setSample(0.5);
  let both = 0;
  for (let port = 40000; port < 40200; port++) {
    const request = { source: "10.0.0.1", destination: "10.0.0.2", sourcePort: port, destinationPort: 80 };
    runOut(usual, { ...response, destinationPort: port });
    runIn(usual, { ...response, ...request });
    const { length } = taken(usual);
    expect([0, 2]).toContain(length);
    both += length / 2;
  }
  expect(both).toBeGreaterThan(50);
  expect(both).toBeLessThan(150);
});

describe("pure ACKs", () => {
  test("are kept on request, in both directions", () => {
    const request = { sourcePort: 30000, flags: ACK, payload: 0 };
    runIn(everything, request);
    runOut(everything, { ...response, payload: 0 });
    expect(taken(everything).length).toBe(2);
    runIn(usual, request);
    expect(taken(usual).length).toBe(0);
  });
});

describe("long packets", () => {
  test("are cut to what is wanted, and have their length", () => {
    runIn(usual, { sourcePort: 30001, flags: ACK, payload: 1000 });
    expect(taken(usual)).toMatchObject([{ captured: SNAPLEN, length: 1040 }]);
  });

  test("are whole without --snaplen", () => {
    runIn(everything, { sourcePort: 30001, flags: ACK, payload: 3000 });
    expect(taken(everything)).toMatchObject([{ captured: 3040, length: 3040 }]);
  });
});

test("packets without room in the rings are counted by interface", () => {
  const losses = kernelLosses(everything.kernel.countersMap, everything.kernel.lostMap);
  const [first, second] = interfaces as [number, number];
  const [one, two] = [losses.lostOf(first), losses.lostOf(second)];
  const before = losses.counts()["no room in the rings"]!;
  for (let port = 0; port < 200; port++) {
    const frame = { ...response, payload: 3000, destinationPort: 50000 + port };
    runOut(everything, frame, { ifindex: port % 4 ? first : second });
  }
  const recorded = taken(everything).length;
  const lost = [losses.lostOf(first) - one, losses.lostOf(second) - two] as const;
  expect(lost[0]).toBeGreaterThan(0);
  expect(lost[1]).toBeGreaterThan(0);
  expect(recorded + lost[0] + lost[1]).toBe(200);
  expect(losses.counts()["no room in the rings"]! - before).toBe(lost[0] + lost[1]);
});
