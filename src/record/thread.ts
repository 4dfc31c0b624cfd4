/** The entry of the worker thread of `xcopy record`: waits for its configuration, runs the loop, reports how it ended. */
import { serveThread } from "../runtime/thread.ts";
import { runRecordLoop } from "./loop.ts";
import type { RecordEvent, RecordPlaneConfig } from "./start.ts";

declare const self: Worker;

serveThread<RecordPlaneConfig, void, RecordEvent>(self, (config, onReady, onEvent) =>
  runRecordLoop(config, config.wake, onReady, onEvent),
);
