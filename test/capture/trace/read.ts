/** Reads traces through the worker, as the data plane would. */
import type { KernelService } from "../../../src/capture/services.ts";
import { TRACE_COUNTERS, type TraceCounter } from "../../../src/capture/trace/counters.ts";
import { createTraceMemory, SMALLEST_RING, viewTraceMemory } from "../../../src/capture/trace/memory.ts";
import type { TimeStep, TraceOptions, TraceSummary } from "../../../src/capture/trace/options.ts";
import { readTraces } from "../../../src/capture/trace/reader.ts";
import { startTraceReader } from "../../../src/capture/trace/start.ts";
import { TraceRing } from "../../../src/capture/trace/trace-ring.ts";
import type { Sightings } from "../../../src/capture/trace/unmatched/unmatched.ts";
import type { Failure } from "../../../src/native/failure.ts";
import { IPPROTO_TCP } from "../../../src/wire/ip.ts";

export const WEB: KernelService = { address: null, family: 4, port: 80, index: 1 };

export interface Read {
  seqs: number[];
  times: number[];
  loops: number[];
  indexes: number[];
  /** Bytes of each packet in the ring. */
  captured: number[];
  failures: Failure[];
  warnings: string[];
  steps: TimeStep[];
  unmatched: Sightings | null;
  summary: TraceSummary;
  counters: Record<TraceCounter, number>;
}

export function optionsFor(paths: string[], options: Partial<TraceOptions> = {}): TraceOptions {
  const rest = { protocol: IPPROTO_TCP, loops: 1, start: null, end: null, leftOut: 0, wake: -1 };
  return { paths, services: [WEB], targets: [0, 0], ...rest, ringBytes: SMALLEST_RING, ...options };
}

type Found = Pick<Read, "seqs" | "times" | "loops" | "indexes" | "captured">;

/** Takes what is in the ring, until it has ended or is empty; `found` gets what was in it. */
function drain(ring: TraceRing, found: Found): number {
  return ring.drain((packet) => {
    found.seqs.push(packet.seq);
    found.times.push(packet.time);
    found.loops.push(ring.loop);
    found.indexes.push(packet.index);
    found.captured.push(packet.end - packet.ip);
  }, 1000);
}

/** Reads all that there is. Rejects with what `ready` rejects with. */
export async function readAll(paths: string[], options: Partial<TraceOptions> = {}): Promise<Read> {
  const warnings: string[] = [];
  const steps: TimeStep[] = [];
  const warn = (text: string) => warnings.push(text);
  const reader = startTraceReader(optionsFor(paths, options), warn, (step) => steps.push(step));
  const summary = await reader.ready;
  const ring = new TraceRing(reader.memory);
  const found: Found = { seqs: [], times: [], loops: [], indexes: [], captured: [] };
  while (!ring.isEnd) if (drain(ring, found) === 0) await Bun.sleep(1);
  const failures = await reader.ended;
  const unmatched = reader.unmatched();
  return { ...found, unmatched, failures, warnings, steps, summary, counters: reader.counters() };
}

/** The same in this thread, without a worker: for many files, each of which fits into the ring. */
export async function readHere(paths: string[]): Promise<Pick<Read, "seqs" | "failures" | "counters">> {
  const memory = createTraceMemory(SMALLEST_RING);
  const failures: Failure[] = [];
  const events = {
    onWarning() {},
    onStep() {},
    onUnmatched() {},
    onReady() {},
    onBroken: (failure: Failure) => failures.push(failure),
  };
  await readTraces(optionsFor(paths), memory, events, new Promise(() => {}));
  const ring = new TraceRing(memory);
  const found: Found = { seqs: [], times: [], loops: [], indexes: [], captured: [] };
  while (!ring.isEnd) drain(ring, found);
  const { counters } = viewTraceMemory(memory);
  return {
    seqs: found.seqs,
    failures,
    counters: Object.fromEntries(TRACE_COUNTERS.map((name, index) => [name, counters[index]!])) as Record<
      TraceCounter,
      number
    >,
  };
}
