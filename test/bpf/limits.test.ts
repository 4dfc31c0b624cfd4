/** What the kernel programs do at their limits: full rings, no heartbeat, counters. */
import { afterEach, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { KERNEL_COUNTERS } from "../../src/capture/counters.ts";
import { testRun } from "../../src/native/bpf/test-run.ts";
import { address, EPOLL_CTL_ADD, EPOLLIN, libc, monotonicMicroseconds } from "../../src/native/libc.ts";
import { build } from "./build.ts";
import { loadForTest, type TestCapture } from "./capture.ts";

const PASS = -1;
const DROP = 2;
const REQUEST = { payload: 1400 };
const RESPONSE = { source: "10.0.0.9", destination: "10.0.0.2", sourcePort: 8080, destinationPort: 33000 };

let capture: TestCapture;

afterEach(() => {
  capture?.kernel.detach();
});

function request(seq: number): number {
  return testRun(capture.kernel.requestProgram, build({ ...REQUEST, seq }).bytes).verdict;
}

function response(): number {
  return testRun(capture.kernel.responseProgram, build(RESPONSE).bytes).verdict;
}

test("with a full request ring the record is lost, and the packet passes", () => {
  capture = loadForTest({ requestRingBytes: 4096 });
  capture.beat();
  for (let seq = 0; seq < 20; seq++) expect(request(seq)).toBe(PASS);
  const { requestsCaptured, requestRingFull, requestRingFullByCpu } = capture.kernel.stats();
  // Two records of 1640 bytes fit into the ring of a CPU.
  expect(requestsCaptured).toBeGreaterThanOrEqual(2);
  expect(requestsCaptured).toBeLessThanOrEqual(2 * capture.kernel.requestRings.length);
  expect(requestRingFull).toBe(20 - requestsCaptured);
  expect(requestRingFullByCpu.reduce((sum, count) => sum + count)).toBe(requestRingFull);
  expect(capture.takeRequests()).toHaveLength(requestsCaptured);
  // Read, the ring takes packets again.
  capture.counted();
  request(100);
  expect(capture.counted()).toMatchObject({ requestsCaptured: 1 });
  expect(capture.takeRequests()).toHaveLength(1);
});

test("with a full response ring the record is lost, and the packet is dropped all the same", () => {
  capture = loadForTest({ responseRingBytes: 4096 });
  capture.beat();
  capture.flows.add(0, RESPONSE.destinationPort);
  for (let count = 0; count < 100; count++) expect(response()).toBe(DROP);
  const { responsesCaptured, responseRingFull, responseRingFullByCpu } = capture.kernel.stats();
  expect(responseRingFull).toBeGreaterThan(0);
  expect(responsesCaptured + responseRingFull).toBe(100);
  expect(responseRingFullByCpu.reduce((sum, count) => sum + count)).toBe(responseRingFull);
  expect(capture.takeResponses()).toHaveLength(responsesCaptured);
});

test("without a heartbeat both programs are inert", () => {
  capture = loadForTest();
  capture.flows.add(0, RESPONSE.destinationPort);
  const nowMs = () => monotonicMicroseconds() / 1000;
  const states: [ms: number, alive: boolean][] = [
    [nowMs() - 2500, false],
    [nowMs() - 1000, true],
    [nowMs() - 3600_000, false],
    // The clock is read by another CPU, later or earlier.
    [nowMs() + 500, true],
    [nowMs() + 5000, false],
  ];
  expect([request(1), response()]).toEqual([PASS, PASS]);
  for (const [index, [ms, alive]] of states.entries()) {
    capture.counted();
    capture.control.heartbeat(ms);
    expect([request(10 + index), response()]).toEqual([PASS, alive ? DROP : PASS]);
    expect(capture.takeRequests()).toHaveLength(alive ? 1 : 0);
    expect(capture.takeResponses()).toHaveLength(alive ? 1 : 0);
    expect(capture.counted().inert ?? 0).toBe(alive ? 0 : 2);
  }
});

test("a record wakes a waiting reader, once", () => {
  capture = loadForTest();
  capture.beat();
  capture.flows.add(0, RESPONSE.destinationPort);
  const epoll = libc.epoll_create1(0);
  const event = new DataView(new ArrayBuffer(16));
  event.setUint32(0, EPOLLIN, true);
  const eventAddress = address(event);
  for (const ring of [...capture.kernel.requestRings, ...capture.kernel.responseRings]) {
    expect(libc.epoll_ctl(epoll, EPOLL_CTL_ADD, ring, eventAddress)).toBe(0);
  }
  try {
    for (const [index, send] of [() => request(1), response].entries()) {
      expect(capture.control.waiting).toBe(false);
      send();
      expect(libc.epoll_wait(epoll, eventAddress, 1, 0)).toBe(0);
      capture.takeRequests();
      capture.takeResponses();

      capture.control.setWaiting(true);
      request(100 + index * 10);
      expect(libc.epoll_wait(epoll, eventAddress, 1, 1000)).toBe(1);
      expect(capture.control.waiting).toBe(false);
      capture.takeRequests();
      // All is read, what woke us included: the next wait sleeps.
      expect(libc.epoll_wait(epoll, eventAddress, 1, 0)).toBe(0);
      expect(capture.requests.isEmpty).toBe(true);

      capture.control.setWaiting(true);
      response();
      expect(libc.epoll_wait(epoll, eventAddress, 1, 1000)).toBe(1);
      capture.takeResponses();
      expect(libc.epoll_wait(epoll, eventAddress, 1, 0)).toBe(0);
    }
    // What passes by wakes nobody.
    capture.control.setWaiting(true);
    testRun(capture.kernel.requestProgram, build({ destinationPort: 81, payload: 5 }).bytes);
    testRun(capture.kernel.requestProgram, build({ flags: 0x10 }).bytes);
    expect(capture.control.waiting).toBe(true);
  } finally {
    libc.close(epoll);
  }
});

test("the counters have the order of bpf/record/counters.h", () => {
  const header = readFileSync(`${import.meta.dir}/../../bpf/record/counters.h`, "utf8");
  const names = header.match(/^ {4}[A-Z_]+(?=,)/gm)!.map((name) => name.trim().toLowerCase());
  const camel = names.map((name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase()));
  expect(camel.slice(0, -1)).toEqual([...KERNEL_COUNTERS]);
  expect(camel.at(-1)).toBe("counters");
});
