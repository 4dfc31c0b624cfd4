/** The main thread's side of the data plane. */
import type { DataPlaneConfig } from "./config.ts";

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

export function startDataPlane(_config: DataPlaneConfig): DataPlane {
  throw new Error("Cannot start the data plane: not built yet");
}
