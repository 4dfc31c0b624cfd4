/** The worker's entry: waits for its configuration, runs the loop, says how it ended. */
import type { DataPlaneConfig } from "./config.ts";
import { runLoop } from "./loop.ts";
import type { ProbeResult } from "./start.ts";
import { serveThread } from "./thread.ts";

declare const self: Worker;

serveThread<DataPlaneConfig, ProbeResult[], never>(self, (config, onReady) =>
  runLoop(config, config.wake, onReady),
);
