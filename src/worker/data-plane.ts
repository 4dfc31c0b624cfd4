/** The worker's entry: waits for its configuration, runs the loop, says how it ended. */
import type { DataPlaneConfig } from "./config.ts";
import { runLoop } from "./loop.ts";
import type { FromWorker } from "./start.ts";

declare const self: Worker;

const post = (message: FromWorker): void => self.postMessage(message);

self.onmessage = (event: MessageEvent<DataPlaneConfig & { wake: number }>): void => {
  try {
    runLoop(event.data, event.data.wake, {
      onReady: (findings) => post({ kind: "ready", findings }),
      onIntercept: (state) => post({ kind: "intercept", state }),
    });
    post({ kind: "ended" });
  } catch (error) {
    post({
      kind: "failed",
      message: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
  }
};
