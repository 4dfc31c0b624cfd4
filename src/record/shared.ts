/** The memory that the main thread of `xcopy record` and its data plane share: as shared.ts, with other counters. */
import type { Published } from "../runtime/shared.ts";

const COUNTERS = [
  /** Packets and their bytes that were taken from the rings, and how many of them services sent. */
  "packets",
  "bytes",
  "outgoing",
  /** Packets that are in files. */
  "written",
  "files",
  /** Bytes of all files. */
  "fileBytes",
] as const;
export type RecordCounter = (typeof COUNTERS)[number];

export const RECORD_INDEX = Object.fromEntries(COUNTERS.map((name, index) => [name, index])) as Record<
  RecordCounter,
  number
>;

export interface RecordShared extends Published {
  /** [0]: RUN, DRAIN or STOP. */
  command: Int32Array;
}

export function createRecordShared(): SharedArrayBuffer {
  return new SharedArrayBuffer(16 + 2 * COUNTERS.length * 8);
}

export function viewRecordShared(memory: SharedArrayBuffer): RecordShared {
  return {
    command: new Int32Array(memory, 0, 2),
    version: new Int32Array(memory, 8, 1),
    counters: [
      new Float64Array(memory, 16, COUNTERS.length),
      new Float64Array(memory, 16 + COUNTERS.length * 8, COUNTERS.length),
    ],
  };
}

/** A place for the worker to count in between two rounds. */
export function createRecordCounters(): Float64Array {
  return new Float64Array(COUNTERS.length);
}
