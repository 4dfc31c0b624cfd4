/** The thread that reads traces: receives its options, reads, and reports how it ended. */
import { Failure } from "../../native/failure.ts";
import type { FromTraceWorker, TimeStep, TraceFailure, TraceOptions, TraceSummary } from "./options.ts";
import { readTraces } from "./reader.ts";
import type { Sightings } from "./unmatched/unmatched.ts";

declare const self: Worker;

const post = (message: FromTraceWorker): void => self.postMessage(message);

const plain = ({ message, fix, exitCode }: Failure): TraceFailure => ({ message, fix, exitCode });

const stopped = Promise.withResolvers<void>();

self.onmessage = (
  event: MessageEvent<{ options: TraceOptions; memory: SharedArrayBuffer } | "stop">,
): void => {
  if (event.data === "stop") {
    stopped.resolve();
    return;
  }
  const { options, memory } = event.data;
  const events = {
    onWarning: (text: string) => post({ kind: "warning", text }),
    onStep: (step: TimeStep) => post({ kind: "step", step }),
    onReady: (summary: TraceSummary) => post({ kind: "ready", summary }),
    onUnmatched: (found: Sightings) => post({ kind: "unmatched", found }),
    onBroken: (failure: Failure) => post({ kind: "broken", failure: plain(failure) }),
  };
  readTraces(options, memory, events, stopped.promise).then(
    () => post({ kind: "ended" }),
    (error) => {
      if (error instanceof Failure) post({ kind: "refused", failure: plain(error) });
      else
        post({
          kind: "failed",
          message: error instanceof Error ? (error.stack ?? error.message) : `${error}`,
        });
    },
  );
};
