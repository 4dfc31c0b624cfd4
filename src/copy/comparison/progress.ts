/** How far a run has come, from the counters of its workers: for the timeline of a report, and for /metrics. */
import type { Progress } from "../../compare/settings.ts";
import { DATAGRAM } from "../../datagram/counters.ts";
import { atMost, merged, percentile } from "../../runtime/histogram.ts";
import { takeCounters } from "../../runtime/shared.ts";
import { BUCKETS, type TimeCounts } from "../../web/source.ts";
import { histogramOf, type WorkerView } from "../account/totals.ts";
import type { DatagramShared } from "../data-plane/datagram-shared.ts";
import { INDEX } from "../data-plane/shared.ts";

/** The workers of a run, and their parts for UDP. */
export interface Workers {
  views: readonly WorkerView[];
  datagrams: readonly DatagramShared[];
}

/** From when requests were due to their being sent, of all of them. */
function lagOf({ views, datagrams }: Workers): Uint32Array {
  return merged([histogramOf(views, "lag"), ...datagrams.map(({ lag }) => lag)]);
}

function sentOf({ views, datagrams }: Workers): number {
  const sum = (counts: number[]) => counts.reduce((total, count) => total + count, 0);
  return (
    sum(views.map(({ shared }) => takeCounters(shared)[INDEX.turnsSent]!)) +
    sum(datagrams.map((shared) => takeCounters(shared)[DATAGRAM.sent]!))
  );
}

/** A function that tells the progress up to now; `at`: s since the run began. */
export function followProgress(workers: Workers): (at: number) => Progress {
  let before: Uint32Array | null = null;
  return (at) => {
    const all = lagOf(workers);
    const since = before ? all.map((count, bucket) => count - before![bucket]!) : all;
    before = all;
    const lag = { p50: percentile(since, 0.5), p99: percentile(since, 0.99) };
    return { at, sent: sentOf(workers), lag };
  };
}

/** The lag of all requests so far, in the buckets of /metrics. */
export function lagCounts(workers: Workers): TimeCounts {
  return atMost(lagOf(workers), BUCKETS);
}
