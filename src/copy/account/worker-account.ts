/** The account of each worker, and how the requests were spread over them. */
import { type Counter, INDEX } from "../data-plane/shared.ts";

/** What one worker did. */
export interface WorkerAccount {
  turns: { captured: number; sent: number; answered: number; dropped: number; pending: number };
  active: number;
  died: boolean;
}

/** `counters`: those of the worker alone. */
export function workerAccount(counters: Float64Array, died: boolean): WorkerAccount {
  const count = (name: Counter) => counters[INDEX[name]]!;
  return { turns: turnsOf(count), active: count("active"), died };
}

export function turnsOf(count: (name: Counter) => number): WorkerAccount["turns"] {
  return {
    captured: count("turnsCaptured"),
    sent: count("turnsSent"),
    answered: count("turnsAnswered"),
    dropped: count("turnsDropped"),
    pending: count("turnsPending"),
  };
}

/** `2, with 49 % and 51 % of the requests; worker 2 died`. */
export function renderWorkers(workers: WorkerAccount[], captured: number): string {
  const shares = workers.map(({ turns }) =>
    captured > 0 ? `${Math.round((100 * turns.captured) / captured)} %` : "0 %",
  );
  const died = workers.flatMap((worker, index) => (worker.died ? [`; worker ${index + 1} died`] : []));
  return `${workers.length}, with ${shares.join(", ")} of the requests${died.join("")}`;
}
