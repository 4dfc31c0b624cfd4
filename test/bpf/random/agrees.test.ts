/**
 * The request, outgoing and response programs, by test runs in the kernel, against references that are written from the rules: random
 * packets of all shapes, a few in a row, in each setting. Verdict, record and counters must be the same.
 */
import { afterAll, beforeAll, describe, test } from "bun:test";
import { readFileSync } from "node:fs";
import { Flows } from "../../../src/capture/flows.ts";
import type { KernelCapture } from "../../../src/capture/kernel/capture.ts";
import type { AnsweringService, KernelService } from "../../../src/capture/services.ts";
import { type Prefix, WHOLE } from "../../../src/wire/prefix.ts";
import { bytesOf } from "../build.ts";
import { loadForTest, OPTIONS, type TestCapture } from "../capture.ts";
import { Namespace } from "../namespace.ts";
import { hexOf } from "./dissect.ts";
import { type Places, shape } from "./packets.ts";
import { agrees, nextPlaces, type Player, type Site } from "./play.ts";
import { Reference, type Settings } from "./reference.ts";
import { type Path, ResponseReference } from "./response-reference.ts";

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
const TCP_SERVICES = SERVICES.filter(({ transport }) => transport !== "udp");
const LOCAL = ["10.0.0.2", "10.0.0.7", "fd00::2"].map((text) => ({
  family: text.includes(":") ? (6 as const) : (4 as const),
  bytes: bytesOf(text),
  bits: bytesOf(text).length * 8,
}));
const local = new Set(LOCAL.map(({ bytes }) => hexOf(bytes)));

const OUR_PORTS = [33_000, 33_001];
const TO4 = { family: 4 as const, target: bytesOf("10.0.0.9"), local: bytesOf("10.0.0.2"), targetPort: 8080 };
const TO6 = { family: 6 as const, target: bytesOf("fd00::9"), local: bytesOf("fd00::2"), targetPort: 8080 };
const PATHS: Path[] = [
  { transport: "tcp", ...TO4 },
  { transport: "tcp", ...TO6 },
  {
    transport: "tcp",
    ...TO4,
    target: bytesOf("10.0.0.8"),
    targetPort: 80,
    payload: { bytes: 100, takesHeads: true },
  },
  { transport: "udp", ...TO4 },
  { transport: "udp", ...TO6 },
];
const request = shape.map((one) => ({ ...one, isAnswer: false }));
const answer = shape.map((one) => ({ ...one, isAnswer: true }));

type LoadOptions = NonNullable<Parameters<typeof loadForTest>[0]>;
let site: Site;
const opened: KernelCapture[] = [];

beforeAll(() => {
  const namespace = new Namespace();
  namespace.ip("link", "add", "xca", "type", "veth", "peer", "name", "xcb");
  site = { namespace, ifindexes: ["xca", "xcb"].map((name) => namespace.ifindex(name)) };
});
afterAll(() => {
  for (const kernel of opened) kernel.detach();
  site?.namespace.remove();
});

function load(options: LoadOptions): TestCapture {
  const all = { ...OPTIONS, services: SERVICES, signSpan: 2e12, ...options };
  const capture = site.namespace.enter(() => loadForTest(all));
  opened.push(capture.kernel);
  capture.kernel.setLocal?.(LOCAL);
  return capture;
}

/** A player for one run. */
function requests(capture: TestCapture, settings: Settings): Player {
  capture.beat();
  if (settings.isAlive === false) capture.control.heartbeat(0);
  const reference = new Reference(settings);
  const { requestXdpProgram, requestProgram } = capture.kernel;
  return {
    program: () => (settings.isXdp ? requestXdpProgram : requestProgram),
    isAtTc: !settings.isXdp,
    expect: (seen) => ({ ...reference.request(seen), ...(settings.isXdp && { verdict: XDP_PASS }) }),
    take: capture.takeRequests,
    counted: capture.counted,
  };
}

describe("requests", () => {
  test.each<[string, LoadOptions, Partial<Settings>]>([
    ["as they are by default", {}, {}],
    ["of TCP alone", { services: TCP_SERVICES }, { services: TCP_SERVICES }],
    ["that leave this host", { isOutgoing: true }, { leaves: true }],
    ["to this host's addresses only", { onlyLocal: true }, { local }],
    ["cut at 100 bytes", { snaplen: 100 }, { snaplen: 100 }],
    ["at XDP", { hook: "xdp" }, { isXdp: true }],
    ["at XDP, from one buffer", { hook: "xdp", xdpPrograms: ["xdp-linear"] }, { isXdp: true }],
    ["while user space stands still", {}, { isAlive: false }],
  ])("%s", (_, options, settings) => {
    const capture = load({ ...options, paths: null });
    agrees(site, () => requests(capture, { services: SERVICES, ...settings }), request);
  });

  test("of a sample that has none", () => {
    const capture = load({ paths: null });
    capture.control.setSample(0);
    agrees(site, () => requests(capture, { services: SERVICES, samplesNone: true }), request);
  });
});

/** What is sent is captured as far as these say, by transport. */
const answering = (services: KernelService[], tcp: Prefix) =>
  services.map((one) => ({ ...one, payload: one.transport === "udp" ? { ...HEADS, bytes: 64 } : tcp }));
const HEADS: Prefix = { bytes: 50, takesHeads: true };

describe("what services send", () => {
  test.each<[string, LoadOptions, Partial<Settings>]>([
    ["with heads", {}, {}],
    ["whole", {}, { services: answering(SERVICES, WHOLE) }],
    ["of TCP alone", {}, { services: answering(TCP_SERVICES, { bytes: 300, takesHeads: false }) }],
    ["from this host's addresses only", { onlyLocal: true }, { local }],
    ["while user space stands still", {}, { isAlive: false }],
  ])("%s", (_, options, some) => {
    const outgoingObject = new Uint8Array(
      readFileSync(`${import.meta.dir}/../../../dist/bpf/outgoing.bpf.o`),
    );
    const settings = { services: answering(SERVICES, HEADS), ...some };
    const outgoingServices = settings.services as AnsweringService[];
    const capture = load({ ...options, paths: null, outgoingServices, outgoingObject });
    const player = () => {
      const reference = new Reference(settings);
      const { outgoingProgram } = capture.kernel;
      return {
        ...requests(capture, settings),
        program: () => outgoingProgram,
        expect: reference.outgoing.bind(reference),
      };
    };
    agrees(site, player, answer);
  });
});

describe("answers", () => {
  const places = (): Places => ({
    ...nextPlaces(),
    addresses: { 4: ["10.0.0.9", "10.0.0.8", "10.0.0.3"], 6: ["fd00::9", "fd00::8", "fd00::3"] },
    ports: [8080, 80, 53, 81],
    clientPorts: [OUR_PORTS[0]!, 33_009],
    client: (family, client) => (family === 4 ? ["10.0.0.2", "10.0.0.3"] : ["fd00::2", "fd00::3"])[client]!,
  });

  test.each([
    ["to flows of ours", true],
    ["while user space stands still", false],
  ])("%s", (_, isAlive) => {
    const capture = load({ paths: PATHS });
    const flows = new Flows(capture.kernel.flowsMap, PATHS.length);
    for (const path of PATHS.keys()) for (const port of OUR_PORTS) flows.add(path, port);
    const { responseProgram } = capture.kernel;
    const player = () => {
      capture.beat();
      if (!isAlive) capture.control.heartbeat(0);
      const reference = new ResponseReference(PATHS, OUR_PORTS, isAlive);
      return {
        program: () => responseProgram,
        isAtTc: true,
        expect: reference.response.bind(reference),
        take: capture.takeResponses,
        counted: capture.counted,
      };
    };
    agrees(site, player, answer, places);
  });
});
