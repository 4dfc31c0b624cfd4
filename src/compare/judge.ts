/** Makes of what was counted of an endpoint what is said of it: which differences matter, how much worse it is. */
import { type Slower, slowerPercentiles } from "./latency.ts";
import { Evidence, isAlike, isLearned } from "./learned.ts";
import { isAsMuchNoise } from "./noise.ts";
import type { Difference, Endpoint } from "./report.ts";
import type { Row } from "./row.ts";
import { keyOf, type Tally } from "./tally.ts";
import { time } from "./words.ts";

type Because = Difference["because"];

/** Endpoints at which the same ids must differ always, before it is believed of one with few requests. */
const LEAST_ENDPOINTS = 3;

/** What all endpoints together show of the ids at one place. */
export type Pools = ReadonlyMap<string, { evidence: Evidence; endpoints: number; differs: number }>;

const poolKey = (row: Row, tally: Tally) => `${row.service} ${keyOf(tally)}`;

/** Answers of an endpoint that could have had a difference: those with the statuses that it was seen with. */
function couldHave(row: Row, tally: Tally): number {
  if (tally.kind !== "body" && tally.kind !== "field") return row.outcomes[0]!;
  let could = 0;
  for (const [status, count] of row.comparable[tally.kind])
    if (status < 0 || tally.statuses.has(status)) could += count;
  return could;
}

/** What is known of ids that occur at several endpoints, as of requests. */
export function poolsOf(rows: readonly Row[]): Pools {
  const all = new Map<string, { row: Row; tally: Tally }[]>();
  for (const row of rows) {
    if (row.isOthers) continue;
    for (const tally of row.byIndex) {
      if (tally.nature !== "id" || tally.count === 0) continue;
      const key = poolKey(row, tally);
      const known = all.get(key);
      if (known === undefined) all.set(key, [{ row, tally }]);
      else known.push({ row, tally });
    }
  }
  const pools = [...all].filter(([, places]) => places.length >= LEAST_ENDPOINTS);
  return new Map(
    pools.map(([key, places]) => {
      const count = places.reduce((sum, { tally }) => sum + tally.count, 0);
      const could = places.reduce((sum, { row, tally }) => sum + couldHave(row, tally), 0);
      const evidence = Evidence.pool(places.map(({ tally }) => tally.evidence));
      return [key, { evidence, endpoints: places.length, differs: count / Math.max(1, could) }];
    }),
  );
}

/** Why each difference of an endpoint does not matter, by its index; null: it matters. */
function becauseOf(row: Row, pools: Pools): Because[] {
  const because = row.byIndex.map((tally): Because => {
    if (isAsMuchNoise(tally.count, row.judged, tally.noise, row.noiseJudged)) return "noise";
    const differs = tally.count / Math.max(1, couldHave(row, tally));
    if (isLearned(tally.nature, tally.evidence, differs)) return "learned";
    const pool = pools.get(poolKey(row, tally));
    const isPooled =
      pool !== undefined && isLearned(tally.nature, pool.evidence, Math.min(pool.differs, differs));
    return isPooled ? "learned" : null;
  });
  // Random texts of which some do not look so.
  for (const tally of row.byIndex) {
    if (because[tally.index] !== null || tally.nature !== "text") continue;
    const ids = row.tallies.get(keyOf({ ...tally, nature: "id" }));
    if (ids === undefined || ids.count < tally.count || !isAlike(tally.evidence, ids.evidence)) continue;
    const differs = (ids.count + tally.count) / Math.max(1, couldHave(row, ids));
    if (!isLearned("id", ids.evidence, differs)) continue;
    because[tally.index] = "learned";
    because[ids.index] ??= "learned";
  }
  // What nobody looked into is taken for what the others are, where all of those are noise.
  const content = row.byIndex.filter(
    ({ kind, nature, count }) => kind === "body" && nature !== "unknown" && count > 0,
  );
  const lookedInto = content.reduce((sum, { count }) => sum + count, 0);
  if (lookedInto >= 8 && content.every(({ index }) => because[index] !== null))
    for (const { index, nature } of row.byIndex) if (nature === "unknown") because[index] ??= "learned";
  return because;
}

/** Differences as the report has them: tallies of one kind and place are one, as far as they are alike in whether they matter. */
function differencesOf(row: Row, because: Because[], slowerAt: readonly Slower[]): Difference[] {
  const merged = new Map<string, Difference & { isError: boolean }>();
  for (const tally of row.byIndex) {
    if (tally.count === 0) continue;
    const why = because[tally.index]!;
    const key = `${tally.kind} ${tally.where} ${why === null}`;
    const before = merged.get(key);
    if (before !== undefined) {
      before.count = Math.min(row.judged, before.count + tally.count);
      if (before.noise !== null)
        before.noise.count = Math.min(before.noise.of, before.noise.count + tally.noise);
      continue;
    }
    merged.set(key, {
      kind: tally.kind,
      where: tally.where,
      count: tally.count,
      of: row.judged,
      noise: row.noiseJudged > 0 ? { count: tally.noise, of: row.noiseJudged } : null,
      isNoise: why !== null,
      because: why,
      sample: tally.sample,
      isError: tally.isError,
    });
  }
  const slower = slowerAt.map(({ percentile, production, target, count, of, noise, isNoise }) => ({
    kind: "latency" as const,
    where: percentile,
    count,
    of,
    noise,
    isNoise,
    because: isNoise ? ("noise" as const) : null,
    sample: { production: time(production), target: time(target) },
    isError: false,
  }));
  const weight = ({ isNoise, isError, kind }: Difference & { isError: boolean }) =>
    (isNoise ? 8 : 0) + (isError ? 0 : kind === "status" || kind === "latency" ? 1 : 2);
  return [...merged.values(), ...slower]
    .sort((one, other) => weight(one) - weight(other) || other.count - one.count)
    .map(({ isError: _, ...difference }) => difference);
}

export interface Judged {
  endpoint: Endpoint;
  /** How much slower, relative (0.4: 40 %), at the percentile where it is most; null: not for certain. */
  slower: { percentile: "p50" | "p99"; by: number; production: number; target: number } | null;
}

/** What was said of a row, as long as nothing more is counted there. */
const judgements = new WeakMap<Row, { revision: number; service: string; judged: Judged }>();

/** Weight of a failure beside another difference. */
const OF_ERROR = 10;

/**
 * What is said of an endpoint. `worse`: requests that are worse answered: 10 for each failure, 1 for each other difference that matters,
 * and of all requests the part by which the target is slower, where that is certain (40 % slower: 0.4 for each, at most 1).
 */
export function judge(row: Row, service: string, pools: Pools): Judged {
  const known = judgements.get(row);
  if (known !== undefined && known.revision === row.revision && known.service === service)
    return known.judged;
  const because = becauseOf(row, pools);
  let errors = 0;
  let different = 0;
  for (const [set, count] of row.sets) {
    const real = set.split(",").filter((index) => because[Number(index)] === null);
    if (real.length === 0) continue;
    different += count;
    if (real.some((index) => row.byIndex[Number(index)]!.isError)) errors += count;
  }
  const slowerAt = slowerPercentiles(row.latency.production, row.latency.target, row.noiseLatency);
  const differences = differencesOf(row, because, slowerAt);
  const slower = slowerAt
    .filter(({ isNoise }) => !isNoise)
    .map(({ percentile, production, target }) => ({
      percentile,
      by: target / Math.max(1, production) - 1,
      production,
      target,
    }))
    .sort((one, other) => other.by - one.by)
    .at(0);
  const examplesOf = ({ kind, where }: { kind: string; where: string }) =>
    differences.findIndex((difference) => difference.kind === kind && difference.where === where);
  const { latency, firstByte, sizes } = row;
  const worse = OF_ERROR * errors + (different - errors) + row.outcomes[0]! * Math.min(1, slower?.by ?? 0);
  const endpoint: Endpoint = {
    service,
    protocol: row.protocol,
    method: row.method,
    name: row.name,
    count: row.count,
    outcomes: row.outcomeCounts(),
    statuses: row.statusCounts(),
    latency: { production: latency.production.distribution(), target: latency.target.distribution() },
    firstByte: { production: firstByte.production.distribution(), target: firstByte.target.distribution() },
    sizes: { production: sizes.production.sizes(), target: sizes.target.sizes() },
    differences,
    examples: [...row.examples].sort((one, other) => examplesOf(one) - examplesOf(other)),
    errors,
    different,
    worse: Math.round(worse * 100) / 100,
  };
  const judged = { endpoint, slower: slower ?? null };
  // What other endpoints show may change.
  if (!row.byIndex.some((tally) => pools.has(poolKey(row, tally))))
    judgements.set(row, { revision: row.revision, service, judged });
  return judged;
}
