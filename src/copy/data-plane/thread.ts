/** The entry of a worker thread of `xcopy copy`: waits for its configuration, runs the loop, reports how it ended. */
import { serveThread } from "../../runtime/thread.ts";
import type { DataPlaneConfig } from "./config.ts";
import { type PlaneEvent, runLoop } from "./loop.ts";
import type { Findings } from "./preflight.ts";

declare const self: Worker;

serveThread<DataPlaneConfig, Findings, PlaneEvent>(self, (config, onReady, onEvent) =>
  runLoop(config, config.wake, {
    onReady,
    onIntercept: onEvent,
    onWays: onEvent,
    onNews: onEvent,
    onEndUnseen: onEvent,
    onNote: onEvent,
  }),
);
