/** The entry of the worker thread of `xcopy intercept`: waits for its configuration, runs the loop, reports how it ended. */
import { serveThread } from "../../runtime/thread.ts";
import type { InterceptPlaneConfig } from "./config.ts";
import { runInterceptLoop } from "./loop.ts";
import type { InterceptEvent } from "./start.ts";

declare const self: Worker;

serveThread<InterceptPlaneConfig, void, InterceptEvent>(self, (config, onReady, onEvent) =>
  runInterceptLoop(config, config.wake, onReady, onEvent),
);
