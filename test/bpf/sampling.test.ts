/** What the request program leaves out, and the one pure ACK that it lets through. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { testRun } from "../../src/native/bpf/test-run.ts";
import { ACK, build, type Frame, SYN } from "./build.ts";
import { loadForTest, type TestCapture } from "./capture.ts";

let capture: TestCapture;

beforeAll(() => {
  capture = loadForTest();
});

afterAll(() => {
  capture?.kernel.detach();
});

beforeEach(() => {
  capture.beat();
  capture.control.setSample(1);
  capture.takeRequests();
  capture.counted();
});

const run = (frame: Frame): void => {
  testRun(capture.kernel.requestProgram, build(frame).bytes);
};

describe("the pure ACK that ends a handshake", () => {
  test("is captured, once", () => {
    const client: Frame = { sourcePort: 31000 };
    run({ ...client, flags: SYN, seq: 999 });
    run({ ...client, flags: ACK, seq: 1000, ack: 5000 });
    run({ ...client, flags: ACK, seq: 1000, ack: 5100 });
    const records = capture.takeRequests();
    expect(records.length).toBe(2);
    expect(records[1]!.length).toBe(0);
    expect(new DataView(records[1]!.bytes.buffer).getUint32(records[1]!.tcp + 8)).toBe(5000);
    expect(capture.counted()).toMatchObject({ requestsCaptured: 2, pureAcks: 1 });
  });

  test("is distinguished from an ACK with another sequence number", () => {
    const client: Frame = { sourcePort: 31001 };
    run({ ...client, flags: SYN, seq: 999 });
    run({ ...client, flags: ACK, seq: 1001, ack: 5000 });
    expect(capture.takeRequests().length).toBe(1);
  });
});

describe("sampling", () => {
  const flows = 400;
  const capturedAt = (share: number): Set<number> => {
    capture.control.setSample(share);
    const ports = new Set<number>();
    for (let port = 32000; port < 32000 + flows; port++) {
      run({ sourcePort: port, payload: 5, seq: Math.round(share * 1000), flags: ACK });
      for (const { bytes, tcp } of capture.takeRequests()) {
        ports.add(new DataView(bytes.buffer).getUint16(tcp));
      }
    }
    return ports;
  };

  test("takes about the share that was asked for, all of a flow or nothing, and more when the share grows", () => {
    const tenth = capturedAt(0.1);
    const half = capturedAt(0.5);
    expect(tenth.size).toBeGreaterThan(flows * 0.05);
    expect(tenth.size).toBeLessThan(flows * 0.15);
    expect(half.size).toBeGreaterThan(flows * 0.4);
    expect(half.size).toBeLessThan(flows * 0.6);
    expect([...tenth].filter((port) => !half.has(port))).toEqual([]);
    expect(capture.counted()).toMatchObject({ unsampled: 2 * flows - tenth.size - half.size });
    expect(capturedAt(1).size).toBe(flows);
    expect(capturedAt(0).size).toBe(0);
  });
});
