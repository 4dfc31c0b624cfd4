/**
 * The memory that the main thread and one data plane share. The worker writes the counters with plain stores
 * (one writer), the main thread only `command`.
 */
import { ENGINE_COUNTERS, type EngineCounter } from "../../engine/sessions/counters.ts";
import { MYSQL_COUNTERS, type MysqlCounter } from "../../protocol/mysql/account.ts";
import { HISTOGRAM_WORDS } from "../../runtime/histogram.ts";
import { type Commanded, commandedBytes, indexesOf, viewCommanded } from "../../runtime/shared.ts";

const OWN_COUNTERS = [
  "sentPackets",
  "sentBytes",
  "sendErrors",
  "requests",
  "requestBytes",
  "lagMax",
  /** Responses that an intercept sent for none of our targets. */
  "strayResponses",
  /** How often an intercept was lost. */
  "interceptsLost",
] as const;
const COUNTERS = [...ENGINE_COUNTERS, ...OWN_COUNTERS, ...MYSQL_COUNTERS] as const;

export type Counter = EngineCounter | (typeof OWN_COUNTERS)[number] | MysqlCounter;

/** The engine's counters come first, in the order of ENGINE_COUNTERS, then the data plane's own. */
export interface Shared extends Commanded {
  /** us from capture to the hand-over to the kernel; see histogram.ts. */
  lag: Uint32Array;
  /** us from a request to its answer, where a protocol module sees both; see histogram.ts. */
  latency: { production: Uint32Array; target: Uint32Array };
}

const HISTOGRAMS = commandedBytes(COUNTERS.length);
const HISTOGRAM_BYTES = HISTOGRAM_WORDS * 4;

export function createShared(): SharedArrayBuffer {
  return new SharedArrayBuffer(HISTOGRAMS + 3 * HISTOGRAM_BYTES);
}

export function viewShared(memory: SharedArrayBuffer): Shared {
  return {
    ...viewCommanded(memory, COUNTERS.length),
    lag: new Uint32Array(memory, HISTOGRAMS, HISTOGRAM_WORDS),
    latency: {
      production: new Uint32Array(memory, HISTOGRAMS + HISTOGRAM_BYTES, HISTOGRAM_WORDS),
      target: new Uint32Array(memory, HISTOGRAMS + 2 * HISTOGRAM_BYTES, HISTOGRAM_WORDS),
    },
  };
}

/** Index of a counter in `Shared.counters`. */
export const INDEX = indexesOf(COUNTERS);

/** A place for the worker to count in between two rounds. */
export function createCounters(): Float64Array {
  return new Float64Array(COUNTERS.length);
}
