/** The main thread's side of the reader of traces. */
import { Failure } from "../../native/failure.ts";
import { TRACE_COUNTERS, type TraceCounter } from "./counters.ts";
import { createTraceMemory, PRODUCER_WAITS, STOP, viewTraceMemory } from "./memory.ts";
import type { FromTraceWorker, TraceFailure, TraceOptions, TraceSummary } from "./options.ts";

export interface TraceReader {
  /** For the data plane: `new TraceRing(memory)`. */
  memory: SharedArrayBuffer;
  /** Resolves when every path was found to be a trace, and reading begins; rejects with a Failure if one is none. */
  ready: Promise<TraceSummary>;
  /**
   * Resolves when all is read, or after `stop`, with a Failure for each file that could not be read to its end. Rejects
   * as `ready` does, and when the worker died. The ring is marked as ended in every case but the last.
   */
  ended: Promise<Failure[]>;
  /** As of now: only at the end do they add up. */
  counters(): Record<TraceCounter, number>;
  /** Reads no more. */
  stop(): void;
}

/**
 * Starts the worker. `warn` gets what the user should know, a line each. `entry` is the URL of
 * thread.ts, which lies elsewhere in the one executable.
 */
export function startTraceReader(
  options: TraceOptions,
  warn: (text: string) => void,
  entry = new URL("./thread.ts", import.meta.url).href,
): TraceReader {
  const memory = createTraceMemory(options.ringBytes);
  const { words, counters } = viewTraceMemory(memory);
  const ready = Promise.withResolvers<TraceSummary>();
  const ended = Promise.withResolvers<Failure[]>();
  // Whoever waits for one of the two only must not die of the other.
  ready.promise.catch(() => {});
  ended.promise.catch(() => {});
  const broken: Failure[] = [];

  const worker = new Worker(entry);
  const fail = (error: Error): void => {
    ready.reject(error);
    ended.reject(error);
    worker.terminate();
  };
  const finish = (): void => {
    ready.reject(new Error("the reader was stopped"));
    ended.resolve(broken);
    worker.terminate();
  };
  worker.onerror = (event) => fail(new Error(event.message));
  worker.onmessage = (event: MessageEvent<FromTraceWorker>) => {
    const message = event.data;
    switch (message.kind) {
      case "warning":
        return warn(message.text);
      case "ready":
        return ready.resolve(message.summary);
      case "broken":
        broken.push(failureOf(message.failure));
        return;
      case "refused":
        return fail(failureOf(message.failure));
      case "failed":
        return fail(new Error(message.message));
      case "ended":
        return finish();
    }
  };
  worker.postMessage({ options, memory });

  return {
    memory,
    ready: ready.promise,
    ended: ended.promise,
    counters: () =>
      Object.fromEntries(TRACE_COUNTERS.map((name, index) => [name, counters[index]!])) as Record<
        TraceCounter,
        number
      >,
    stop() {
      Atomics.store(words, STOP, 1);
      Atomics.notify(words, PRODUCER_WAITS);
      worker.postMessage("stop");
    },
  };
}

function failureOf({ message, fix, exitCode }: TraceFailure): Failure {
  return new Failure(message, fix, exitCode);
}
