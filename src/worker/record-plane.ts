/** The worker's entry for `xcopy record`: waits for its configuration, runs the loop, says how it ended. */
import { runRecordLoop } from "./record-loop.ts";
import type { RecordEvent, RecordPlaneConfig } from "./record-start.ts";
import { serveThread } from "./thread.ts";

declare const self: Worker;

serveThread<RecordPlaneConfig, void, RecordEvent>(self, (config, onReady, onEvent) =>
  runRecordLoop(config, config.wake, onReady, onEvent),
);
