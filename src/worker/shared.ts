/**
 * The memory that the main thread and one data plane share. The worker writes the counters with plain stores
 * (one writer, 64-bit values do not tear), the main thread writes only `command`.
 */
import { ENGINE_COUNTERS, type EngineCounter } from "../engine/counters.ts";
import { HISTOGRAM_WORDS } from "./histogram.ts";

/** What the main thread asks for, in `Shared.command`. */
export const RUN = 0;
/** Take no new turns, finish what is in flight until the deadline of the drain, then end. */
export const DRAIN = 1;
/** End at once. */
export const STOP = 2;

const OWN_COUNTERS = [
  "sentPackets",
  "sentBytes",
  "sendErrors",
  "requests",
  "requestBytes",
  "lagMax",
] as const;
const COUNTERS = [...ENGINE_COUNTERS, ...OWN_COUNTERS] as const;

export type Counter = EngineCounter | (typeof OWN_COUNTERS)[number];

export interface Shared {
  /** [0]: RUN, DRAIN or STOP; [1]: milliseconds that a drain may take. */
  command: Int32Array;
  /** Engine counters first, in the order of ENGINE_COUNTERS, then the data plane's own. */
  counters: Float64Array;
  /** us from capture to the hand-over to the kernel; see histogram.ts. */
  lag: Uint32Array;
}

const COMMAND_BYTES = 8;
const COUNTER_BYTES = COUNTERS.length * 8;

export function createShared(): SharedArrayBuffer {
  return new SharedArrayBuffer(COMMAND_BYTES + COUNTER_BYTES + HISTOGRAM_WORDS * 4);
}

export function viewShared(memory: SharedArrayBuffer): Shared {
  return {
    command: new Int32Array(memory, 0, 2),
    counters: new Float64Array(memory, COMMAND_BYTES, COUNTERS.length),
    lag: new Uint32Array(memory, COMMAND_BYTES + COUNTER_BYTES, HISTOGRAM_WORDS),
  };
}

/** Index of a counter in `Shared.counters`. */
export const INDEX = Object.fromEntries(COUNTERS.map((name, index) => [name, index])) as Record<
  Counter,
  number
>;

/** One counter by name; for the main thread, not for the hot path. */
export function readCounter(shared: Shared, name: Counter): number {
  return shared.counters[INDEX[name]]!;
}
