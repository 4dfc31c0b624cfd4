/** The worker's entry for `xcopy intercept`: waits for its configuration, runs the loop, says how it ended. */
import type { InterceptPlaneConfig } from "./intercept-config.ts";
import { runInterceptLoop } from "./intercept-loop.ts";
import type { InterceptEvent } from "./intercept-start.ts";
import { serveThread } from "./thread.ts";

declare const self: Worker;

serveThread<InterceptPlaneConfig, void, InterceptEvent>(self, (config, onReady, onEvent) =>
  runInterceptLoop(config, config.wake, onReady, onEvent),
);
