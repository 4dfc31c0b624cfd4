/** Starts the thread that reads traces; the main thread's side of it. */
import { Failure } from "../../native/failure.ts";
import { TRACE_COUNTERS, type TraceCounter } from "./counters.ts";
import { createTraceMemory, PRODUCER_WAITS, STOP, viewTraceMemory } from "./memory.ts";
import type { FromTraceWorker, TimeStep, TraceFailure, TraceOptions, TraceSummary } from "./options.ts";
import type { Sightings } from "./unmatched/unmatched.ts";

export interface TraceReader {
  /** For the data plane: `new TraceRing(memory)`. */
  memory: SharedArrayBuffer;
  /** Resolves when all paths are found to be traces, and reading begins; rejects with a Failure otherwise. */
  ready: Promise<TraceSummary>;
  /**
   * Resolves when all is read, or after `stop`, with a Failure for each file that could not be read to its end. Rejects
   * as `ready` does, and when the thread died. In all cases but the last the ring is marked as ended.
   */
  ended: Promise<Failure[]>;
  /** Once `ended` has resolved: what there was in place of requests; null where there was any packet to a service. */
  unmatched(): Sightings | null;
  /** The counters as they are now; only at the end do they add up. */
  counters(): Record<TraceCounter, number>;
  /** Stops reading; `ended` tells when it has stopped. */
  stop(): void;
}

/**
 * Starts the thread. `warn` is called with each line that the user should know, `onStep` with each step of a clock. `entry` is
 * the URL of thread.ts, which is another one in the executable.
 */
export function startTraceReader(
  options: TraceOptions,
  warn: (text: string) => void,
  onStep: (step: TimeStep) => void = () => {},
  entry = new URL("./thread.ts", import.meta.url).href,
): TraceReader {
  const memory = createTraceMemory(options.ringBytes);
  const { words, counters } = viewTraceMemory(memory);
  const ready = Promise.withResolvers<TraceSummary>();
  const ended = Promise.withResolvers<Failure[]>();
  // A caller may wait for only one of the two: the other must not be an unhandled rejection.
  ready.promise.catch(() => {});
  ended.promise.catch(() => {});
  const broken: Failure[] = [];
  let unmatched: Sightings | null = null;

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
      case "step":
        return onStep(message.step);
      case "ready":
        return ready.resolve(message.summary);
      case "broken":
        broken.push(failureOf(message.failure));
        return;
      case "unmatched":
        unmatched = message.found;
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
    unmatched: () => unmatched,
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
