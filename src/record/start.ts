/** The main thread's side of the data plane of `xcopy record`: starts its worker thread, tells it to drain or stop. */

import { entryOf } from "../runtime/entries.ts";
import { DRAIN, STOP } from "../runtime/shared.ts";
import { createThread, startThread } from "../runtime/thread.ts";
import type { FilesOptions, OpenFile } from "./files.ts";
import type { End, RecorderOptions } from "./recorder.ts";
import { viewRecordShared } from "./shared.ts";

/** The configuration of the data plane of `xcopy record`; plain data, handed to the worker once. */
export interface RecordPlaneConfig {
  /** Descriptors of the RecordKernel, and bytes of each ring. */
  rings: number[];
  ringBytes: number;
  controlMap: number;
  countersMap: number;
  lostMap: number;
  /** Share of the flows that is captured, over 0 to 1. */
  sample: number;
  files: FilesOptions;
  /** The first file. */
  first: OpenFile;
  recorder: RecorderOptions;
  shared: SharedArrayBuffer;
}

/** What happened, for the log and the account. */
export type RecordEvent =
  | { kind: "opened"; path: string }
  /** The time of day was set by `step` us. */
  | { kind: "clock"; step: number }
  /** It ends by itself. */
  | { kind: "enough"; end: End }
  /** A file cannot be opened, written or closed: it ends. */
  | { kind: "broken"; path: string; cause: string };

export interface RecordPlane {
  /** Resolves when the loop runs; rejects if it could not start. */
  ready: Promise<void>;
  /** Resolves when the last file is closed, rejects with the error if the worker died. */
  ended: Promise<void>;
  /** Records what is in the rings, then ends; detach the programs before. */
  drain(): void;
  /** Ends at once, with a complete file. */
  stop(): void;
}

/** Starts the worker; the caller has loaded the programs. */
export function startRecordPlane(
  config: RecordPlaneConfig,
  onEvent: (event: RecordEvent) => void,
): RecordPlane {
  const { command } = viewRecordShared(config.shared);
  const thread = createThread(entryOf("record/thread.ts"));
  const { ready, ended, ask } = startThread<void, RecordEvent>(thread, config, command, onEvent);
  return { ready, ended, drain: () => ask(DRAIN), stop: () => ask(STOP) };
}
