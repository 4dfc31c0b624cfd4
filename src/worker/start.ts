/** The main thread's side of the data plane. */
import { address, EFD_CLOEXEC, EFD_NONBLOCK, libc } from "../native/libc.ts";
import type { DataPlaneConfig } from "./config.ts";
import type { InterceptState } from "./intercepts.ts";
import type { Findings } from "./preflight.ts";
import { DRAIN, STOP, viewShared } from "./shared.ts";

/** What the worker says. */
export type FromWorker =
  | { kind: "ready"; findings: Findings }
  | { kind: "intercept"; state: InterceptState }
  | { kind: "ended" }
  | { kind: "failed"; message: string };

export interface DataPlane {
  /** Resolves when the loop runs and every path was tried (within seconds); rejects if it could not start. */
  ready: Promise<Findings>;
  /** Resolves when the loop has ended, rejects with the error if the worker died. */
  ended: Promise<void>;
  /** Takes no new turns, finishes what is in flight for at most `ms`, then ends. */
  drain(ms: number): void;
  /** Ends at once. */
  stop(): void;
}

/**
 * Starts the worker. The caller has loaded the kernel side and attached the response program. `onIntercept` is told when
 * an intercept comes or goes.
 */
export function startDataPlane(
  config: DataPlaneConfig,
  onIntercept: (state: InterceptState) => void = () => {},
): DataPlane {
  const { command } = viewShared(config.shared);
  const wake = libc.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  const ready = Promise.withResolvers<Findings>();
  const ended = Promise.withResolvers<void>();
  // Whoever waits for one of the two only must not die of the other.
  ready.promise.catch(() => {});
  ended.promise.catch(() => {});

  const worker = new Worker(new URL("./data-plane.ts", import.meta.url).href);
  const fail = (message: string): void => {
    const error = new Error(message);
    ready.reject(error);
    ended.reject(error);
    worker.terminate();
  };
  worker.onerror = (event) => fail(event.message);
  worker.onmessage = (event: MessageEvent<FromWorker>) => {
    const message = event.data;
    if (message.kind === "ready") ready.resolve(message.findings);
    else if (message.kind === "intercept") onIntercept(message.state);
    else if (message.kind === "failed") fail(message.message);
    else {
      ended.resolve();
      worker.terminate();
    }
  };
  worker.postMessage({ ...config, wake });

  const ask = (what: number): void => {
    Atomics.store(command, 0, what);
    libc.write(wake, address(new BigUint64Array([1n])), 8);
  };
  return {
    ready: ready.promise,
    ended: ended.promise,
    drain(ms) {
      Atomics.store(command, 1, ms);
      ask(DRAIN);
    },
    stop: () => ask(STOP),
  };
}
