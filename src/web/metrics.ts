/**
 * /metrics: the text format of Prometheus. Names and units by https://prometheus.io/docs/practices/naming: base units, `_total` for
 * what only grows. The Grafana dashboard in docs/grafana uses these names.
 */
import { type Metric as Registered, Registry } from "prom-client";
import type { Report } from "../compare/report.ts";
import { createPlaces, type Places } from "./places.ts";
import { BUCKETS, type MetricsFacts, type TimeCounts } from "./source.ts";

type Labels = Record<string, string | number>;

interface Sample {
  labels: Labels;
  value: number;
  metricName?: string;
}

interface Metric {
  name: string;
  help: string;
  type: "counter" | "gauge" | "histogram";
  values: Sample[];
}

/** What the account has, by its path: name, help, factor. */
const OF_ACCOUNT: [path: string, type: "counter" | "gauge", name: string, help: string, factor?: number][] = [
  ["seconds", "gauge", "xcopy_run_duration_seconds", "How long this copy has been running."],
  ["capture.packets", "counter", "xcopy_captured_packets_total", "Packets of requests that were captured."],
  ["capture.bytes", "counter", "xcopy_captured_bytes_total", "Bytes of the packets that were captured."],
  [
    "capture.lost",
    "counter",
    "xcopy_capture_lost_packets_total",
    "Packets of requests that the capture lost.",
  ],
  ["turns.captured", "counter", "xcopy_requests_captured_total", "Requests that were captured."],
  ["turns.sent", "counter", "xcopy_requests_sent_total", "Requests that were sent to a target."],
  ["turns.answered", "counter", "xcopy_requests_answered_total", "Requests that a target answered."],
  ["turns.pending", "gauge", "xcopy_requests_pending", "Requests that wait to be sent or answered."],
  [
    "sessions.opened",
    "counter",
    "xcopy_sessions_opened_total",
    "Connections that were captured from their start.",
  ],
  [
    "sessions.midstream",
    "counter",
    "xcopy_sessions_midstream_total",
    "Connections that were taken up in their middle.",
  ],
  ["sessions.active", "gauge", "xcopy_sessions_active", "Connections that are being copied."],
  [
    "sessions.failed",
    "counter",
    "xcopy_sessions_failed_total",
    "Connections that could not be copied to their end.",
  ],
  [
    "sessions.shed",
    "counter",
    "xcopy_sessions_shed_total",
    "Connections that were given up to keep within limits.",
  ],
  ["sent.packets", "counter", "xcopy_sent_packets_total", "Packets that were sent to targets."],
  ["sent.bytes", "counter", "xcopy_sent_bytes_total", "Bytes that were sent to targets."],
  [
    "sent.retransmitted",
    "counter",
    "xcopy_retransmitted_packets_total",
    "Packets that were sent to targets again.",
  ],
  ["sent.errors", "counter", "xcopy_send_errors_total", "Packets that the kernel refused to send."],
  ["responses.packets", "counter", "xcopy_response_packets_total", "Packets of responses of targets."],
  ["responses.bytes", "counter", "xcopy_response_bytes_total", "Bytes of responses of targets."],
  [
    "responses.lost",
    "counter",
    "xcopy_response_lost_packets_total",
    "Packets of responses that found no room.",
  ],
  ["behind", "gauge", "xcopy_behind_seconds", "By how much what is sent is late."],
  ["waiting", "gauge", "xcopy_requests_waiting", "Requests that are due and have not been sent."],
  ["memory_bytes", "gauge", "xcopy_buffered_bytes", "Memory of requests that wait to be sent."],
  ["rss_mb", "gauge", "xcopy_resident_memory_bytes", "Resident memory of xcopy.", 1e6],
];

/** The value at a path as `turns.sent`; undefined where there is no number. */
function numberAt(account: unknown, path: string): number | undefined {
  let value: unknown = account;
  for (const key of path.split(".")) {
    if (typeof value !== "object" || value === null) return;
    value = (value as Record<string, unknown>)[key];
  }
  return typeof value === "number" ? value : undefined;
}

function accountMetrics(account: object): Metric[] {
  const single = OF_ACCOUNT.map(([path, type, name, help, factor = 1]): Metric => {
    const value = numberAt(account, path);
    return { name, help, type, values: value === undefined ? [] : [{ labels: {}, value: value * factor }] };
  });
  const by = (name: string, help: string, label: string, path: string): Metric => {
    const group = (account as Record<string, unknown>)[path] ?? {};
    const values = Object.entries(group).filter(([, value]) => typeof value === "number");
    return {
      name,
      help,
      type: "counter",
      values: values.map(([key, value]) => ({ labels: { [label]: key }, value: value as number })),
    };
  };
  return [
    ...single,
    by(
      "xcopy_requests_dropped_total",
      "Requests that were captured and not delivered, by reason.",
      "reason",
      "dropped",
    ),
    by("xcopy_cpu_seconds_total", "CPU time of xcopy, by mode.", "mode", "cpu"),
  ];
}

/** Samples with the same labels become one. */
class Sums {
  private readonly sums = new Map<string, Sample>();

  add(labels: Labels, value: number): void {
    const key = JSON.stringify(labels);
    const known = this.sums.get(key);
    if (known) known.value += value;
    else this.sums.set(key, { labels, value });
  }

  samples(): Sample[] {
    return [...this.sums.values()];
  }
}

/** Statuses of an endpoint with a series of their own at most. */
const MOST_STATUSES = 16;

function comparisonMetrics(report: Report, places: Places): Metric[] {
  const [compared, errors, different, statuses] = [new Sums(), new Sums(), new Sums(), new Sums()];
  for (const endpoint of report.endpoints) {
    const labels = places.labelsOf(endpoint);
    compared.add(labels, endpoint.outcomes.compared ?? 0);
    errors.add(labels, endpoint.errors);
    different.add(labels, endpoint.different);
    for (const [index, { production, target, count }] of endpoint.statuses.entries()) {
      const isOther = index >= MOST_STATUSES || (production === null && target === null);
      const name = (status: number | null) => (isOther ? "other" : String(status ?? "none"));
      statuses.add({ ...labels, production: name(production), target: name(target) }, count);
    }
  }
  const outcomes = Object.entries(report.outcomes).map(([outcome, value]) => ({
    labels: { outcome },
    value,
  }));
  const counter = (name: string, help: string, values: Sample[]): Metric => ({
    name,
    help,
    type: "counter",
    values,
  });
  return [
    counter("xcopy_outcomes_total", "Requests by how their comparison ended.", outcomes),
    counter(
      "xcopy_compared_total",
      "Requests whose responses were compared, by endpoint.",
      compared.samples(),
    ),
    counter("xcopy_different_total", "Requests whose responses differ, noise left out.", different.samples()),
    counter(
      "xcopy_target_errors_total",
      "Requests in which the target failed and production did not.",
      errors.samples(),
    ),
    counter(
      "xcopy_statuses_total",
      "Requests by the status of production and of the target.",
      statuses.samples(),
    ),
  ];
}

const SECOND = 1e6;

/** The samples of one histogram. */
function bucketsOf(name: string, labels: Labels, { atMost, count, sum }: TimeCounts): Sample[] {
  const bucket = (le: number | string, value: number) => ({
    metricName: `${name}_bucket`,
    labels: { ...labels, le },
    value,
  });
  return [
    ...BUCKETS.map((bound, index) => bucket(bound / SECOND, atMost[index] ?? 0)),
    bucket("+Inf", count),
    { metricName: `${name}_sum`, labels, value: sum / SECOND },
    { metricName: `${name}_count`, labels, value: count },
  ];
}

function plus(one: TimeCounts | undefined, other: TimeCounts): TimeCounts {
  if (!one) return other;
  return {
    atMost: one.atMost.map((count, index) => count + (other.atMost[index] ?? 0)),
    count: one.count + other.count,
    sum: one.sum + other.sum,
  };
}

function timeMetrics({ lag, endpoints }: MetricsFacts, places: Places): Metric[] {
  const name = "xcopy_answer_duration_seconds";
  const sides = new Map<string, { labels: Labels; times: TimeCounts }>();
  for (const endpoint of endpoints) {
    for (const side of ["production", "target"] as const) {
      const labels = { ...places.labelsOf(endpoint), side };
      const key = JSON.stringify(labels);
      sides.set(key, { labels, times: plus(sides.get(key)?.times, endpoint[side]) });
    }
  }
  return [
    {
      name: "xcopy_request_lag_seconds",
      help: "From when a request was due to its replay being handed to the kernel.",
      type: "histogram",
      values: lag ? bucketsOf("xcopy_request_lag_seconds", {}, lag) : [],
    },
    {
      name,
      help: "From the first byte of a request to the last of its response, by side and endpoint.",
      type: "histogram",
      values: [...sides.values()].flatMap(({ labels, times }) => bucketsOf(name, labels, times)),
    },
  ];
}

/** Makes the text of /metrics; keeps which endpoints have series of their own from one to the next. */
export function createMetrics(): (report: Report, account: object, facts: MetricsFacts) => Promise<string> {
  const places = createPlaces();
  return async (report, account, facts) => {
    places.fill(report.endpoints);
    const metrics: Metric[] = [
      {
        name: "xcopy_build_info",
        help: "Version and mode of this xcopy; the value is always 1.",
        type: "gauge",
        values: [{ labels: { version: report.xcopy.version, mode: report.mode }, value: 1 }],
      },
      ...accountMetrics(account),
      ...comparisonMetrics(report, places),
      ...timeMetrics(facts, places),
    ];
    const registry = new Registry();
    for (const metric of metrics) {
      // The values are counted elsewhere: of prom-client this is its text format.
      const registered = { ...metric, get: () => metric };
      if (metric.values.length > 0) registry.registerMetric(registered as unknown as Registered);
    }
    return registry.metrics();
  };
}
