/** The main thread's side of the data plane of `xcopy intercept`: starts its worker thread and tells it to stop. */

import { entryOf } from "../../runtime/entries.ts";
import { STOP } from "../../runtime/shared.ts";
import { createThread, startThread } from "../../runtime/thread.ts";
import type { InterceptPlaneConfig } from "./config.ts";
import { viewInterceptShared } from "./shared.ts";

/** What happened, for the log. */
export type InterceptEvent =
  | { kind: "joined"; slot: number; name: string; text: string }
  | { kind: "left"; slot: number; name: string; text: string }
  | { kind: "warning"; text: string };

export interface InterceptPlane {
  /** Resolves when the loop runs; rejects if it could not start. */
  ready: Promise<void>;
  /** Resolves when the loop has ended, rejects with the error if the worker died. */
  ended: Promise<void>;
  /** Ends the channels of the copies and then the loop, within 200 ms. */
  stop(): void;
}

/** Starts the worker. The caller has loaded and attached the programs, or made the rule. */
export function startInterceptPlane(
  config: InterceptPlaneConfig,
  onEvent: (event: InterceptEvent) => void,
): InterceptPlane {
  const { command } = viewInterceptShared(config.shared);
  const thread = createThread(entryOf("intercept/data-plane/thread.ts"));
  const { ready, ended, ask } = startThread<void, InterceptEvent>(thread, config, command, onEvent);
  return { ready, ended, stop: () => ask(STOP) };
}
