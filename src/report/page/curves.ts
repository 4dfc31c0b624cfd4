/** The charts of a report: percentile curves, and what went on over time. */
import { html } from "htm/preact";
import { useMemo } from "preact/hooks";
import uPlot from "uplot";
import type { Distribution, Moment, Report } from "../../compare/report.ts";
import { duration, number } from "../../runtime/figures.ts";
import { Chart, type Line, roundNumbers, wide } from "./chart.ts";
import { change } from "./format.ts";

const BOTH: readonly Line[] = [
  { label: "production", colour: "production", isDashed: true, width: 2 },
  { label: "target", colour: "target", width: 2 },
];

/** The place of a percentile on a logarithmic axis: 90 is at 10, 99 at 100, 99.9 at 1000; the last at twice their count. */
function placeOf(percentile: number, count: number): number {
  return 1 / Math.max(1 - percentile / 100, 0.5 / Math.max(count, 1));
}

function percentileAt(place: number): string {
  const percentile = 100 - 100 / place;
  const digits = Math.max(0, Math.ceil(Math.log10(place) - 2 - 1e-9));
  return `p${Number(percentile.toFixed(Math.min(digits, 6)))}`;
}

/** us; a logarithm has no 0. */
const LEAST = 1;

function curveOf({ curve, count }: Distribution): uPlot.AlignedData {
  return [
    curve.map(([percentile]) => placeOf(percentile, count)),
    curve.map(([, us]) => Math.max(us, LEAST)),
  ];
}

/** p50, p99, maximum of both in words. */
function inWords(production: Distribution, target: Distribution): string {
  const of = ({ p50, p99, max }: Distribution) =>
    `p50 ${duration(p50)}, p99 ${duration(p99)}, at most ${duration(max)}`;
  return `production ${of(production)}; target ${of(target)}`;
}

interface Sides {
  production: Distribution;
  target: Distribution;
}

/** Both percentile curves, the x axis logarithmic in what is beyond, the y axis in time. */
export function Percentiles({ of, title }: { of: Sides; title: string }) {
  const { production, target } = of;
  const data = useMemo(() => {
    const both = [production, target].filter(({ curve }) => curve.length > 0);
    if (both.length === 0) return [[], [], []] as uPlot.AlignedData;
    return uPlot.join([curveOf(production), curveOf(target)]);
  }, [production, target]);
  const scales = useMemo(
    () => ({
      x: {
        time: false,
        distr: 3 as const,
        range: (_: uPlot, __: number, high: number): [number, number] => wide(1, high, 1),
      },
      y: {
        distr: 3 as const,
        range: (_: uPlot, low: number, high: number): [number, number] => [
          Math.max((low ?? 1) / 1.3, 0.5),
          Math.max((high ?? 1) * 1.3, 2),
        ],
      },
    }),
    [],
  );
  return html`<${Chart}
    title=${title}
    description=${inWords(production, target)}
    lines=${BOTH}
    data=${data}
    formatX=${percentileAt}
    formatY=${duration}
    scales=${scales}
    splitsX=${percentileMarks}
    splitsY=${roundNumbers}
    height=${200}
  />`;
}

function percentileMarks(low: number, high: number): number[] {
  return [2, 10, 100, 1000, 10_000, 100_000, 1_000_000].filter((place) => place >= low && place <= high);
}

const ROWS: [key: "p50" | "p90" | "p99" | "p999" | "max" | "mean", name: string][] = [
  ["p50", "p50"],
  ["p90", "p90"],
  ["p99", "p99"],
  ["p999", "p99.9"],
  ["max", "maximum"],
  ["mean", "mean"],
];

/** The same as a table, for reading exact values. */
export function LatencyTable({ of: { production, target }, caption }: { of: Sides; caption: string }) {
  return html`<table class="figures">
    <caption>${caption}</caption>
    <thead><tr><td></td><th scope="col">production</th><th scope="col">target</th><th scope="col">change</th></tr></thead>
    <tbody>
      ${ROWS.map(
        ([key, name]) => html`<tr key=${key}>
          <th scope="row">${name}</th>
          <td>${production.count > 0 ? duration(production[key]) : "\u2013"}</td>
          <td>${target.count > 0 ? duration(target[key]) : "\u2013"}</td>
          <td>${change(production[key], target[key])}</td>
        </tr>`,
      )}
    </tbody>
  </table>`;
}

const RATE: readonly Line[] = [
  { label: "sent", colour: "neutral", isDashed: true },
  { label: "compared", colour: "production", width: 2 },
  { label: "errors", colour: "bad", width: 2 },
];
const LAG: readonly Line[] = [
  { label: "p50", colour: "neutral" },
  { label: "p99", colour: "target", width: 2 },
];
const P99: readonly Line[] = [
  { label: "production", colour: "production", isDashed: true, width: 2 },
  { label: "target", colour: "target", width: 2 },
];

const pad = (value: number) => String(value).padStart(2, "0");

/** `90 s` as `1:30`. */
export function elapsed(seconds: number): string {
  const [h, min, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, Math.floor(seconds) % 60];
  return h > 0 ? `${h}:${pad(min)}:${pad(s)}` : `${min}:${pad(s)}`;
}

/** Marks at round times, at most 7. */
function timeMarks(low: number, high: number): number[] {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200];
  const step = steps.find((step) => (high - low) / step <= 7) ?? 86_400 * Math.ceil((high - low) / 604_800);
  const marks: number[] = [];
  for (let at = Math.ceil(low / step) * step; at <= high; at += step) marks.push(at);
  return marks;
}

const SCALES = {
  x: {
    time: false,
    range: (_: uPlot, low: number, high: number): [number, number] => wide(low, high, 1),
  },
  y: {
    range: (_: uPlot, __: number, high: number): [number, number] => [0, Math.max((high ?? 0) * 1.1, 1)],
  },
};

interface OverTimeProps {
  timeline: readonly Moment[];
  title: string;
  lines: readonly Line[];
  values: (moment: Moment) => (number | null)[];
  formatY: (y: number) => string;
}

function OverTime({ timeline, title, lines, values, formatY }: OverTimeProps) {
  const data = useMemo(() => {
    const rows = timeline.map(values);
    return [
      timeline.map(({ at }) => at),
      ...lines.map((_, index) => rows.map((row) => row[index]!)),
    ] as uPlot.AlignedData;
  }, [timeline]);
  const description = lines
    .map(({ label }, index) => {
      const series = [...(data[index + 1] ?? [])].filter((value) => typeof value === "number");
      const of = (pick: (one: number, other: number) => number) =>
        formatY(series.reduce(pick, series[0] ?? 0));
      return `${label} from ${of((one, other) => Math.min(one, other))} to ${of((one, other) => Math.max(one, other))}`;
    })
    .join("; ");
  return html`<${Chart}
    title=${title}
    description=${description}
    lines=${lines}
    data=${data}
    formatX=${elapsed}
    formatY=${formatY}
    hasGaps
    scales=${SCALES}
    splitsX=${timeMarks}
    height=${170}
  />`;
}

/** Where nothing was answered there is no time. */
const timeOf = ({ p99 }: Moment["target"]) => (p99 > 0 ? p99 : null);
const perSecond = (value: number) => number(Math.round(value * 10) / 10);

/** Rate, lag and latency over time. */
export function Timelines({ report: { timeline } }: { report: Report }) {
  return html`
    <${OverTime} timeline=${timeline} title="Requests a second" lines=${RATE} formatY=${perSecond}
      values=${(moment: Moment) => [moment.sent, moment.compared, moment.errors]} />
    <${OverTime} timeline=${timeline} title="Lag of what is sent" lines=${LAG} formatY=${duration}
      values=${(moment: Moment) => (moment.sent > 0 ? [moment.lag.p50, moment.lag.p99] : [null, null])} />
    <${OverTime} timeline=${timeline} title="p99 of the time to the last byte"
      lines=${P99} formatY=${duration}
      values=${(moment: Moment) => [timeOf(moment.production), timeOf(moment.target)]} />
  `;
}
