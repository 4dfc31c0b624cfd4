/** Where requests come from: this host's interfaces, or recorded traffic. */
import type { KernelCapture } from "../capture/kernel.ts";
import { startTraceReader, type TraceReader } from "../capture/trace/start.ts";
import type { CopyOptions } from "../config/copy.ts";
import type { Failure } from "../native/failure.ts";
import { EFD_CLOEXEC, EFD_NONBLOCK, IPPROTO_TCP, libc } from "../native/libc.ts";
import type { CaptureCounts } from "../ops/summary.ts";
import type { TraceConfig } from "../worker/config.ts";
import { TRACE_READER } from "../worker/trace-entry.ts";
import { kernelServices } from "./load.ts";
import type { Plan } from "./plan.ts";

export interface RequestSource {
  /** For the first message: `captured by tcx on lo, eth0`. */
  description: string;
  /** For the data plane; null: it reads the kernel's rings. */
  trace: TraceConfig | null;
  /** Requests may come from now on. */
  begin(): void;
  /** No more of them. */
  stop(): void;
  counts(): CaptureCounts;
  /** What could not be read to its end; for after the end of the data plane. */
  failures(): Promise<Failure[]>;
}

/** Requests as they come in: by programs that are loaded and not attached yet. */
export function liveSource(plan: Plan, kernel: KernelCapture): RequestSource {
  return {
    get description() {
      return `captured by ${kernel.hook} on ${plan.interfaces.map(({ name }) => name).join(", ")}`;
    },
    trace: null,
    begin: () => kernel.attachRequests(plan.interfaces.map(({ ifindex }) => ifindex)),
    stop: () => kernel.detachRequests(),
    counts() {
      const stats = kernel.stats();
      return {
        source: kernel.hook,
        packets: stats.requestsCaptured,
        bytes: stats.requestBytes,
        lost: stats.requestRingFull,
        lostByCpu: stats.requestRingFullByCpu,
        abandoned: stats.abandoned,
        responsesLost: stats.responseRingFull,
        pureAcks: stats.pureAcks,
        duplicates: stats.duplicates,
        fragments: stats.fragments,
        oversize: stats.oversize,
        inert: stats.inert,
        unsampled: stats.unsampled,
      };
    },
    failures: async () => [],
  };
}

/**
 * Recorded requests. Resolves when every file was found to be a recording; rejects with a Failure if one is none. `warn`
 * gets a line for what else the user should know.
 */
export async function recordedSource(
  plan: Plan,
  options: CopyOptions,
  warn: (text: string) => void,
): Promise<RequestSource> {
  const { speed, longestGap, loops, start, end, rate } = options.trace;
  const wake = Number(libc.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  const reader = startTraceReader(
    {
      paths: plan.files,
      services: kernelServices(plan),
      protocol: IPPROTO_TCP,
      loops,
      start,
      end,
      leftOut: Math.round((1 - options.sample) * 2 ** 32),
      wake,
    },
    warn,
    TRACE_READER,
  );
  await reader.ready;
  return {
    description: `read from ${plan.files.join(", ")}`,
    trace: { memory: reader.memory, wake, speed, longestGap: longestGap * 1000, rate },
    begin() {},
    stop: () => reader.stop(),
    counts: () => countRecorded(reader),
    failures: () => reader.ended,
  };
}

function countRecorded(reader: TraceReader): CaptureCounts {
  const counters = reader.counters();
  return {
    source: "trace",
    packets: counters.requests,
    bytes: counters.requestBytes,
    lost: 0,
    responsesLost: 0,
    pureAcks: counters.pureAcks,
    duplicates: counters.duplicates,
    fragments: counters.fragmentsIncomplete + counters.fragmentsOverlapping,
    oversize: 0,
    inert: 0,
    unsampled: counters.unsampled,
    trace: counters,
  };
}
