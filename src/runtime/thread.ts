/** The main thread's side of a worker that runs a blocking loop: how it is told to end, and what it says. */
import { address, EFD_CLOEXEC, EFD_NONBLOCK, libc } from "../native/libc.ts";

/** What a worker says. `R`: once, when its loop runs; `E`: at any time. */
export type FromThread<R, E = never> =
  | { kind: "ready"; value: R }
  | { kind: "event"; value: E }
  | { kind: "ended" }
  | { kind: "failed"; message: string };

export interface Thread<R> {
  /** Resolves when the loop runs; rejects if it could not start. */
  ready: Promise<R>;
  /** Resolves when the loop has ended, rejects with the error if the worker died. */
  ended: Promise<void>;
  /** Writes a command where the worker looks for it, and wakes it. */
  ask(command: number): void;
}

/** Hands `config`, with `wake`, an eventfd, to a worker that was just made; `command[0]` is what `ask` writes. */
export function startThread<R, E>(
  worker: Worker,
  config: object,
  command: Int32Array,
  onEvent: (event: E) => void = () => {},
): Thread<R> {
  const wake = libc.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  const ready = Promise.withResolvers<R>();
  const ended = Promise.withResolvers<void>();
  // Whoever waits for one of the two only must not die of the other.
  ready.promise.catch(() => {});
  ended.promise.catch(() => {});
  const fail = (message: string): void => {
    const error = new Error(message);
    ready.reject(error);
    ended.reject(error);
    worker.terminate();
  };
  // A thread that is gone without a word; after one that has ended this changes nothing.
  worker.addEventListener("close", () => fail("its thread ended"));
  worker.onerror = (event) => fail(event.message);
  worker.onmessage = (event: MessageEvent<FromThread<R, E>>) => {
    const message = event.data;
    if (message.kind === "ready") ready.resolve(message.value);
    else if (message.kind === "event") onEvent(message.value);
    else if (message.kind === "failed") fail(message.message);
    else {
      ended.resolve();
      worker.terminate();
    }
  };
  worker.postMessage({ ...config, wake });
  return {
    ready: ready.promise,
    ended: ended.promise,
    ask(what) {
      Atomics.store(command, 0, what);
      libc.write(wake, address(new BigUint64Array([1n])), 8);
    },
  };
}

/** In the worker: runs `loop` with what it is handed, and says how it ended. */
export function serveThread<C, R, E>(
  scope: Worker,
  loop: (config: C & { wake: number }, onReady: (value: R) => void, onEvent: (event: E) => void) => void,
): void {
  const post = (message: FromThread<R, E>): void => scope.postMessage(message);
  scope.onmessage = (event: MessageEvent<C & { wake: number }>): void => {
    try {
      loop(
        event.data,
        (value) => post({ kind: "ready", value }),
        (value) => post({ kind: "event", value }),
      );
      post({ kind: "ended" });
    } catch (error) {
      post({
        kind: "failed",
        message: error instanceof Error ? (error.stack ?? error.message) : String(error),
      });
    }
  };
}
