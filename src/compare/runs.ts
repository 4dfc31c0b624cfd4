/** Two runs side by side. */
import type { Difference, Report } from "./report.ts";

/** A share of requests in each run, 0 to 1; null: the endpoint has none there. */
export interface BothRuns {
  old: number | null;
  new: number | null;
}

export interface EndpointOfRuns {
  service: string;
  method: string;
  name: string;
  count: BothRuns;
  /** Errors as a share of requests. */
  errors: BothRuns;
  /** Requests with a difference that is not noise, as a share of requests. */
  different: BothRuns;
  /** The target's p50 and p99 relative to its production in the same run: 1.4 is 40 % slower. So another load or host does not fool it. */
  p50: BothRuns;
  p99: BothRuns;
  /** Differences, not noise, that only one of the runs has. */
  appeared: Difference[];
  gone: Difference[];
  /** How much worse the new run is, for sorting; less than 0: better. */
  worse: number;
}

export interface RunComparison {
  old: { began: number; seconds: number; verdict: string; count: number };
  new: { began: number; seconds: number; verdict: string; count: number };
  verdict: { text: string; isWorse: boolean };
  /** Sorted by `worse`. */
  endpoints: EndpointOfRuns[];
}

export function compareReports(before: Report, after: Report): RunComparison {
  const run = ({ began, seconds, verdict, count }: Report) => ({
    began,
    seconds,
    verdict: verdict.text,
    count,
  });
  return {
    old: run(before),
    new: run(after),
    verdict: { text: "nothing was compared", isWorse: false },
    endpoints: [],
  };
}
