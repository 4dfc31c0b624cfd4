/** Reads traces through the worker, as the data plane would. */
import type { KernelService } from "../../../src/capture/services.ts";
import type { TraceCounter } from "../../../src/capture/trace/counters.ts";
import { SMALLEST_RING } from "../../../src/capture/trace/memory.ts";
import type { TraceOptions, TraceSummary } from "../../../src/capture/trace/options.ts";
import { startTraceReader } from "../../../src/capture/trace/start.ts";
import { TraceRing } from "../../../src/capture/trace/trace-ring.ts";
import type { Failure } from "../../../src/native/failure.ts";
import { IPPROTO_TCP } from "../../../src/wire/ip.ts";

export const WEB: KernelService = { address: null, family: 4, port: 80, index: 1 };

export interface Read {
  seqs: number[];
  times: number[];
  loops: number[];
  failures: Failure[];
  warnings: string[];
  summary: TraceSummary;
  counters: Record<TraceCounter, number>;
}

export function optionsFor(paths: string[], options: Partial<TraceOptions> = {}): TraceOptions {
  const rest = { protocol: IPPROTO_TCP, loops: 1, start: null, end: null, leftOut: 0, wake: -1 };
  return { paths, services: [WEB], ...rest, ringBytes: SMALLEST_RING, ...options };
}

/** Reads all that there is. Rejects with what `ready` rejects with. */
export async function readAll(paths: string[], options: Partial<TraceOptions> = {}): Promise<Read> {
  const warnings: string[] = [];
  const reader = startTraceReader(optionsFor(paths, options), (text) => warnings.push(text));
  const summary = await reader.ready;
  const ring = new TraceRing(reader.memory);
  const [seqs, times, loops]: number[][] = [[], [], []];
  while (!ring.isEnd) {
    const count = ring.drain((packet) => {
      seqs!.push(packet.seq);
      times!.push(packet.time);
      loops!.push(ring.loop);
    }, 1000);
    if (count === 0) await Bun.sleep(1);
  }
  const failures = await reader.ended;
  return {
    seqs: seqs!,
    times: times!,
    loops: loops!,
    failures,
    warnings,
    summary,
    counters: reader.counters(),
  };
}
