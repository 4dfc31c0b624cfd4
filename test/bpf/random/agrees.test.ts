/**
 * The request, outgoing and response programs, by test runs in the kernel, against references that are written from the rules: random
 * packets of all shapes, a few in a row, in each setting. Verdict, record and counters must be the same.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { Flows } from "../../../src/capture/flows.ts";
import type { KernelCapture } from "../../../src/capture/kernel.ts";
import { type TestContext, testRun } from "../../../src/native/bpf/libbpf.ts";
import { seeded } from "../../support/seed.ts";
import { bytesOf } from "../build.ts";
import { type Captured, loadForTest, MARK, OPTIONS, type TestCapture } from "../capture.ts";
import { Namespace } from "../namespace.ts";
import { hexOf, ipOf } from "./dissect.ts";
import { contextOf, frameOf, type Places, type Shape, shape } from "./packets.ts";
import { type Expected, Reference, type Seen, type Settings, Unknown } from "./reference.ts";
import { type Path, ResponseReference } from "./response-reference.ts";

const RUNS = 200;
const XDP_PASS = 2;
const SERVICES = [
  { address: bytesOf("10.0.0.2"), family: 4 as const, port: 80, index: 1 },
  { address: null, family: 4 as const, port: 8080, index: 2 },
  { address: bytesOf("fd00::2"), family: 6 as const, port: 80, index: 3 },
  { address: null, family: 6 as const, port: 8080, index: 4 },
  { address: bytesOf("10.0.0.2"), family: 4 as const, port: 80, index: 5, transport: "udp" as const },
  { address: null, family: 4 as const, port: 53, index: 6, transport: "udp" as const },
  { address: null, family: 6 as const, port: 53, index: 7, transport: "udp" as const },
];
const PORTS = [80, 8080, 53, 81];
const OUR_PORTS = [33_000, 33_001];
const PATHS: Path[] = (["tcp", "udp"] as const).flatMap((transport) => [
  {
    transport,
    family: 4 as const,
    target: bytesOf("10.0.0.9"),
    local: bytesOf("10.0.0.2"),
    targetPort: 8080,
  },
  { transport, family: 6 as const, target: bytesOf("fd00::9"), local: bytesOf("fd00::2"), targetPort: 8080 },
  // Answers on this one are captured with their payload.
  ...(transport === "tcp"
    ? [
        {
          transport,
          family: 4 as const,
          target: bytesOf("10.0.0.8"),
          local: bytesOf("10.0.0.2"),
          targetPort: 80,
          payload: true,
        },
      ]
    : []),
]);
const LOCAL = ["10.0.0.2", "10.0.0.7", "fd00::2"];
/** 0 to 2^32: which flows are sampled. */
const ALL = 1;

let namespace: Namespace;
let interfaces: number[];
const opened: KernelCapture[] = [];
let runs = 0;

beforeAll(() => {
  namespace = new Namespace();
  namespace.ip("link", "add", "xca", "type", "veth", "peer", "name", "xcb");
  interfaces = ["xca", "xcb"].map((name) => namespace.ifindex(name));
});
afterAll(() => {
  for (const kernel of opened) kernel.detach();
  namespace?.remove();
});

function load(options: Parameters<typeof loadForTest>[0]): TestCapture {
  const capture = namespace.enter(() =>
    loadForTest({ ...OPTIONS, services: SERVICES, signSpan: 2e12, ...options }),
  );
  opened.push(capture.kernel);
  return capture;
}

/** Each run has clients of its own, so that no state of one before is met. */
function placesOf(): Places {
  const number = ++runs;
  return {
    addresses: { 4: ["10.0.0.2", "10.0.0.7", "10.0.0.3"], 6: ["fd00::2", "fd00::7", "fd00::3"] },
    ports: PORTS,
    clientPorts: [40_000, 40_001],
    client: (family, client) =>
      family === 4
        ? `10.${100 + client}.${number >> 8}.${number & 255}`
        : `fd01::${client}:${number.toString(16)}`,
  };
}

/** To whom the kernel takes a frame to be: test runs without an interface are on loopback, whose address is zeros. */
function receiverOf(frame: Uint8Array, { ifindex = 0 }: TestContext): Seen["to"] {
  const mac = frame.subarray(0, 6);
  if (mac[0]! & 1) return "group";
  return ifindex === 0 && mac.every((byte) => byte === 0) ? "host" : "others";
}

interface Player {
  program: number;
  /** Null: an XDP program. */
  hasContext: boolean;
  expect(seen: Seen): Expected;
  take(): Captured[];
  counted(): Record<string, number>;
}

function play(shapes: Shape[], places: Places, player: Player): void {
  player.take();
  player.counted();
  shapes.forEach((one, place) => {
    const frame = frameOf(one, places);
    // User space cuts what is longer into several.
    if ((ipOf(frame)?.said ?? 0) > 65_535) throw new Unknown();
    const context = player.hasContext ? contextOf(one, interfaces) : {};
    const seen = {
      frame,
      context,
      to: receiverOf(frame, player.hasContext ? context : { ifindex: 1 }),
      now: performance.now(),
    };
    const { verdict } = namespace.enter(() =>
      testRun(player.program, frame, player.hasContext ? context : null),
    );
    const expected = player.expect(seen);
    const told = { verdict, records: player.take(), counted: player.counted() };
    compare(told, expected, `packet ${place}, ${hexOf(frame)}`, context);
  });
}

function compare(
  { verdict, records, counted }: { verdict: number; records: Captured[]; counted: Record<string, number> },
  expected: Expected,
  packet: string,
  { mark = 0 }: TestContext,
): void {
  // What has the mark and might be ours is counted; which of it might be, the prefilter decides.
  if (mark === MARK && expected.record === null) delete counted["ownMark"];
  const found = records.map(({ bytes, tcp, payload, length, index, think, isVerified, acksFar }) => {
    const wanted = expected.record;
    return {
      bytes: hexOf(bytes),
      tcp,
      payload,
      length,
      index,
      ...(wanted?.think !== undefined && { think: typeof wanted.think === "boolean" ? think >= 0 : think }),
      ...(wanted?.isVerified !== undefined && { isVerified }),
      ...(wanted?.acksFar !== undefined && { acksFar }),
    };
  });
  const records2 = expected.record ? [expected.record] : [];
  const isSame = Bun.deepEquals(
    { verdict, found, counted },
    { verdict: expected.verdict, found: records2, counted: expected.counted },
  );
  if (!isSame)
    throw new Error(
      `${packet}: ${JSON.stringify({ verdict, found, counted })}, and should be ${JSON.stringify(expected)}`,
    );
}

/** Runs of a few packets, of which some come again, by the same interface or another. */
function agrees(player: () => Player, packets: fc.Arbitrary<Shape>, places = placesOf): void {
  let unknown = 0;
  const { numRuns } = seeded(RUNS);
  const property = fc.property(
    fc.array(packets, { minLength: 1, maxLength: 6 }),
    fc.array(fc.nat(5), { maxLength: 3 }),
    (shapes, again) => {
      const repeated = again.map((index) => ({
        ...shapes[index % shapes.length]!,
        interface: (index + 1) % 3,
      }));
      try {
        play([...shapes, ...repeated], places(), player());
      } catch (error) {
        if (!(error instanceof Unknown)) throw error;
        unknown++;
      }
    },
  );
  fc.assert(property, seeded(RUNS));
  expect(unknown).toBeLessThan(numRuns / 2);
}

const requestPlayer = (capture: TestCapture, settings: Settings): Player => {
  capture.beat();
  const reference = new Reference(settings);
  return {
    program: settings.isXdp ? capture.kernel.requestXdpProgram : capture.kernel.requestProgram,
    hasContext: !settings.isXdp,
    expect: (seen) =>
      settings.isXdp ? { ...reference.request(seen), verdict: XDP_PASS } : reference.request(seen),
    take: capture.takeRequests,
    counted: capture.counted,
  };
};
const request = shape.map((one) => ({ ...one, isAnswer: false }));

describe("requests", () => {
  const TCP_ONLY = SERVICES.filter(({ transport }) => transport !== "udp");
  const local = new Set(LOCAL.map((address) => hexOf(bytesOf(address))));
  test.each<[string, Parameters<typeof loadForTest>[0], Partial<Settings>]>([
    ["as they are by default", {}, {}],
    ["of TCP alone", { services: TCP_ONLY }, { services: TCP_ONLY }],
    ["that leave this host", { isOutgoing: true }, { leaves: true }],
    ["to this host's addresses only", { onlyLocal: true }, { local }],
    ["cut at 100 bytes", { snaplen: 100 }, { snaplen: 100 }],
    ["at XDP", { hook: "xdp" }, { isXdp: true }],
    ["at XDP, from one buffer", { hook: "xdp", xdpPrograms: ["xdp-linear"] }, { isXdp: true }],
  ])("%s", (_, options, settings) => {
    const capture = load({ ...options, paths: null });
    capture.kernel.setLocal?.(
      LOCAL.map((address) => ({
        family: address.includes(":") ? 6 : 4,
        bytes: bytesOf(address),
        bits: bytesOf(address).length * 8,
      })),
    );
    agrees(() => requestPlayer(capture, { services: SERVICES, ...settings }), request);
  });

  test("of a sample that has none, and while user space stands still", () => {
    const capture = load({ paths: null });
    capture.control.setSample(0);
    agrees(() => requestPlayer(capture, { services: SERVICES, samplesNone: true }), request);
    capture.control.setSample(ALL);
    agrees(() => {
      const player = requestPlayer(capture, { services: SERVICES, isAlive: false });
      capture.control.heartbeat(0);
      return player;
    }, request);
  });
});

describe("what services send", () => {
  const outgoingServices = SERVICES.filter(({ transport }) => transport !== "udp");
  const outgoingObject = () =>
    new Uint8Array(readFileSync(`${import.meta.dir}/../../../dist/bpf/outgoing.bpf.o`));
  const local = new Set(LOCAL.map((address) => hexOf(bytesOf(address))));
  test.each<[string, Parameters<typeof loadForTest>[0], Partial<Settings>]>([
    ["as it is by default", {}, {}],
    ["from this host's addresses only", { onlyLocal: true }, { local }],
  ])("%s", (_, options, settings) => {
    const capture = load({ ...options, paths: null, outgoingServices, outgoingObject: outgoingObject() });
    capture.kernel.setLocal?.(
      LOCAL.map((address) => ({
        family: address.includes(":") ? 6 : 4,
        bytes: bytesOf(address),
        bits: bytesOf(address).length * 8,
      })),
    );
    agrees(
      () => {
        capture.beat();
        const reference = new Reference({ services: outgoingServices, snaplen: 384, ...settings });
        const player = requestPlayer(capture, reference.settings);
        return {
          ...player,
          program: capture.kernel.outgoingProgram,
          expect: (seen) => reference.outgoing(seen),
        };
      },
      shape.map((one) => ({ ...one, isAnswer: true })),
    );
  });
});

describe("answers", () => {
  test.each([
    ["to flows of ours", true],
    ["while user space stands still", false],
  ])("%s", (_, isAlive) => {
    const capture = load({ paths: PATHS });
    const flows = new Flows(capture.kernel.flowsMap, PATHS.length);
    PATHS.forEach((_, path) => {
      for (const port of OUR_PORTS) flows.add(path, port);
    });
    const places = (): Places => ({
      ...placesOf(),
      // No fragment is of a packet of a run before.
      firstId: (runs * 7) & 0xffff,
      addresses: { 4: ["10.0.0.9", "10.0.0.8", "10.0.0.3"], 6: ["fd00::9", "fd00::8", "fd00::3"] },
      ports: [8080, 80, 53, 81],
      clientPorts: [OUR_PORTS[0]!, 33_009],
      client: (family, client) => (family === 4 ? ["10.0.0.2", "10.0.0.3"] : ["fd00::2", "fd00::3"])[client]!,
    });
    agrees(
      () => {
        capture.beat();
        if (!isAlive) capture.control.heartbeat(0);
        const reference = new ResponseReference(PATHS, OUR_PORTS, isAlive);
        return {
          program: capture.kernel.responseProgram,
          hasContext: true,
          expect: (seen) => reference.response(seen),
          take: capture.takeResponses,
          counted: capture.counted,
        };
      },
      shape.map((one) => ({ ...one, isAnswer: true })),
      places,
    );
  });
});
