/** The memory that the main thread of `xcopy intercept` and its data plane share; see src/runtime/shared.ts. */
import { CLOSE_CODES } from "../../channel/close.ts";
import { type Commanded, commandedBytes, indexesOf, viewCommanded } from "../../runtime/shared.ts";
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
  "confirmed",
  "expired",
  "refused",
  "withdrawn",
  "clients",
  "connections",
  "unfinished",
  "accepted",
  ...CLOSE_CODES.map((code) => `closed.${code}` as const),
] as const;
export type InterceptCounter = (typeof COUNTERS)[number];

export const INTERCEPT_INDEX = indexesOf(COUNTERS);

/** Columns per slot of `InterceptShared.copies`. */
export const COPY_COLUMNS = ["connections", "packets", "bytes", "discarded"] as const;

export interface InterceptShared extends Commanded {
  /** COPY_COLUMNS per slot. */
  copies: Float64Array;
}

const COPIES = commandedBytes(COUNTERS.length);

export function createInterceptShared(): SharedArrayBuffer {
  return new SharedArrayBuffer(COPIES + SLOTS * COPY_COLUMNS.length * 8);
}

export function viewInterceptShared(memory: SharedArrayBuffer): InterceptShared {
  return {
    ...viewCommanded(memory, COUNTERS.length),
    copies: new Float64Array(memory, COPIES, SLOTS * COPY_COLUMNS.length),
  };
}

/** A place for the worker to count in between two rounds. */
export function createInterceptCounters(): Float64Array {
  return new Float64Array(COUNTERS.length);
}
