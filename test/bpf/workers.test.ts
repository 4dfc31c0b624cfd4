/** Which worker's rings a flow goes to: the same for all of it, and as user space reckons. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { testRun } from "../../src/native/bpf/test-run.ts";
import { monotonicMicroseconds } from "../../src/native/libc.ts";
import { workerOfClient, workerOfPort } from "../../src/wire/shard.ts";
import { ACK, build, bytesOf, FIN, type Frame, SYN } from "./build.ts";
import { loadForTest, type TestCapture, take } from "./capture.ts";
import { quoting } from "./quoting.ts";

const WORKERS = 3;
const PASS = -1;
const DROP = 2;
const FLOWS = 300;

let capture: TestCapture;

beforeAll(() => {
  capture = loadForTest({ workers: WORKERS });
});

afterAll(() => {
  capture?.kernel.detach();
});

beforeEach(() => {
  capture.beat();
  capture.takeRequests();
  capture.takeResponses();
  capture.counted();
});

/** The workers that a record came to, with how many. */
function workersWith(kind: "requests" | "responses"): [worker: number, records: number][] {
  return capture.workers.flatMap((worker, index): [number, number][] => {
    const { length } = take(worker[kind]);
    return length > 0 ? [[index, length]] : [];
  });
}

/** The four words of an address as the engine's tables have it. */
function wordsOf(address: string): Int32Array {
  const bytes = bytesOf(address);
  const all = new Uint8Array(16);
  all.set([0xff, 0xff], 10);
  all.set(bytes, 16 - bytes.length);
  const view = new DataView(all.buffer);
  return Int32Array.from({ length: 4 }, (_, index) => view.getInt32(4 * index));
}

describe.each([
  ["IPv4", (flow: number) => `10.0.${flow % 7}.${1 + (flow % 250)}`, "10.0.0.2"],
  ["IPv6", (flow: number) => `fd00:${flow.toString(16)}::${(flow * 7).toString(16)}`, "fd00::2"],
])("requests over %s", (_, source, destination) => {
  const client = (flow: number): Frame => ({
    source: source(flow),
    destination,
    sourcePort: 1024 + flow * 131,
  });

  test("all packets of a connection go to the worker that user space computes, and every worker gets a share", () => {
    const shares = Array(WORKERS).fill(0);
    for (let flow = 0; flow < FLOWS; flow++) {
      capture.beat();
      const from = client(flow);
      const frames: Frame[] = [
        { ...from, flags: SYN, seq: 999 },
        { ...from, flags: ACK, seq: 1000, ack: 5000 },
        { ...from, flags: ACK, seq: 1000, ack: 5000, payload: 77 },
        { ...from, flags: ACK, seq: 1077, ack: 5001, payload: 1400, tags: [0x8100] },
        { ...from, flags: FIN | ACK, seq: 2477 },
      ];
      for (const frame of frames) {
        expect(testRun(capture.kernel.requestProgram, build(frame).bytes).verdict).toBe(PASS);
      }
      const expected = workerOfClient(wordsOf(from.source!), 0, from.sourcePort!, WORKERS);
      expect(workersWith("requests")).toEqual([[expected, frames.length]]);
      shares[expected]++;
    }
    for (const share of shares) expect(share).toBeGreaterThan(FLOWS / WORKERS / 2);
  });

  test("fragments go to the worker of their flow, those before the first one are counted", () => {
    for (let flow = 0; flow < 20; flow++) {
      capture.beat();
      const family = destination.includes(":") ? { extensions: [44] } : {};
      const from = { ...client(flow), ...family, id: flow };
      const first = { ...from, moreFragments: true, payload: 104 };
      const later = { ...from, fragmentOffset: 16, payload: 50, sourcePort: 7, destinationPort: 7 };
      const take = (frame: Frame) => {
        testRun(capture.kernel.requestProgram, build(frame).bytes);
        return workersWith("requests");
      };
      const expected = workerOfClient(wordsOf(from.source!), 0, from.sourcePort!, WORKERS);
      expect(take(later)).toEqual([]);
      expect(take(first)).toEqual([[expected, 1]]);
      expect(take({ ...later, fragmentOffset: 30 })).toEqual([[expected, 1]]);
    }
  });

  test("the worker does not depend on the service", () => {
    for (let flow = 0; flow < 20; flow++) {
      capture.beat();
      for (const destinationPort of [80, 8080]) {
        const frame = { ...client(flow), destinationPort, payload: 9, seq: destinationPort };
        testRun(capture.kernel.requestProgram, build(frame).bytes);
      }
      expect(workersWith("requests").map(([, records]) => records)).toEqual([2]);
    }
  });
});

describe.each([
  ["IPv4", 0, "10.0.0.9", "10.0.0.2"],
  ["IPv6", 1, "fd00::9", "fd00::2"],
])("responses over %s", (_, path, source, destination) => {
  test("go to the worker that has our port", () => {
    for (let port = 33000; port < 33050; port++) {
      capture.beat();
      capture.flows.add(path, port);
      const frame: Frame = { source, destination, sourcePort: 8080, destinationPort: port };
      for (const flags of [SYN | ACK, ACK, FIN | ACK]) {
        expect(testRun(capture.kernel.responseProgram, build({ ...frame, flags }).bytes).verdict).toBe(DROP);
      }
      expect(workersWith("responses")).toEqual([[workerOfPort(port, WORKERS), 3]]);
    }
  });

  test('and so do ICMP "packet too big" messages about it', () => {
    for (let port = 34000; port < 34010; port++) {
      capture.flows.add(path, port);
      const ours: Frame = {
        source: destination,
        destination: source,
        sourcePort: port,
        destinationPort: 8080,
        flags: ACK,
      };
      const message = path === 0 ? quoting(ours, 3, 4, [0, 0, 5, 0]) : quoting(ours, 2, 0, [0, 0, 5, 0]);
      expect(testRun(capture.kernel.responseProgram, message).verdict).toBe(PASS);
      expect(workersWith("responses")).toEqual([[workerOfPort(port, WORKERS), 1]]);
    }
  });
});

test("-r captures the same flows for any number of workers, and spreads them over all", () => {
  const sampled = (own: TestCapture): { ports: number[]; perWorker: number[] } => {
    own.beat();
    for (const { control } of own.workers) control.setSample(0.3);
    for (let port = 20000; port < 20600; port++) {
      const frame = build({ source: "10.0.0.1", sourcePort: port, payload: 5, seq: 7 });
      testRun(own.kernel.requestProgram, frame.bytes);
    }
    const records = own.workers.map(({ requests }) => take(requests));
    const portOf = ({ bytes, tcp }: (typeof records)[0][0]) => new DataView(bytes.buffer).getUint16(tcp);
    return { ports: records.flat().map(portOf).toSorted(), perWorker: records.map(({ length }) => length) };
  };
  const alone = loadForTest();
  try {
    const [one, several] = [sampled(alone), sampled(capture)];
    expect(several.ports).toEqual(one.ports);
    expect(one.ports.length).toBeGreaterThan(100);
    for (const share of several.perWorker) expect(share).toBeGreaterThan(one.ports.length / WORKERS / 2);
  } finally {
    alone.kernel.detach();
    for (const { control } of capture.workers) control.setSample(1);
  }
});

describe("a worker that", () => {
  const requestOf = (worker: number, seq: number): Frame => {
    const source = "10.0.0.1";
    let port = 40000;
    while (workerOfClient(wordsOf(source), 0, port, WORKERS) !== worker) port++;
    return { source, sourcePort: port, payload: 5, seq };
  };

  test("is stalled gets nothing, and the others get theirs", () => {
    capture.workers[1]!.control.heartbeat(0);
    for (let worker = 0; worker < WORKERS; worker++) {
      testRun(capture.kernel.requestProgram, build(requestOf(worker, 1)).bytes);
    }
    expect(workersWith("requests")).toEqual([
      [0, 1],
      [2, 1],
    ]);
    expect(capture.counted()).toMatchObject({ requestsCaptured: 2, inert: 1 });
  });

  test("has a full ring loses only its own packets, which are counted", () => {
    const { bytes } = build({ ...requestOf(1, 2), payload: 1400 });
    testRun(capture.kernel.requestProgram, bytes, {}, 3000);
    testRun(capture.kernel.requestProgram, build(requestOf(2, 2)).bytes);
    const [[, first], second] = workersWith("requests") as [[number, number], [number, number]];
    expect(second).toEqual([2, 1]);
    const { requestRingFull } = capture.counted();
    expect(requestRingFull).toBeGreaterThan(0);
    expect(first + requestRingFull!).toBe(3000);
    expect(capture.kernel.stats().requestRingFullByCpu.reduce((sum, count) => sum + count)).toBe(
      requestRingFull!,
    );
  });

  test("leaves out flows by -r or -g leaves out only its own", () => {
    capture.workers[0]!.control.setSample(0);
    for (let worker = 0; worker < WORKERS; worker++) {
      testRun(capture.kernel.requestProgram, build(requestOf(worker, 3)).bytes);
    }
    capture.workers[0]!.control.setSample(1);
    expect(workersWith("requests").map(([worker]) => worker)).toEqual([1, 2]);
    expect(capture.counted()).toMatchObject({ requestsCaptured: 2, unsampled: 1 });
  });

  test("has died gets nothing any more: its requests are abandoned, its responses pass", () => {
    const own = loadForTest({ workers: WORKERS });
    try {
      own.beat();
      own.flows.add(0, 33000);
      own.workers[1]!.control.close(monotonicMicroseconds() / 1000);
      own.workers[workerOfPort(33000, WORKERS)]!.control.close(monotonicMicroseconds() / 1000);
      testRun(own.kernel.requestProgram, build(requestOf(1, 4)).bytes);
      testRun(own.kernel.requestProgram, build(requestOf(2, 4)).bytes);
      testRun(own.kernel.requestProgram, build({ ...requestOf(1, 9), payload: 0, flags: ACK }).bytes);
      const response: Frame = { source: "10.0.0.9", sourcePort: 8080, destinationPort: 33000, flags: ACK };
      expect(testRun(own.kernel.responseProgram, build(response).bytes).verdict).toBe(PASS);
      expect(own.counted()).toMatchObject({ requestsCaptured: 1, abandoned: 1 });
    } finally {
      own.kernel.detach();
    }
  });
});
