/** A run as the web server sees it, which counts how often it is looked at. */
import type { Report } from "../../src/compare/report.ts";
import { BUCKETS, type MetricsFacts, type TimeCounts, type WebSource } from "../../src/web/source.ts";
import { madeReport } from "../report/made.ts";

/** Times of so many requests, the same share in each bucket. */
export function times(count: number): TimeCounts {
  return {
    atMost: BUCKETS.map((_, index) => Math.floor((count * (index + 1)) / (BUCKETS.length + 1))),
    count,
    sum: count * 12_345,
  };
}

export const ACCOUNT = {
  seconds: 12.3,
  capture: { packets: 100, bytes: 20_000, lost: 1 },
  turns: { captured: 90, sent: 88, answered: 80, dropped: 2, pending: 8 },
  sessions: { opened: 10, midstream: 1, active: 5, failed: 1, shed: 0 },
  dropped: { refused: 2, memory: 0 },
  sent: { packets: 95, bytes: 19_000, retransmitted: 3, errors: 0 },
  responses: { packets: 120, bytes: 90_000, lost: 0 },
  behind: 0.004,
  waiting: 2,
  memory_bytes: 123_456,
  cpu: { user: 1.5, system: 2.5 },
  rss_mb: 61.2,
};

export function factsOf({ endpoints }: Report): MetricsFacts {
  return {
    lag: times(88),
    endpoints: endpoints.map(({ service, protocol, method, name, count }) => ({
      service,
      protocol,
      method,
      name,
      production: times(count),
      target: times(count),
    })),
  };
}

export function madeSource(report: Report = { ...madeReport(5, 10), isRunning: true }) {
  const looks = { report: 0, account: 0, metrics: 0 };
  const source: WebSource = {
    report: () => {
      looks.report++;
      return report;
    },
    account: () => {
      looks.account++;
      return ACCOUNT;
    },
    metrics: () => {
      looks.metrics++;
      return factsOf(report);
    },
  };
  return { source, looks, report };
}
