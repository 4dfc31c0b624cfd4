/** The worker's entry: waits for its configuration, runs the loop, says how it ended. */
import type { DataPlaneConfig } from "./config.ts";
import type { InterceptState } from "./intercepts.ts";
import { runLoop } from "./loop.ts";
import type { Findings } from "./preflight.ts";
import { serveThread } from "./thread.ts";

declare const self: Worker;

serveThread<DataPlaneConfig, Findings, InterceptState>(self, (config, onReady, onIntercept) =>
  runLoop(config, config.wake, { onReady, onIntercept }),
);
