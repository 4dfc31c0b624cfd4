/** A report, and two of them compared, as text for a terminal. */
import type { Endpoint, Report } from "../compare/report.ts";
import type { BothRuns, EndpointOfRuns, RunComparison } from "../compare/runs.ts";
import type { Outcome } from "../pairs/pair.ts";
import { duration, number, percent, span } from "../runtime/figures.ts";
import { printable } from "../runtime/printable.ts";
import { change, dateOf, KINDS, meaningOf, nameOf } from "./page/format.ts";

/** Endpoints that are named at most, and differences of each. */
const MOST_ENDPOINTS = 10;
const MOST_DIFFERENCES = 3;

/** Rows of cells, each column as wide as it must be; the last one as it is. */
function aligned(rows: string[][]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row
      .map((cell, column) => (column === row.length - 1 ? cell : cell.padStart(widths[column]!)))
      .join("  ")
      .trimEnd(),
  );
}

const of = (production: number, target: number) =>
  `${duration(production)} -> ${duration(target)}, ${change(production, target).replace("\u2212", "-") || "not to be compared"}`;

function figures({
  count,
  outcomes,
  errors,
  different,
  latency,
  began,
  seconds,
  services,
  targets,
}: Report): string[][] {
  const compared = outcomes.compared ?? 0;
  const { production, target } = latency;
  const others = (Object.entries(outcomes) as [Outcome, number][]).filter(
    ([outcome, count]) => outcome !== "compared" && count > 0,
  );
  const names = (isNoise: boolean) =>
    targets.filter((one) => one.isNoise === isNoise).map(({ label }) => printable(label));
  const hasTimes = production.count > 0 && target.count > 0;
  return [
    ["run", `${dateOf(began)}, ${span(seconds * 1e6)}`],
    ["copied", `${services.map(printable).join(", ")} -> ${names(false).join(", ")}`],
    ...(names(true).length > 0 ? [["noise", `${names(true).join(", ")}, the old version`]] : []),
    ["requests", `${number(count)}, ${percent(compared, count)} compared`],
    ["errors", `${number(errors)}, ${percent(errors, Math.max(compared, errors))}`],
    [
      "different",
      `${number(different)}, ${percent(different, Math.max(compared, different))}, noise left out`,
    ],
    ...(hasTimes
      ? [
          ["p50", of(production.p50, target.p50)],
          ["p99", of(production.p99, target.p99)],
        ]
      : []),
    ...others.map(([outcome, some], index) => [
      index === 0 ? "not compared" : "",
      `${number(some)}: ${meaningOf(outcome)}`,
    ]),
  ];
}

/** Names on the left, texts on the right. */
function labelled(rows: string[][]): string[] {
  const width = Math.max(...rows.map(([name]) => name!.length));
  return rows.map(([name, text]) => `${name!.padEnd(width)}  ${text}`);
}

function worstRows(endpoints: readonly Endpoint[]): string[] {
  const rows = endpoints.map((endpoint) => {
    const { errors, different, outcomes, latency } = endpoint;
    const compared = Math.max(outcomes.compared ?? 0, errors, different);
    return [
      percent(errors, compared),
      percent(different, compared),
      change(latency.production.p99, latency.target.p99).replace("\u2212", "-"),
      printable(nameOf(endpoint)),
    ];
  });
  const [head, ...lines] = aligned([["errors", "different", "p99", "endpoint"], ...rows]);
  const whats = endpoints.map(({ differences }) =>
    differences
      .filter(({ isNoise }) => !isNoise)
      .slice(0, MOST_DIFFERENCES)
      .map(
        ({ kind, where, count, of }) =>
          `    ${`${KINDS[kind]} ${printable(where)}`.trim()}: ${number(count)} of ${number(of)}`,
      ),
  );
  return [head!, ...lines.flatMap((line, index) => [line, ...whats[index]!])];
}

/** The verdict, the key figures, and the endpoints that are worst. */
export function renderReport(report: Report): string {
  const worse = report.endpoints.filter(({ worse, errors, different }) => worse + errors + different > 0);
  const shown = worse.slice(0, MOST_ENDPOINTS);
  return [
    printable(report.verdict.text),
    ...report.verdict.broken.map(({ bound, found }) => `  ${printable(bound)} broke: ${printable(found)}`),
    "",
    ...labelled(figures(report)),
    ...(shown.length > 0 ? ["", ...worstRows(shown)] : []),
    ...(worse.length > shown.length
      ? [`and ${number(worse.length - shown.length)} more: --html FILE shows all`]
      : []),
  ].join("\n");
}

const share = (value: number | null) => (value === null ? "-" : percent(value, 1));
const ratio = (value: number | null) => (value === null ? "-" : change(1, value).replace("\u2212", "-"));
const both = ({ old, new: next }: BothRuns, format: (value: number | null) => string) =>
  `${format(old)} -> ${format(next)}`;

/** What became worse or better from the old run to the new one. */
export function renderRuns({ old, new: next, verdict, endpoints }: RunComparison): string {
  const run = ({ began, seconds, verdict, count }: RunComparison["old"]) =>
    `${dateOf(began)}, ${span(seconds * 1e6)}, ${number(count)} requests: ${printable(verdict)}`;
  const changed = endpoints.filter(
    ({ worse, appeared, gone }) => worse !== 0 || appeared.length + gone.length > 0,
  );
  const shown = changed.slice(0, 2 * MOST_ENDPOINTS);
  const rows = shown.map((one) => [
    both(one.errors, share),
    both(one.different, share),
    both(one.p99, ratio),
    printable(`${one.method} ${one.name}`.trim()),
  ]);
  const [head, ...lines] = aligned([["errors", "different", "p99 to production", "endpoint"], ...rows]);
  const whats = ({ appeared, gone }: EndpointOfRuns) =>
    [...appeared.map((one) => ({ ...one, sign: "+" })), ...gone.map((one) => ({ ...one, sign: "-" }))]
      .slice(0, 2 * MOST_DIFFERENCES)
      .map(({ sign, kind, where }) => `    ${sign} ${`${KINDS[kind]} ${printable(where)}`.trim()}`);
  return [
    printable(verdict.text),
    "",
    ...labelled([
      ["old", run(old)],
      ["new", run(next)],
    ]),
    ...(shown.length > 0
      ? ["", head!, ...lines.flatMap((line, index) => [line, ...whats(shown[index]!)])]
      : ["", "no endpoint changed"]),
    ...(changed.length > shown.length
      ? [`and ${number(changed.length - shown.length)} more: --html FILE shows all`]
      : []),
  ].join("\n");
}
