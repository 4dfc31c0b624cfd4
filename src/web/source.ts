/** What the pages and /metrics are made of: the main thread of a run gives it. */
import type { Report } from "../compare/report.ts";
import type { PairProtocol } from "../pairs/pair.ts";

/** Upper bounds of the buckets of all histograms of /metrics, us. */
export const BUCKETS: readonly number[] = [
  100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
  5_000_000, 10_000_000,
];

/** A histogram of times. */
export interface TimeCounts {
  /** How many values were at most BUCKETS[index]. */
  atMost: readonly number[];
  count: number;
  /** us, of all values. */
  sum: number;
}

/** The times of the answers of one endpoint, to their last bytes, of both sides. */
export interface EndpointTimes {
  service: string;
  protocol: PairProtocol;
  method: string;
  name: string;
  production: TimeCounts;
  target: TimeCounts;
}

/** What /metrics has beyond report and account. */
export interface MetricsFacts {
  /** From when a request was due to its replay being handed to the kernel; null: nothing counts it. */
  lag: TimeCounts | null;
  endpoints: readonly EndpointTimes[];
}

/** What became of a change that was asked for. */
export interface Reloaded {
  /** 0: it is done; 2: refused, nothing is changed; 3: the same, as a target does not answer; 1: a bug. */
  exitCode: number;
  /** What changed; or why nothing did, and how to mend it. */
  lines: string[];
}

/** Each function of it is called at most once a second, however many clients ask, and only while one does. */
export interface WebSource {
  report(): Report;
  account(): object;
  metrics(): MetricsFacts;
  /** For those who may open the Unix socket; absent: a run has no configuration that it could read again. */
  reloads?: {
    /** The copy's own in its configuration file; null: it has none. */
    name: string | null;
    /** The process that runs it beside others of its file; null: none. */
    parent?: number | null;
    /** Reads the configuration again. */
    reload(): Promise<Reloaded>;
  };
}
