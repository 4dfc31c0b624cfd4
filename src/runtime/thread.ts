/** Starts a worker thread that runs a blocking loop, and serves it: the commands to it, and its messages. */
import { address, EFD_CLOEXEC, EFD_NONBLOCK, libc } from "../native/libc.ts";

/** Messages of a worker. `R`: value of "ready", sent once when its loop runs; `E`: value of "event", sent at any time. */
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
  /** Sends a command to the worker (see shared.ts), and wakes it. */
  ask(command: number): void;
  /** Wakes the worker. */
  rouse(): void;
}

/** A worker thread that has no configuration yet, and loads its modules. */
export interface CreatedThread {
  worker: Worker;
  /** Resolves with the cause when it has died, or ended without a message. */
  death: Promise<string>;
}

/** Creates a worker thread; `entry` is the URL of its entry file (see entries.ts). */
export function createThread(entry: string): CreatedThread {
  const worker = new Worker(entry);
  const death = Promise.withResolvers<string>();
  worker.addEventListener("close", () => death.resolve("its thread ended"));
  worker.onerror = (event) => death.resolve(event.message);
  return { worker, death: death.promise };
}

/** Sends `config` and an eventfd `wake` to a thread that was created before. `ask` writes its command into `command[0]`. */
export function startThread<R, E>(
  { worker, death }: CreatedThread,
  config: object,
  command: Int32Array,
  onEvent: (event: E) => void = () => {},
): Thread<R> {
  const wake = libc.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  const ready = Promise.withResolvers<R>();
  const ended = Promise.withResolvers<void>();
  // A caller may wait for only one of the two: the other must not be an unhandled rejection.
  ready.promise.catch(() => {});
  ended.promise.catch(() => {});
  const fail = (message: string): void => {
    const error = new Error(message);
    ready.reject(error);
    ended.reject(error);
    worker.terminate();
  };
  // After "ended" this has no effect.
  death.then(fail);
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
  const one = new BigUint64Array(new ArrayBuffer(8)).fill(1n);
  const rouse = (): void => {
    libc.write(wake, address(one), 8);
  };
  worker.postMessage({ ...config, wake });
  return {
    ready: ready.promise,
    ended: ended.promise,
    ask(what) {
      Atomics.store(command, 0, what);
      rouse();
    },
    rouse,
  };
}

/** To call in the worker: runs `loop` with the config that it receives, and reports how it ended. */
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
