/** What `xcopy top` shows, as lines: of all copies a row each, of one its endpoints. No input, no terminal. */
import type { Endpoint, Report } from "../compare/report.ts";
import type { Account } from "../copy/account/account.ts";
import { duration, number, percent, span } from "../runtime/figures.ts";
import { printable } from "../runtime/printable.ts";
import type { CopySeen, KnownAccount } from "./copies.ts";
import { cut, fill, type Paint } from "./text.ts";

/** A place to draw in. */
export interface Canvas {
  columns: number;
  /** Infinity: as many as there are. */
  rows: number;
  paint: Paint;
}

/** What endpoints are sorted by. */
export const ORDERS = ["worse", "requests", "errors", "different", "p99"] as const;
export type Order = (typeof ORDERS)[number];

const KEYS: Record<Order, (endpoint: Endpoint) => number> = {
  worse: ({ worse }) => worse,
  requests: ({ count }) => count,
  errors: ({ errors }) => errors,
  different: ({ different }) => different,
  p99: ({ latency }) => latency.target.p99,
};

/** A column: its heading, width, and what stands in it. */
type Column<T> = [heading: string, width: number, cell: (of: T) => string];

/** Text of the whole first column, then columns of figures, right-aligned, as many as there is room for. */
function table<T>(
  rows: readonly T[],
  first: { heading: string; cell: (of: T) => string; least: number },
  columns: readonly Column<T>[],
  canvas: Canvas,
  styleOf: (of: T, index: number) => "red" | "reverse" | null,
): string[] {
  let room = canvas.columns - first.least;
  const shown = columns.filter(([, width]) => {
    room -= width + 2;
    return room >= 0;
  });
  const width = canvas.columns - shown.reduce((sum, [, of]) => sum + of + 2, 0);
  const line = (head: string, cells: string[]) =>
    fill(head, width, "left") + cells.map((cell, at) => `  ${fill(cell, shown[at]![1], "right")}`).join("");
  const heading = line(
    first.heading,
    shown.map(([name]) => name),
  );
  return [
    canvas.paint(heading, "bold"),
    ...rows.map((row, index) => {
      const text = line(
        first.cell(row),
        shown.map(([, , cell]) => cell(row)),
      );
      const style = styleOf(row, index);
      return style ? canvas.paint(text, style) : text;
    }),
  ];
}

function lostIn({ turns, udp }: KnownAccount): number {
  return (turns?.dropped ?? 0) + (udp?.datagrams.dropped ?? 0);
}

function lagIn({ lag_us, udp }: KnownAccount): string {
  return duration(Math.max(lag_us?.p99 ?? 0, udp?.lag_us.p99 ?? 0));
}

function compared(account: KnownAccount, text: (of: NonNullable<Account["comparison"]>) => string): string {
  return account.comparison ? text(account.comparison) : "-";
}

function rateText(rate: number | null): string {
  if (rate === null) return "-";
  return rate < 10 ? rate.toFixed(1) : number(Math.round(rate));
}

const COPY_COLUMNS: Column<CopySeen>[] = [
  ["REQ/S", 7, ({ rate }) => rateText(rate)],
  ["SENT", 11, ({ account }) => number((account.turns?.sent ?? 0) + (account.udp?.datagrams.sent ?? 0))],
  ["LAG P99", 8, ({ account }) => lagIn(account)],
  ["COMPARED", 11, ({ account }) => compared(account, ({ outcomes }) => number(outcomes.compared ?? 0))],
  ["ERRORS", 8, ({ account }) => compared(account, ({ errors }) => number(errors))],
  ["DIFFERENT", 9, ({ account }) => compared(account, ({ different }) => number(different))],
  ["LOST", 8, ({ account }) => number(lostIn(account))],
  ["BEHIND", 8, ({ account }) => duration((account.behind ?? 0) * 1e6)],
  ["TIME", 12, ({ account }) => span((account.seconds ?? 0) * 1e6)],
];

/** All copies; `selected`: the row that Enter opens, -1 for none. `mute`: those that are not shown, and why. */
export function renderCopies(
  copies: readonly CopySeen[],
  mute: readonly { pid: number; cause: string }[],
  selected: number,
  canvas: Canvas,
): string[] {
  const notes = mute.map(({ pid, cause }) => cut(`${pid}: ${printable(cause)}`, canvas.columns));
  if (copies.length === 0) return ["No copy runs on this host.", ...notes];
  const rows = table(
    copies,
    {
      heading: "    PID  SERVICES",
      cell: ({ pid, name, services }) =>
        `${String(pid).padStart(7)}  ${printable((name === null ? "" : `${name}: `) + services.join(", "))}`,
      least: 24,
    },
    COPY_COLUMNS,
    canvas,
    ({ account }, index) => {
      if (index === selected) return "reverse";
      return (account.comparison?.errors ?? 0) > 0 ? "red" : null;
    },
  );
  const first = firstShown(selected, copies.length, canvas.rows - 1 - notes.length);
  return [...window(rows, first, canvas.rows - notes.length), ...notes];
}

/** The heading, and of the rows behind it those from `first` on that there is room for. */
function window(rows: string[], first: number, height: number): string[] {
  return [rows[0]!, ...rows.slice(1 + first)].slice(0, Math.max(1, height));
}

/** The first row to show, so that the selected one is among them. */
function firstShown(selected: number, count: number, height: number): number {
  if (!Number.isFinite(height) || height >= count) return 0;
  return Math.max(0, Math.min(selected - Math.floor(height / 2), count - height));
}

const ENDPOINT_COLUMNS: Column<Endpoint>[] = [
  ["REQUESTS", 9, ({ count }) => number(count)],
  ["ERRORS", 7, ({ errors }) => number(errors)],
  ["DIFFER", 7, ({ different }) => number(different)],
  ["P99 HERE", 8, ({ latency }) => timeOf(latency.production.count, latency.production.p99)],
  ["TARGET", 8, ({ latency }) => timeOf(latency.target.count, latency.target.p99)],
  ["P50 HERE", 8, ({ latency }) => timeOf(latency.production.count, latency.production.p50)],
  ["TARGET", 8, ({ latency }) => timeOf(latency.target.count, latency.target.p50)],
  [
    "MEAN SIZE",
    9,
    ({ sizes }) => (sizes.production.count > 0 ? number(Math.round(sizes.production.mean)) : "-"),
  ],
  ["TARGET", 9, ({ sizes }) => (sizes.target.count > 0 ? number(Math.round(sizes.target.mean)) : "-")],
];

function timeOf(count: number, us: number): string {
  return count > 0 ? duration(us) : "-";
}

/** What differs most at an endpoint: `status 200 -> 500`. */
function firstDifference({ differences }: Endpoint): string {
  const [first] = differences.filter(({ isNoise }) => !isNoise);
  return first ? printable(`${first.kind} ${first.where}`.trim()) : "";
}

/** One copy: how it goes, and its endpoints from the row `from` on. */
export function renderCopy(
  pid: number,
  report: Report,
  { order, from }: { order: Order; from: number },
  canvas: Canvas,
): string[] {
  const account = report.account as KnownAccount;
  const { turns, udp } = account;
  const isCompared = report.count > 0;
  const last = report.timeline.at(-1);
  const counts = [
    `sent ${number((turns?.sent ?? 0) + (udp?.datagrams.sent ?? 0))}`,
    last && `${rateText(last.sent)}/s`,
    `answered ${number((turns?.answered ?? 0) + (udp?.datagrams.answered ?? 0))}`,
    `lost ${number(lostIn(account))}`,
    `lag p99 ${lagIn(account)}`,
    (account.behind ?? 0) >= 1 && `behind ${duration(account.behind! * 1e6)}`,
  ];
  const outcomes = report.outcomes.compared ?? 0;
  const findings = [
    `compared ${number(outcomes)} of ${number(report.count)}`,
    `errors ${number(report.errors)} (${percent(report.errors, outcomes)})`,
    `different ${number(report.different)} (${percent(report.different, outcomes)})`,
  ];
  const head = [
    canvas.paint(
      cut(
        `xcopy ${pid}  ${printable(report.services.join(", "))}  ${report.mode}, ${span(report.seconds * 1e6)}`,
        canvas.columns,
      ),
      "bold",
    ),
    cut(counts.filter(Boolean).join("  "), canvas.columns),
  ];
  if (!isCompared) return [...head, "", cut("Nothing is compared yet (see --compare).", canvas.columns)];
  const verdict = cut(printable(report.verdict.text), canvas.columns);
  head.push(
    cut(findings.join("  "), canvas.columns),
    report.verdict.isWorse ? canvas.paint(verdict, "red") : verdict,
    "",
  );
  const several = report.services.length > 1;
  const endpoints = report.endpoints.toSorted((one, other) => KEYS[order](other) - KEYS[order](one));
  const rows = table(
    endpoints,
    {
      heading: `ENDPOINT (by ${order})`,
      cell: (endpoint) => {
        const of = several ? ` of ${endpoint.service}` : "";
        const name = printable(`${endpoint.method} ${endpoint.name}${of}`);
        const differs = firstDifference(endpoint);
        return differs ? `${name}  ${differs}` : name;
      },
      least: Math.max(28, Math.floor(canvas.columns * 0.4)),
    },
    ENDPOINT_COLUMNS,
    canvas,
    ({ errors, worse }) => (errors > 0 || worse > 0 ? "red" : null),
  );
  const height = canvas.rows - head.length;
  return [...head, ...window(rows, Math.max(0, Math.min(from, endpoints.length - 1)), height)];
}
