/** The main thread's side of the data plane. */
import type { DataPlaneConfig } from "./config.ts";
import { DRAIN, STOP, viewShared } from "./shared.ts";
import { startThread } from "./thread.ts";

/** What trying one path at start found. */
export interface ProbeResult {
  path: number;
  result: "answered" | "refused" | "silent";
}

export interface DataPlane {
  /** Resolves when the loop runs and every path was tried (at most 3 s); rejects if it could not start. */
  ready: Promise<ProbeResult[]>;
  /** Resolves when the loop has ended, rejects with the error if the worker died. */
  ended: Promise<void>;
  /** Takes no new turns, finishes what is in flight for at most `ms`, then ends. */
  drain(ms: number): void;
  /** Ends at once. */
  stop(): void;
}

/** Starts the worker. The caller has loaded the kernel side and attached the response program. */
export function startDataPlane(config: DataPlaneConfig): DataPlane {
  const { command } = viewShared(config.shared);
  const worker = new Worker(new URL("./data-plane.ts", import.meta.url).href);
  const { ready, ended, ask } = startThread<ProbeResult[], never>(worker, config, command);
  return {
    ready,
    ended,
    drain(ms) {
      Atomics.store(command, 1, ms);
      ask(DRAIN);
    },
    stop: () => ask(STOP),
  };
}
