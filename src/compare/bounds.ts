/** `--fail-on`: bounds that make a run fail (exit code 6). */

import { Failure } from "../native/failure.ts";
import { NOT_COMPARED, type NotCompared, type Outcome } from "../pairs/pair.ts";
import type { BrokenBound, Distribution, Endpoint, Report } from "./report.ts";
import { counted, number, percent, time } from "./words.ts";

const SHARES = ["errors", "different", "not-compared"] as const;
const PERCENTILES = ["p50", "p90", "p99", "p999"] as const;
type Share = (typeof SHARES)[number];
type Percentile = (typeof PERCENTILES)[number];

export interface Bound {
  /** As the user wrote it. */
  text: string;
  /** "GET /users/{id}": only of that endpoint; null: of all requests. */
  endpoint: string | null;
  /**
   * What breaks it. `share`: more of the requests than `most` (0 to 1; `isCount`: more of them); `latency`: a percentile of the target above
   * `most` us, above production's by `most` us, or by a share of it; `requests`: fewer than `least` compared.
   */
  rule:
    | { kind: "share"; of: Share; most: number; isCount: boolean }
    | { kind: "latency"; percentile: Percentile; than: "us" | "more us" | "more share"; most: number }
    | { kind: "requests"; least: number };
}

const FIX =
  "Write bounds, separated by commas: 'errors>0.1%', 'different>1%', 'not-compared>5%', 'p99>+20%' (than production), 'p99>+50ms', 'p99>300ms', 'requests<1000', and for one endpoint 'GET /users/{id}:p99>+20%'.";
const BOUND = /^(?:(.+):)?\s*([a-z0-9-]+)\s*([<>])\s*(\+?)\s*(\d{1,9}(?:\.\d{1,6})?)\s*(%|us|ms|s)?$/is;
const UNITS: Record<string, number> = { us: 1, ms: 1000, s: 1e6 };

function refuse(text: string, cause: string): Failure {
  return new Failure(`Cannot use --fail-on "${text}": ${cause}`, FIX, 2);
}

function ruleOf(
  text: string,
  metric: string,
  sign: string,
  plus: string,
  value: number,
  unit: string,
): Bound["rule"] {
  if (metric === "requests") {
    if (sign !== "<" || plus !== "" || unit !== "" || !Number.isInteger(value) || value < 1)
      throw refuse(text, "requests take < and a number");
    return { kind: "requests", least: value };
  }
  const share = SHARES.find((name) => name === metric);
  const percentile = PERCENTILES.find((name) => name === metric);
  if (share === undefined && percentile === undefined) throw refuse(text, `there is no "${metric}"`);
  if (sign !== ">") throw refuse(text, `"${metric}" takes >`);
  if (share !== undefined) {
    if (plus !== "") throw refuse(text, "a share of requests is not relative to production");
    if (unit !== "" && unit !== "%") throw refuse(text, `"${metric}" is a share (%) or a number of requests`);
    if (unit === "%" && value >= 100) throw refuse(text, "no share is above 100 %");
    if (unit === "" && !Number.isInteger(value)) throw refuse(text, "a number of requests is whole");
    return { kind: "share", of: share, most: unit === "%" ? value / 100 : value, isCount: unit === "" };
  }
  if (unit === "") throw refuse(text, `"${metric}" needs a unit: %, us, ms or s`);
  if (unit === "%") {
    if (plus === "") throw refuse(text, "what is relative to production has a +");
    return { kind: "latency", percentile: percentile!, than: "more share", most: value / 100 };
  }
  return {
    kind: "latency",
    percentile: percentile!,
    than: plus === "" ? "us" : "more us",
    most: value * UNITS[unit]!,
  };
}

function parseBound(text: string): Bound {
  const match = BOUND.exec(text);
  if (match === null) throw refuse(text, "it is no bound");
  const [, endpoint, metric, sign, plus, value, unit] = match;
  const rule = ruleOf(text, metric!.toLowerCase(), sign!, plus!, Number(value), (unit ?? "").toLowerCase());
  return { text, endpoint: endpoint?.trim() ?? null, rule };
}

/** A value of --fail-on: bounds with commas between them. Throws a Failure (exit code 2) that names the bound. */
export function parseBounds(text: string): Bound[] {
  // The name of an endpoint may have commas: a bound ends where the next one is complete.
  const bounds: Bound[] = [];
  let pending = "";
  const parts = text.split(",");
  for (const [index, part] of parts.entries()) {
    pending = pending === "" ? part : `${pending},${part}`;
    const bound = pending.trim();
    const mayGoOn = /^[A-Z*]+ \//.test(bound) && !BOUND.test(bound) && index < parts.length - 1;
    if (mayGoOn) continue;
    bounds.push(parseBound(bound));
    pending = "";
  }
  return bounds;
}

/** What a bound is about: all requests, or those of an endpoint. */
interface Judged {
  count: number;
  outcomes: Partial<Record<Outcome, number>>;
  errors: number;
  different: number;
  latency: { production: Distribution; target: Distribution };
}

function notCompared(outcomes: Judged["outcomes"]): number {
  const reasons: Outcome[] = ["target only", ...(Object.keys(NOT_COMPARED) as NotCompared[])];
  return reasons.reduce((sum, reason) => sum + (outcomes[reason] ?? 0), 0);
}

/** What was found, if it breaks the rule. */
function broken(rule: Bound["rule"], judged: Judged): string | null {
  const compared = judged.outcomes.compared ?? 0;
  const answered = compared + (judged.outcomes["production only"] ?? 0);
  if (rule.kind === "requests")
    return compared < rule.least ? `${counted(compared, "request")} compared` : null;
  if (rule.kind === "share") {
    const [count, of] =
      rule.of === "not-compared" ? [notCompared(judged.outcomes), judged.count] : [judged[rule.of], answered];
    // Nothing is no proof.
    if (of === 0) return "no request was compared";
    const value = rule.isCount ? count : count / of;
    return value > rule.most
      ? `${rule.isCount ? number(count) : percent(count / of)} of ${counted(of, "request")}`
      : null;
  }
  const { production, target } = judged.latency;
  if (target.count === 0) return "no request was compared";
  if (rule.than !== "us" && production.count === 0) return "the times of production are not known";
  const [ours, theirs] = [production[rule.percentile], target[rule.percentile]];
  const most =
    rule.than === "us" ? rule.most : rule.than === "more us" ? ours + rule.most : ours * (1 + rule.most);
  if (theirs <= most) return null;
  const share = ours > 0 ? ` (+${Number(((100 * (theirs - ours)) / ours).toPrecision(3))} %)` : "";
  return rule.than === "us"
    ? time(theirs)
    : `${time(theirs)} instead of ${time(ours)}${theirs > ours ? share : ""}`;
}

/** The endpoints of several services that have one name, as one. */
function together(endpoints: readonly Endpoint[]): Judged | null {
  const [first, ...others] = endpoints;
  if (first === undefined) return null;
  if (others.length === 0) return first;
  const outcomes: Judged["outcomes"] = {};
  for (const endpoint of endpoints)
    for (const [outcome, count] of Object.entries(endpoint.outcomes) as [Outcome, number][])
      outcomes[outcome] = (outcomes[outcome] ?? 0) + count;
  const sum = (name: "count" | "errors" | "different") =>
    endpoints.reduce((all, endpoint) => all + endpoint[name], 0);
  return {
    count: sum("count"),
    outcomes,
    errors: sum("errors"),
    different: sum("different"),
    latency: first.latency,
  };
}

/**
 * The bounds that a report breaks, in their order. Where nothing was compared, each of them is broken: a run without requests proves nothing.
 */
export function brokenBounds(bounds: readonly Bound[], report: Omit<Report, "verdict">): BrokenBound[] {
  return bounds.flatMap(({ text, endpoint, rule }) => {
    const named = report.endpoints.filter(({ method, name }) => endpoint === `${method} ${name}`.trim());
    const judged = endpoint === null ? report : together(named);
    const what = judged === null ? "no request of this endpoint" : broken(rule, judged);
    return what === null ? [] : [{ bound: text, found: what }];
  });
}
