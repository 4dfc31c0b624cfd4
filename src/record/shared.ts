/** The memory that the main thread of `xcopy record` and its data plane share; see src/runtime/shared.ts. */
import { type Commanded, commandedBytes, indexesOf, viewCommanded } from "../runtime/shared.ts";

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

export const RECORD_INDEX = indexesOf(COUNTERS);

export type RecordShared = Commanded;

export function createRecordShared(): SharedArrayBuffer {
  return new SharedArrayBuffer(commandedBytes(COUNTERS.length));
}

export function viewRecordShared(memory: SharedArrayBuffer): RecordShared {
  return viewCommanded(memory, COUNTERS.length);
}

/** A place for the worker to count in between two rounds. */
export function createRecordCounters(): Float64Array {
  return new Float64Array(COUNTERS.length);
}
