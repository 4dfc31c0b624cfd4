/** Histograms of microseconds: their error, their sum, and what is reported of them. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { HISTOGRAM_WORDS, merged, percentile, record, spread } from "../../src/runtime/histogram.ts";

const values = fc.array(fc.nat(0xffff_ffff), { minLength: 1, maxLength: 50 });

function histogramOf(all: readonly number[]): Uint32Array {
  const words = new Uint32Array(HISTOGRAM_WORDS);
  for (const value of all) record(words, value);
  return words;
}

test("a percentile is at most 3.2 % above the value that it stands for, and never below", () => {
  fc.assert(
    fc.property(values, fc.double({ min: 0, max: 1, noNaN: true }), (all, share) => {
      const exact = [...all].sort((a, b) => a - b)[Math.max(1, Math.ceil(all.length * share)) - 1]!;
      const found = percentile(histogramOf(all), share);
      expect(found).toBeGreaterThanOrEqual(exact);
      expect(found).toBeLessThanOrEqual(exact * (1 + 1 / 31));
    }),
  );
});

test("no percentile that is reported is above the largest value", () => {
  fc.assert(
    fc.property(values, (all) => {
      const { p50, p99, max } = spread(histogramOf(all), Math.max(...all));
      expect(max).toBe(Math.max(...all));
      expect(p50).toBeLessThanOrEqual(p99);
      expect(p99).toBeLessThanOrEqual(max);
    }),
  );
  expect(spread(histogramOf([]), 0)).toEqual({ p50: 0, p99: 0, max: 0 });
});

test("histograms of several workers are merged without a change to any", () => {
  fc.assert(
    fc.property(values, values, (one, other) => {
      const [first, second] = [histogramOf(one), histogramOf(other)];
      expect(merged([first, second])).toEqual(histogramOf([...one, ...other]));
      expect(first).toEqual(histogramOf(one));
    }),
  );
});
