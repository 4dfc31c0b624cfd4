/** The memory that the main thread of `xcopy intercept` and its data plane share: as shared.ts, with other counters. */
import { CLOSE_CODES } from "../../channel/close.ts";
import type { Published } from "../../runtime/shared.ts";
import { SLOTS } from "./copies.ts";

const COUNTERS = [
  "packets",
  "bytes",
  "routed",
  "unrouted",
  "passed",
  "held",
  "released",
  "cut",
  "discarded",
  "active",
  "registered",
  "evicted",
  "clients",
  "connections",
  "unfinished",
  "accepted",
  ...CLOSE_CODES.map((code) => `closed.${code}` as const),
] as const;
export type InterceptCounter = (typeof COUNTERS)[number];

export const INTERCEPT_INDEX = Object.fromEntries(COUNTERS.map((name, index) => [name, index])) as Record<
  InterceptCounter,
  number
>;

/** Columns per slot of `InterceptShared.copies`. */
export const COPY_COLUMNS = ["connections", "packets", "bytes", "discarded"] as const;

export interface InterceptShared extends Published {
  /** [0]: RUN or STOP. */
  command: Int32Array;
  /** COPY_COLUMNS per slot. */
  copies: Float64Array;
}

export function createInterceptShared(): SharedArrayBuffer {
  return new SharedArrayBuffer(16 + (2 * COUNTERS.length + SLOTS * COPY_COLUMNS.length) * 8);
}

export function viewInterceptShared(memory: SharedArrayBuffer): InterceptShared {
  return {
    command: new Int32Array(memory, 0, 2),
    version: new Int32Array(memory, 8, 1),
    counters: [
      new Float64Array(memory, 16, COUNTERS.length),
      new Float64Array(memory, 16 + COUNTERS.length * 8, COUNTERS.length),
    ],
    copies: new Float64Array(memory, 16 + 2 * COUNTERS.length * 8, SLOTS * COPY_COLUMNS.length),
  };
}

/** A place for the worker to count in between two rounds. */
export function createInterceptCounters(): Float64Array {
  return new Float64Array(COUNTERS.length);
}
