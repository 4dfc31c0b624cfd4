/** The response program, by test runs in the kernel: which packets are dropped, and what is captured of them. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { testRun } from "../../src/native/bpf/test-run.ts";
import { WHOLE } from "../../src/wire/prefix.ts";
import { ACK, build, FIN, type Frame, HOP_BY_HOP, RST, SYN } from "./build.ts";
import { loadForTest, OPTIONS, type TestCapture } from "./capture.ts";
import { useResponsePrograms } from "./response-programs.ts";

const PASS = -1;
const DROP = 2;
const PORT = 33000;
const OURS: Frame = { source: "10.0.0.9", destination: "10.0.0.2", sourcePort: 8080, destinationPort: PORT };
const OURS6: Frame = { ...OURS, source: "fd00::9", destination: "fd00::2" };

const programs = useResponsePrograms(PORT);

function run(frame: Frame): number {
  return testRun(programs.capture.kernel.responseProgram, build(frame).bytes).verdict;
}

describe("a response of ours is dropped, and its headers are captured", () => {
  const cases: [name: string, frame: Frame, index: number, headers: number][] = [
    ["SYN-ACK", { ...OURS, flags: SYN | ACK, tcpOptions: 20 }, 0, 60],
    ["ACK", { ...OURS, flags: ACK }, 0, 40],
    ["data", { ...OURS, payload: 1448, tcpOptions: 12 }, 0, 52],
    ["FIN", { ...OURS, flags: FIN | ACK }, 0, 40],
    ["RST", { ...OURS, flags: RST }, 0, 40],
    ["VLAN", { ...OURS, tags: [0x8100], payload: 9 }, 0, 40],
    ["all options", { ...OURS, ipOptions: 40, tcpOptions: 40, payload: 9 }, 0, 120],
    ["a padded frame", { ...OURS, flags: ACK, padding: 6 }, 0, 40],
    ["IPv6", { ...OURS6, payload: 1400, tcpOptions: 12 }, 1, 72],
    [
      "IPv6 with 128 bytes of headers",
      { ...OURS6, extensions: [[HOP_BY_HOP, 56]], tcpOptions: 12, payload: 3 },
      1,
      128,
    ],
  ];
  test.each(cases)("%s", (_, frame, index, headers) => {
    const { ip } = build(frame);
    expect(run(frame)).toBe(DROP);
    const [record, ...others] = programs.capture.takeResponses();
    expect(others).toEqual([]);
    expect(record!.bytes).toEqual(ip.subarray(0, headers));
    expect(record!.payload).toBe(headers);
    expect(record!.tcp).toBe(headers - 20 - (frame.tcpOptions ?? 0));
    expect(record!.length).toBe(ip.length - headers);
    expect(record!.index).toBe(index);
    expect(record!.think).toBe(-1);
    expect(programs.capture.counted()).toEqual({ responsesCaptured: 1, responseBytes: ip.length });
  });
});

describe("what passes", () => {
  const cases: [name: string, frame: Frame][] = [
    ["a port that no flow of ours has", { ...OURS, destinationPort: PORT + 1 }],
    ["the bit's neighbour in another word", { ...OURS, destinationPort: PORT + 64 }],
    ["another port of the target", { ...OURS, sourcePort: 8081 }],
    ["the target's port on another host", { ...OURS, source: "10.0.0.8" }],
    ["the target to another local address", { ...OURS, destination: "10.0.0.3" }],
    ["the IPv6 target to another local address", { ...OURS6, destination: "fd00::3" }],
    ["a fragment", { ...OURS, fragmentOffset: 10, payload: 9 }],
    ["UDP", { ...OURS, protocol: 17 }],
  ];
  test.each(cases)("%s", (_, frame) => {
    expect(run(frame)).toBe(PASS);
    expect(programs.capture.takeResponses()).toEqual([]);
    expect(programs.capture.counted()).toEqual({});
  });
});

test("a response whose headers do not fit a record is dropped without one", () => {
  expect(run({ ...OURS6, extensions: [[HOP_BY_HOP, 64]], tcpOptions: 12, payload: 3 })).toBe(DROP);
  expect(programs.capture.takeResponses()).toEqual([]);
  expect(programs.capture.counted()).toEqual({ oversize: 1 });
});

test("a flow is ours from add to remove, on its path alone", () => {
  const port = 40123;
  const frame = { ...OURS, destinationPort: port };
  expect(programs.capture.flows.has(0, port)).toBe(false);
  expect(run(frame)).toBe(PASS);
  programs.capture.flows.add(0, port);
  expect(programs.capture.flows.has(0, port)).toBe(true);
  expect(programs.capture.flows.has(1, port)).toBe(false);
  expect(run(frame)).toBe(DROP);
  expect(run({ ...OURS6, destinationPort: port })).toBe(PASS);
  programs.capture.flows.remove(0, port);
  expect(run(frame)).toBe(PASS);
  expect(run(OURS)).toBe(DROP);
});

test("every port has a bit of its own", () => {
  for (const port of [0, 1, 31, 32, 63, 64, 1023, 32767, 32768, 65534, 65535]) {
    programs.capture.flows.add(0, port);
    expect(run({ ...OURS, destinationPort: port })).toBe(DROP);
    programs.capture.flows.remove(0, port);
    expect(run({ ...OURS, destinationPort: port })).toBe(PASS);
  }
});

describe("where a protocol module reads responses", () => {
  let whole: TestCapture;
  beforeAll(() => {
    const paths = OPTIONS.paths.map((path, index) => (index === 0 ? { ...path, payload: WHOLE } : path));
    whole = loadForTest({ paths });
    whole.flows.add(0, PORT);
    whole.flows.add(1, PORT);
    whole.beat();
  });
  afterAll(() => whole?.kernel.detach());

  test.each([0, 1, 127, 1448, 2500])("%d bytes of payload are captured with the headers", (payload) => {
    const frame = { ...OURS, payload, tcpOptions: 12 };
    const { bytes, ip } = build(frame);
    expect(testRun(whole.kernel.responseProgram, bytes).verdict).toBe(DROP);
    const [record, ...others] = whole.takeResponses();
    expect(others).toEqual([]);
    expect(record!.bytes).toEqual(ip);
    expect([record!.index, record!.length]).toEqual([0, payload]);
  });

  test("of responses on another path only headers are captured", () => {
    const { bytes } = build({ ...OURS6, payload: 100 });
    expect(testRun(whole.kernel.responseProgram, bytes).verdict).toBe(DROP);
    const [record] = whole.takeResponses();
    expect([record!.index, record!.length, record!.bytes.length]).toEqual([1, 100, 60]);
  });
});
