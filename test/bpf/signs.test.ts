/** Signs of life: one pure ACK of each connection in a time. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { testRun } from "../../src/native/bpf/test-run.ts";
import { monotonicMicroseconds } from "../../src/native/libc.ts";
import { ACK, build, type Frame, SYN } from "./build.ts";
import { loadForTest, type TestCapture } from "./capture.ts";

/** us. */
const SPAN = 20_000;
let capture: TestCapture;

beforeAll(() => {
  capture = loadForTest({ signSpan: SPAN });
});
afterAll(() => capture.kernel.detach());

/** Whether a frame was captured. */
function isCaptured(frame: Frame): boolean {
  capture.beat();
  const { bytes } = build({ source: "10.0.55.1", destination: "10.0.0.2", destinationPort: 80, ...frame });
  testRun(capture.kernel.requestProgram, bytes);
  return capture.takeRequests().length > 0;
}

/** Sends a pure ACK again and again until it is captured; us that this took. */
function untilCaptured(frame: Frame): number {
  const began = monotonicMicroseconds();
  while (!isCaptured({ ...frame, flags: ACK }));
  return monotonicMicroseconds() - began;
}

test.each<[string, Frame]>([
  ["IPv4", {}],
  ["IPv6", { source: "fd00::55", destination: "fd00::2" }],
])("of a connection over %s, also as a keep-alive probe", (_, family) => {
  expect(isCaptured({ ...family, seq: 99, flags: SYN })).toBe(true);
  expect(isCaptured({ ...family, seq: 100, ack: 1, flags: ACK })).toBe(true);
  untilCaptured({ ...family, seq: 100, ack: 1 });
  for (const seq of [100, 99]) expect(untilCaptured({ ...family, seq, ack: 1 })).toBeGreaterThan(SPAN / 2);
});

test("of a connection that began before the first pure ACK only starts the time", () => {
  expect(isCaptured({ source: "10.0.55.7", seq: 500, ack: 1, flags: ACK })).toBe(false);
  untilCaptured({ source: "10.0.55.7", seq: 500, ack: 1 });
});
