/** Whether the target is slower, where that is certain. */
import type { Histogram } from "./histogram.ts";

export interface Slower {
  percentile: "p50" | "p99";
  /** us. */
  production: number;
  target: number;
  /** Requests at the target that took longer than this percentile of production, of `of`. */
  count: number;
  of: number;
  /** The same of the target with the old version. */
  noise: { count: number; of: number } | null;
  /** Whether the old version is as slow there: then it is the host or the way to it. */
  isNoise: boolean;
}

/** Standard deviations: 999 of 1,000 times the percentile is within. */
const SURE = 3.3;
const LEAST = 100;
/** Slower by at least so much, relative and in us: the ways to the two sides are not alike. With an old version beside it that is known. */
const RELATIVE = 0.1;
const ABSOLUTE = 500;
const ABSOLUTE_BESIDE = 100;

/** Between which values a percentile lies: those whose ranks are `SURE` standard deviations (binomial) below and above its own. */
function interval(histogram: Histogram, share: number): { low: number; value: number; high: number } {
  const { count } = histogram;
  const deviation = Math.sqrt(count * share * (1 - share));
  const above = Math.ceil(count * share + SURE * deviation) + 1;
  return {
    low: histogram.atRank(Math.floor(count * share - SURE * deviation)),
    value: histogram.quantile(share),
    high: above > count ? Number.POSITIVE_INFINITY : histogram.atRank(above),
  };
}

/** Whether one percentile is certainly and noticeably higher: the intervals are apart, and so are the values. */
function isAbove(one: Histogram, other: Histogram, share: number, least: number): boolean {
  if (one.count < LEAST || other.count < LEAST) return false;
  const [high, low] = [interval(one, share), interval(other, share)];
  return high.low > low.high && high.value - low.value >= Math.max(RELATIVE * low.value, least);
}

/**
 * The percentiles (p50, p99) at which the target is slower for certain: the 99.9 % confidence intervals of the percentile (by order
 * statistics, whatever the distribution) do not touch, so that p50 needs 100 requests at least and p99 some 1,100; and it is slower by 10 %
 * and 0.5 ms. Where there is a target with the old version, and it is slower than production too, it must be slower than that by 10 % and
 * 0.1 ms, for certain; else it is noise.
 */
export function slowerPercentiles(
  production: Histogram,
  target: Histogram,
  noise: Histogram | null,
): Slower[] {
  const percentiles = [
    ["p50", 0.5],
    ["p99", 0.99],
  ] as const;
  return percentiles.flatMap(([percentile, share]) => {
    const beside = noise !== null && noise.count >= LEAST ? noise : null;
    if (!isAbove(target, production, share, beside === null ? ABSOLUTE : ABSOLUTE_BESIDE)) return [];
    const from = production.quantile(share);
    return [
      {
        percentile,
        production: from,
        target: target.quantile(share),
        count: target.above(from),
        of: target.count,
        noise: noise === null ? null : { count: noise.above(from), of: noise.count },
        isNoise: beside !== null && !isAbove(target, beside, share, ABSOLUTE_BESIDE),
      },
    ];
  });
}
