/** Two runs side by side. */
import type { Difference, Distribution, Endpoint, Report } from "./report.ts";
import { counted, percent } from "./words.ts";

/** A figure of each run; null: the endpoint has none there. */
export interface BothRuns {
  old: number | null;
  new: number | null;
}

export interface EndpointOfRuns {
  service: string;
  method: string;
  name: string;
  count: BothRuns;
  /** Errors as a share of requests that production answered, 0 to 1. */
  errors: BothRuns;
  /** Requests with a difference that is not noise, as a share of those, 0 to 1. */
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

export interface RunOfTwo {
  began: number;
  seconds: number;
  verdict: string;
  count: number;
}

export interface RunComparison {
  old: RunOfTwo;
  new: RunOfTwo;
  verdict: { text: string; isWorse: boolean };
  /** Sorted by `worse`. */
  endpoints: EndpointOfRuns[];
}

/** Fewer requests say little about a percentile. */
const LEAST_P50 = 100;
const LEAST_P99 = 1000;
/** A change of the relative latency that is named. */
const NOTABLE = 0.1;
const SURE = 3;

const keyOf = ({ service, method, name }: Endpoint) => JSON.stringify([service, method, name]);
const judgedOf = ({ outcomes }: Endpoint) => (outcomes.compared ?? 0) + (outcomes["production only"] ?? 0);

function shareOf(endpoint: Endpoint | undefined, count: (endpoint: Endpoint) => number): number | null {
  if (endpoint === undefined || judgedOf(endpoint) === 0) return null;
  return count(endpoint) / judgedOf(endpoint);
}

function relative(endpoint: Endpoint | undefined, percentile: "p50" | "p99"): number | null {
  if (endpoint === undefined) return null;
  const { production, target }: { production: Distribution; target: Distribution } = endpoint.latency;
  const least = percentile === "p50" ? LEAST_P50 : LEAST_P99;
  if (production.count < least || target.count < least || production[percentile] <= 0) return null;
  return Math.round((1000 * target[percentile]) / production[percentile]) / 1000;
}

/** Whether one share is higher than another beyond chance (three standard deviations); so is any beside none at all in a run as long. */
function isHigher(one: number, of: number, other: number, ofOther: number): boolean {
  if (of === 0 || ofOther === 0) return false;
  const pooled = (one + other) / (of + ofOther);
  const deviation = Math.sqrt(pooled * (1 - pooled) * (1 / of + 1 / ofOther));
  return one / of - other / ofOther > SURE * deviation;
}

function matters(endpoint: Endpoint | undefined): Difference[] {
  return endpoint?.differences.filter(({ isNoise }) => !isNoise) ?? [];
}

/** Those of one run that the other has not; if that had requests enough to have shown them. */
function onlyIn(differences: Difference[], others: Difference[], ofOthers: number): Difference[] {
  return differences.filter(
    ({ kind, where, count, of }) =>
      !others.some((other) => other.kind === kind && other.where === where) &&
      (count / Math.max(1, of)) * ofOthers >= 3,
  );
}

function compareEndpoints(before: Endpoint | undefined, after: Endpoint | undefined): EndpointOfRuns {
  const { service, method, name } = (after ?? before)!;
  const both = (of: (endpoint: Endpoint | undefined) => number | null): BothRuns => ({
    old: of(before),
    new: of(after),
  });
  const errors = both((endpoint) => shareOf(endpoint, (each) => each.errors));
  const different = both((endpoint) => shareOf(endpoint, (each) => each.different));
  const p50 = both((endpoint) => relative(endpoint, "p50"));
  const p99 = both((endpoint) => relative(endpoint, "p99"));
  const ofBoth = [before, after].map((endpoint) => (endpoint === undefined ? 0 : judgedOf(endpoint)));
  const change = ({ old, new: now }: BothRuns) => (old === null || now === null ? 0 : now - old);
  const slower = [change(p50), change(p99)].sort((one, other) => Math.abs(other) - Math.abs(one))[0]!;
  const weight = ofBoth[1]!;
  const worse =
    weight *
    (10 * change(errors) + (change(different) - change(errors)) + (Math.abs(slower) > NOTABLE ? slower : 0));
  return {
    service,
    method,
    name,
    count: both((endpoint) => endpoint?.count ?? null),
    errors,
    different,
    p50,
    p99,
    appeared: onlyIn(matters(after), matters(before), ofBoth[0]!),
    gone: onlyIn(matters(before), matters(after), ofBoth[1]!),
    worse: Math.round(100 * worse) / 100,
  };
}

/** Errors and differences of both runs at the endpoints that both have: others prove nothing about a change. */
function totals(
  pairs: readonly [Endpoint, Endpoint][],
): Record<"errors" | "different" | "of", [number, number]> {
  const sum = (of: (endpoint: Endpoint) => number): [number, number] => [
    pairs.reduce((all, [before]) => all + of(before), 0),
    pairs.reduce((all, [, after]) => all + of(after), 0),
  ];
  return {
    errors: sum(({ errors }) => errors),
    different: sum(({ different }) => different),
    of: sum(judgedOf),
  };
}

function verdictOf(
  pairs: readonly [Endpoint, Endpoint][],
  endpoints: readonly EndpointOfRuns[],
): RunComparison["verdict"] {
  const { errors, different, of } = totals(pairs);
  if (of[0] === 0 || of[1] === 0)
    return { text: "nothing to compare: the runs have no endpoint in common", isWorse: false };
  const said: { text: string; isWorse: boolean }[] = [];
  for (const [what, [before, after]] of [
    ["fail", errors],
    ["differ", different],
  ] as const) {
    const [one, other] = [percent(before / of[0]), percent(after / of[1])];
    if (isHigher(after, of[1], before, of[0]))
      said.push({ text: `${other} of requests ${what} instead of ${one}`, isWorse: true });
    else if (isHigher(before, of[0], after, of[1]))
      said.push({ text: `${other} of requests ${what} instead of ${one}`, isWorse: false });
  }
  const change = ({ p99, p50 }: EndpointOfRuns) => {
    const { old, new: now } = p99.old !== null && p99.new !== null ? p99 : p50;
    return old === null || now === null || old <= 0 ? 0 : now / old - 1;
  };
  const named = (endpoint: EndpointOfRuns) => `${endpoint.method} ${endpoint.name}`.trim();
  const slower = endpoints
    .filter((endpoint) => change(endpoint) > NOTABLE)
    .sort((one, other) => change(other) - change(one));
  const faster = endpoints.filter((endpoint) => change(endpoint) < -NOTABLE);
  if (slower.length > 0)
    said.push({
      text: `${counted(slower.length, "endpoint")} slower (${named(slower[0]!)}: ${percent(change(slower[0]!))})`,
      isWorse: true,
    });
  if (faster.length > 0) said.push({ text: `${counted(faster.length, "endpoint")} faster`, isWorse: false });
  const appeared = endpoints.filter(({ appeared: some }) => some.length > 0);
  if (appeared.length > 0)
    said.push({
      text: `${counted(appeared.length, "endpoint")} with new differences (${named(appeared[0]!)})`,
      isWorse: true,
    });
  const gone = endpoints.filter(({ gone: some }) => some.length > 0);
  if (gone.length > 0)
    said.push({ text: `${counted(gone.length, "endpoint")} with differences that are gone`, isWorse: false });
  const isWorse = said.some((each) => each.isWorse);
  if (said.length === 0)
    return { text: `the same: ${counted(pairs.length, "endpoint")} in both runs, nothing changed`, isWorse };
  return { text: `${isWorse ? "worse" : "better"}: ${said.map(({ text }) => text).join(", ")}`, isWorse };
}

/**
 * Compares two runs, endpoint by endpoint (by service, method and name). Each run is judged beside its own production, so that another load,
 * another time of day or another host does not count.
 */
export function compareReports(before: Report, after: Report): RunComparison {
  const run = ({ began, seconds, verdict, count }: Report): RunOfTwo => ({
    began,
    seconds,
    verdict: verdict.text,
    count,
  });
  const old = new Map(before.endpoints.map((endpoint) => [keyOf(endpoint), endpoint]));
  const now = new Map(after.endpoints.map((endpoint) => [keyOf(endpoint), endpoint]));
  const keys = [...new Set([...now.keys(), ...old.keys()])];
  const endpoints = keys
    .map((key) => compareEndpoints(old.get(key), now.get(key)))
    .sort((one, other) => other.worse - one.worse || (other.count.new ?? 0) - (one.count.new ?? 0));
  const pairs = keys.flatMap((key): [Endpoint, Endpoint][] =>
    old.has(key) && now.has(key) ? [[old.get(key)!, now.get(key)!]] : [],
  );
  return { old: run(before), new: run(after), verdict: verdictOf(pairs, endpoints), endpoints };
}
