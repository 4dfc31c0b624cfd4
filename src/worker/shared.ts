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
  /** [0]: odd while the worker replaces the counters. */
  version: Int32Array;
  /** As of the end of a round. Engine counters first, in the order of ENGINE_COUNTERS, then the data plane's own. */
  counters: Float64Array;
  /** us from capture to the hand-over to the kernel; see histogram.ts. */
  lag: Uint32Array;
}

const COMMAND_BYTES = 8;
const VERSION_BYTES = 8;
const COUNTER_BYTES = COUNTERS.length * 8;

export function createShared(): SharedArrayBuffer {
  return new SharedArrayBuffer(COMMAND_BYTES + VERSION_BYTES + COUNTER_BYTES + HISTOGRAM_WORDS * 4);
}

export function viewShared(memory: SharedArrayBuffer): Shared {
  return {
    command: new Int32Array(memory, 0, 2),
    version: new Int32Array(memory, COMMAND_BYTES, 1),
    counters: new Float64Array(memory, COMMAND_BYTES + VERSION_BYTES, COUNTERS.length),
    lag: new Uint32Array(memory, COMMAND_BYTES + VERSION_BYTES + COUNTER_BYTES, HISTOGRAM_WORDS),
  };
}

/** Index of a counter in `Shared.counters`. */
export const INDEX = Object.fromEntries(COUNTERS.map((name, index) => [name, index])) as Record<
  Counter,
  number
>;

/** A place for the worker to count in between two rounds. */
export function createCounters(): Float64Array {
  return new Float64Array(COUNTERS.length);
}

/** Makes counters that add up visible to the main thread, all at once; for the worker, between two rounds. */
export function publish(
  { version, counters }: Pick<Shared, "version" | "counters">,
  counted: Float64Array,
): void {
  Atomics.add(version, 0, 1);
  counters.set(counted);
  Atomics.add(version, 0, 1);
}

/** How often the main thread looks for a moment between two rounds; a worker that died in the middle has none. */
const TRIES = 1000;

/** All counters of one moment; for the main thread. */
export function takeCounters({ version, counters }: Pick<Shared, "version" | "counters">): Float64Array {
  let taken = counters.slice();
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const before = Atomics.load(version, 0);
    taken = counters.slice();
    // An addition of nothing is a fence: the copy is made before.
    if (before % 2 === 0 && Atomics.add(version, 0, 0) === before) break;
  }
  return taken;
}
