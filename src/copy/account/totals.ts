/** What all workers of a run have counted together. */

import { merged } from "../../runtime/histogram.ts";
import { takeCounters } from "../../runtime/shared.ts";
import { createCounters, type HistogramName, INDEX, type Shared } from "../data-plane/shared.ts";

/** A worker as the main thread sees it. */
export interface WorkerView {
  shared: Shared;
  /** It has died: what it had not finished is lost. */
  isDead: boolean;
}

/** Counters whose total is the largest value of a worker: maxima, and events that every worker counts. */
const LARGEST = [INDEX.lagMax, INDEX.ownMax, INDEX.behind, INDEX.interceptsLost, INDEX.nextRequest];

/** The counters of one worker. For a dead one, pending turns count as dropped and active sessions as failed. */
export function countersOf({ shared, isDead }: WorkerView): Float64Array {
  const counters = takeCounters(shared);
  if (!isDead) return counters;
  counters[INDEX["dropped.worker"]]! += counters[INDEX.turnsPending]!;
  counters[INDEX.turnsDropped]! += counters[INDEX.turnsPending]!;
  counters[INDEX.turnsPending] = 0;
  counters[INDEX.failed]! += counters[INDEX.active]!;
  counters[INDEX.active] = 0;
  counters[INDEX.waiting] = 0;
  counters[INDEX.waitingForConnection] = 0;
  counters[INDEX.behind] = 0;
  counters[INDEX.nextRequest] = 0;
  counters[INDEX.memory] = 0;
  return counters;
}

/** The counters of all, by `countersOf` of each. */
export function totalOf(all: readonly Float64Array[]): Float64Array {
  const total = createCounters();
  for (const counters of all) {
    for (let index = 0; index < total.length; index++) {
      total[index] = LARGEST.includes(index)
        ? Math.max(total[index]!, counters[index]!)
        : total[index]! + counters[index]!;
    }
  }
  return total;
}

/** A histogram of all workers together. */
export function histogramOf(workers: readonly WorkerView[], name: HistogramName): Uint32Array {
  return merged(workers.map(({ shared }) => shared.histograms[name]));
}
