/** The entry of a worker thread of `xcopy copy`: waits for its configuration, runs the loop, reports how it ended. */
import { serveThread } from "../../runtime/thread.ts";
import type { WaysTaken } from "../ways/take.ts";
import type { DataPlaneConfig } from "./config.ts";
import type { InterceptState } from "./intercepts.ts";
import { runLoop } from "./loop.ts";
import type { Findings } from "./preflight.ts";

declare const self: Worker;

serveThread<DataPlaneConfig, Findings, InterceptState | WaysTaken | string>(
  self,
  (config, onReady, onEvent) =>
    runLoop(config, config.wake, { onReady, onIntercept: onEvent, onWays: onEvent, onNote: onEvent }),
);
