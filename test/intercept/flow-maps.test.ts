/** The maps by which user space tells the kernel about copies and their flows. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { FLOW_BYTES, MAX_COOKIES } from "../../src/intercept/data-plane/flow-maps.ts";
import { testRun } from "../../src/native/bpf/test-run.ts";
import { build } from "../bpf/build.ts";
import { answerTo, flowOf, loadForTest, type TestIntercept } from "./load.ts";

const FLOWS = 16384;
const FLOW = { source: "203.0.113.7", destination: "10.0.0.2", sourcePort: 0, destinationPort: 8080 };

let intercept: TestIntercept;

beforeEach(() => {
  intercept = loadForTest({ flows: FLOWS });
  intercept.beat();
});

afterEach(() => {
  intercept.kernel.detach();
});

/** Flows of one client address, one behind the other: the ports from `first` on. */
function flows(first: number, count: number): Uint8Array {
  const bytes = new Uint8Array(count * FLOW_BYTES);
  for (let index = 0; index < count; index++) {
    bytes.set(flowOf({ ...FLOW, sourcePort: first + index }), index * FLOW_BYTES);
  }
  return bytes;
}

function isCaught(sourcePort: number): boolean {
  const { bytes } = build(answerTo({ ...FLOW, sourcePort }));
  return testRun(intercept.kernel.catchProgram, bytes).verdict !== -1;
}

test("flows are registered and taken away by the thousand, and counted", () => {
  const { learned } = intercept;
  expect(learned.isEmpty).toBe(true);
  learned.add(new Uint8Array(0), 1);
  expect(learned.count()).toBe(0);
  learned.add(flows(1000, 3000), 7);
  expect(learned.isEmpty).toBe(false);
  expect(learned.count()).toBe(3000);
  // Again, and others: one entry each.
  learned.add(flows(3500, 1000), 7);
  expect(learned.count()).toBe(3500);
  expect([999, 1000, 4499, 4500].map(isCaught)).toEqual([false, true, true, false]);
  // Those that are not there are no hindrance for those behind them.
  learned.remove(flows(500, 3000));
  expect(learned.count()).toBe(1000);
  expect([3499, 3500].map(isCaught)).toEqual([false, true]);
  learned.remove(flows(3500, 2000));
  expect(learned.isEmpty).toBe(true);
});

test("a part of a buffer is a part of its flows", () => {
  const bytes = flows(1000, 10);
  intercept.learned.add(bytes, 7, 3 * FLOW_BYTES, 5 * FLOW_BYTES);
  expect([1002, 1003, 1004, 1005].map(isCaught)).toEqual([false, true, true, false]);
  intercept.learned.remove(bytes, 4 * FLOW_BYTES, 5 * FLOW_BYTES);
  expect([1003, 1004].map(isCaught)).toEqual([true, false]);
});

test("a full map forgets flows of which nothing was seen lately, and keeps those that are in use", () => {
  intercept.learned.add(flows(100, 200), 7);
  for (let first = 1000; first < 61000; first += 2000) {
    for (let port = 100; port < 300; port++) isCaught(port);
    intercept.learned.add(flows(first, 2000), 7);
  }
  expect(intercept.learned.count()).toBeLessThanOrEqual(FLOWS);
  expect(Array.from({ length: 200 }, (_, index) => index + 100).filter((port) => !isCaught(port))).toEqual(
    [],
  );
});

test("the number of cookies is bounded, and the error says so", () => {
  const cookie = (index: number) => new Uint8Array(BigUint64Array.of(BigInt(index)).buffer);
  for (let index = 1; index < MAX_COOKIES; index++) intercept.cookies.set(cookie(index), index);
  expect(() => intercept.cookies.set(cookie(MAX_COOKIES), 0)).toThrow("Cannot update a BPF map: ");
  intercept.cookies.remove(cookie(1));
  intercept.cookies.set(cookie(MAX_COOKIES), 0);
});

test("another thread needs nothing but the descriptor", async () => {
  const script = `
    import { Learned } from "${import.meta.dir}/../../src/intercept/data-plane/flow-maps.ts";
    onmessage = ({ data: { map, flows } }) => {
      const learned = new Learned(map);
      learned.add(flows, 7);
      postMessage(learned.count());
    };`;
  const worker = new Worker(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
  try {
    const counted = new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = ({ message }) => reject(new Error(message));
    });
    worker.postMessage({ map: intercept.kernel.learnedMap, flows: flows(1000, 5) });
    expect(await counted).toBe(5);
  } finally {
    worker.terminate();
  }
});
