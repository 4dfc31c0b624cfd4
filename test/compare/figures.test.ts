/** Histograms, when a target is slower for certain, what is noise, the timeline, two runs. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { checkReport } from "../../src/compare/check.ts";
import { Histogram } from "../../src/compare/histogram.ts";
import { slowerPercentiles } from "../../src/compare/latency.ts";
import { isAsMuchNoise } from "../../src/compare/noise.ts";
import { compareReports } from "../../src/compare/runs.ts";
import { MOST_MOMENTS, Timeline } from "../../src/compare/timeline.ts";
import { oneLine, percent, time } from "../../src/compare/words.ts";
import { compare, type Given, pair, random, times, WITH_NOISE } from "./pairs.ts";

function histogramOf(values: Iterable<number>): Histogram {
  const histogram = new Histogram();
  for (const value of values) histogram.record(value);
  return histogram;
}

describe("a histogram", () => {
  const values = fc.array(
    fc.oneof(
      fc.integer({ min: -5, max: -2 }),
      fc.integer({ min: 0, max: 300 }),
      fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    ),
    { minLength: 1 },
  );

  test("has each percentile to 1.6 %, and its largest value exactly", () => {
    fc.assert(
      fc.property(values, fc.integer({ min: 1, max: 1000 }), (some, permille) => {
        const sorted = some.map((value) => Math.max(0, value)).sort((one, other) => one - other);
        const exact = sorted[Math.max(1, Math.ceil((sorted.length * permille) / 1000)) - 1]!;
        const histogram = histogramOf(some);
        const found = histogram.quantile(permille / 1000);
        expect(found).toBeGreaterThanOrEqual(exact);
        expect(found).toBeLessThanOrEqual(Math.ceil(exact * 1.016));
        expect(histogram.distribution()).toMatchObject({ count: some.length, max: sorted.at(-1) });
      }),
    );
  });

  test("that takes another is that of all values", () => {
    fc.assert(
      fc.property(values, values, (one, other) => {
        const merged = histogramOf(one);
        merged.merge(histogramOf(other));
        expect(merged.distribution()).toEqual(histogramOf([...one, ...other]).distribution());
      }),
    );
  });

  test("counts beyond 16 bits", () => {
    const histogram = histogramOf(times(70_000).map(() => 100));
    histogram.record(200);
    expect([histogram.above(100), histogram.quantile(0.5), histogram.atRank(70_001)]).toEqual([1, 100, 200]);
  });

  test("has a curve of at most 60 points, and none without values", () => {
    const { curve } = histogramOf(times(1000)).distribution();
    expect(curve.length).toBeLessThanOrEqual(60);
    expect([curve[0], curve.at(-1)]).toEqual([
      [0, 0],
      [100, 999],
    ]);
    expect(new Histogram().distribution()).toEqual({
      count: 0,
      mean: 0,
      p50: 0,
      p90: 0,
      p99: 0,
      p999: 0,
      max: 0,
      curve: [],
    });
  });
});

describe("slower", () => {
  /** Latencies with a long tail: some 10 ms, p99 some 60 ms. */
  function latencies(count: number, seed: number, change: (us: number) => number = (us) => us): Histogram {
    const next = random(seed);
    return histogramOf(
      times(count).map(() => change(5000 + 10_000 * next() ** 4 * (next() < 0.02 ? 10 : 1) + 5000 * next())),
    );
  }
  const found = (target: Histogram, noise: Histogram | null = null, production = latencies(5000, 1)) =>
    slowerPercentiles(production, target, noise).map(
      ({ percentile, isNoise }) => `${percentile}${isNoise ? " noise" : ""}`,
    );

  test("is what is slower by much, and not what chance makes of the same", () => {
    for (const seed of times(60)) expect(found(latencies(5000, seed + 2))).toEqual([]);
    const many = latencies(30_000, 1);
    expect(
      found(
        latencies(30_000, 2, (us) => us * 1.4),
        null,
        many,
      ),
    ).toEqual(["p50", "p99"]);
    expect(found(latencies(5000, 2, (us) => us * 1.05))).toEqual([]);
    expect(found(latencies(5000, 2, (us) => us / 1.4))).toEqual([]);
    expect(found(latencies(5000, 2, (us) => us + 400))).toEqual([]);
  });

  test("needs requests enough", () => {
    const slow = (us: number) => us * 2;
    expect(found(latencies(60, 2, slow), null, latencies(60, 1))).toEqual([]);
    expect(found(latencies(200, 2, slow), null, latencies(200, 1))).toEqual(["p50"]);
    expect(found(latencies(5000, 2, slow))).toEqual(["p50", "p99"]);
  });

  test("only in its tail is slower at p99", () => {
    let index = 0;
    expect(found(latencies(5000, 2, (us) => (index++ % 25 === 0 ? us + 200_000 : us)))).toEqual(["p99"]);
  });

  test("as the old version is too is noise, and by more is not", () => {
    const [production, old] = [latencies(30_000, 1), latencies(30_000, 3, (us) => us + 3000)];
    const target = (change: (us: number) => number) => found(latencies(30_000, 2, change), old, production);
    expect(target((us) => us + 3000)).toEqual(["p50 noise", "p99 noise"]);
    expect(target((us) => us * 2 + 3000)).toEqual(["p50", "p99"]);
  });
});

test.each([
  [10, 1000, 0, 1000, false],
  [10, 1000, 10, 1000, true],
  [10, 1000, 20, 1000, true],
  [300, 1000, 250, 1000, true],
  [300, 1000, 150, 1000, false],
  [3, 1000, 1, 1000, true],
  [30, 1000, 10, 1000, false],
  [400, 1000, 30, 100, true],
  [5, 100_000, 1, 100_000, true],
  [10, 1000, 0, 0, false],
  [0, 0, 0, 0, false],
])("%d of %d beside %d of %d with the old version is noise: %p", (count, of, noise, ofNoise, isNoise) => {
  expect(isAsMuchNoise(count, of, noise, ofNoise)).toBe(isNoise);
});

describe("a timeline", () => {
  test("has a moment for each second, with what was sent and taken in it", () => {
    const timeline = new Timeline();
    timeline.take(1000, 2000, true, true);
    timeline.note({ at: 1, sent: 10, lag: { p50: 5, p99: 9 } });
    timeline.take(null, null, false, false);
    timeline.note({ at: 2.5, sent: 30, lag: { p50: 7, p99: 8 } });
    expect(timeline.report(2.5)).toMatchObject([
      {
        at: 0,
        sent: 10,
        compared: 1,
        errors: 1,
        different: 1,
        lag: { p50: 5, p99: 9 },
        production: { p50: 1000 },
        target: { p99: 2000 },
      },
      {
        at: 1,
        sent: 20,
        compared: 1,
        errors: 0,
        different: 0,
        lag: { p50: 7, p99: 8 },
        production: { p50: 0 },
      },
    ]);
  });

  test("of any length has a bounded number of moments, as long as each other, which lose nothing", () => {
    const runs = fc.array(
      fc.record({ by: fc.integer({ min: 0, max: 5000 }), sent: fc.integer({ min: 0, max: 9 }) }),
      { maxLength: 200 },
    );
    fc.assert(
      fc.property(runs, (steps) => {
        const timeline = new Timeline();
        let [at, sent] = [0, 0];
        for (const step of steps) {
          at += step.by;
          sent += step.sent;
          timeline.take(1, 1, false, false);
          timeline.note({ at, sent, lag: { p50: 0, p99: 0 } });
        }
        const moments = timeline.report(at);
        expect(moments.length).toBeLessThanOrEqual(MOST_MOMENTS);
        const length = moments[1]?.at ?? 1;
        for (const [index, moment] of moments.entries()) expect(moment.at).toBe(index * length);
        const whole = moments.slice(0, -1).reduce((sum, moment) => sum + moment.sent * length, 0);
        const rest =
          (moments.at(-1)?.sent ?? 0) * Math.min(length, Math.max(at - (moments.at(-1)?.at ?? 0), 0.1));
        expect(Math.abs(whole + rest - sent)).toBeLessThan(0.01 * length * MOST_MOMENTS + 1e-6);
      }),
    );
  });

  test("takes no hours for a clock that jumps", () => {
    const timeline = new Timeline();
    for (const at of [1e12, Number.NaN, 3, Number.POSITIVE_INFINITY])
      timeline.note({ at, sent: 1, lag: { p50: 0, p99: 0 } });
    expect(timeline.report(1e12).length).toBeLessThanOrEqual(MOST_MOMENTS);
  });
});

describe("the verdict", () => {
  const verdict = (...pairs: Parameters<typeof compare>[0] extends Iterable<infer Pair> ? Pair[][] : never) =>
    compare(pairs.flat()).verdict;
  const same = (count: number) => times(count).map((index) => pair(`/ok/${index}`, {}, {}));

  test("names failures", () => {
    const failing = times(10).map((index) => pair(`/cart/${index}`, {}, { status: 500 }));
    expect(verdict(same(425), failing)).toEqual({
      text: "worse: 2.3 % of requests fail that production answered (GET /cart/{id}: 500 instead of 200)",
      isWorse: true,
      broken: [],
    });
  });

  test("names what is slower, and what answers otherwise", () => {
    const slow = times(3000).map((index) =>
      pair(
        "/search",
        { lastByte: 200_000 + 100 * (index % 200) },
        { lastByte: 300_000 + 100 * (index % 200) },
      ),
    );
    const other = times(300).map((index) =>
      pair(`/item/${index}`, { body: { price: 5 + (index % 7) } }, { body: { price: 6 + (index % 7) } }),
    );
    expect(verdict(slow, other).text).toBe(
      "worse: GET /search is 48 % slower at p50 (311 ms instead of 211 ms), 1 endpoint answers otherwise (GET /item/{id}: $.price)",
    );
    expect(verdict(other).text).toBe("different: 1 endpoint answers otherwise (GET /item/{id}: $.price)");
  });

  test("says how little it knows", () => {
    const given: Given = { body: "x" };
    expect(verdict(times(20).map(() => pair("/", given, given))).text).toBe(
      "the same: 20 requests of 1 endpoint compared, no difference that matters; only 20 requests compared: too few to be sure",
    );
    expect(verdict(times(20).map(() => pair("/", null, given))).text).toBe(
      "nothing was compared: 100 % of requests were not compared (mostly: production's response was not captured)",
    );
    expect(compare(same(200), { body: false }).verdict.text).toEndWith(
      "no difference that matters; heads and lengths only",
    );
  });
});

describe("two runs", () => {
  /** A run in which the target is so many times as slow as production, which takes `us`. */
  const run = (us: number, slower: number, status = 200, price = 1, settings = {}) =>
    compare(
      times(2000).map((index) =>
        pair(
          `/x/${index}`,
          { lastByte: us + (index % 100), body: { price: 1 } },
          {
            lastByte: slower * (us + (index % 100)),
            body: { price: index % 4 === 0 ? price : 1 },
            status: index % 10 === 0 ? status : 200,
          },
        ),
      ),
      settings,
    );

  test("that are alike under another load are the same", () => {
    const { verdict, endpoints } = compareReports(run(10_000, 1.2), run(40_000, 1.2));
    expect(verdict).toEqual({ text: "the same: 1 endpoint in both runs, nothing changed", isWorse: false });
    expect(endpoints).toMatchObject([
      { count: { old: 2000, new: 2000 }, appeared: [], gone: [], errors: { old: 0, new: 0 } },
    ]);
  });

  test("show what is slower, fails, and what is new or gone", () => {
    const { verdict, endpoints } = compareReports(run(10_000, 1, 200, 2), run(10_000, 1.5, 500));
    expect(verdict).toEqual({
      text: "worse: 10 % of requests fail instead of 0 %, 10 % of requests differ instead of 25 %, 1 endpoint slower (GET /x/{id}: 50 %), 1 endpoint with new differences (GET /x/{id}), 1 endpoint with differences that are gone",
      isWorse: true,
    });
    expect(endpoints[0]!.appeared.map(({ kind, where }) => `${kind} ${where}`)).toEqual([
      "status 200 -> 500",
      "latency p50",
      "latency p99",
    ]);
    expect(endpoints[0]!.gone.map(({ kind, where }) => `${kind} ${where}`)).toEqual(["body $.price"]);
    expect(compareReports(run(10_000, 1.5, 500), run(10_000, 1)).verdict).toMatchObject({
      isWorse: false,
      text: expect.stringContaining("better: "),
    });
  });

  test("with nothing in common cannot be compared", () => {
    const other = compare([pair("/y", {}, {})]);
    expect(compareReports(run(10_000, 1), other).verdict.text).toBe(
      "nothing to compare: the runs have no endpoint in common",
    );
    expect(compareReports(compare([]), compare([])).endpoints).toEqual([]);
  });
});

describe("what is read as a report", () => {
  const report = compare(
    [pair("/", { body: { a: 1 } }, { body: { a: 2 } }), pair("/", {}, null), pair("/", {}, {}, { copy: 1 })],
    WITH_NOISE,
  );
  const read = () => JSON.parse(JSON.stringify(report));

  test("is one, with fields that this version does not know", () => {
    expect(checkReport({ ...read(), more: 1 })).toMatchObject({ count: 2, more: 1 });
  });

  test.each<[damage: (report: ReturnType<typeof read>) => unknown, cause: string]>([
    [() => null, "it is no report of xcopy"],
    [() => [], "it is no report of xcopy"],
    [() => ({ xcopy: { report: 2 } }), "it is of another version (2, not 1)"],
    [(it) => ({ ...it, count: "7" }), "$.count is no number"],
    [(it) => ({ ...it, endpoints: {} }), "$.endpoints is no list"],
    [(it) => ({ ...it, endpoints: [{}] }), "$.endpoints[0].service is no text"],
    [(it) => ({ ...it, endpoints: Array(20_001).fill({}) }), "$.endpoints has more than 20000 elements"],
    [(it) => ({ ...it, account: null }), "$.account is no object"],
    [(it) => ({ ...it, outcomes: { compared: "x" } }), "$.outcomes.compared is no number"],
    [(it) => ({ ...it, latency: { production: it.latency.production } }), "$.latency.target is no object"],
  ])("is none: %#", (damage, cause) => {
    expect(checkReport(damage(read()))).toBe(cause);
  });

  test("is refused or taken, never thrown at, whatever is changed in it", () => {
    const leaves = (value: unknown, path: (string | number)[] = []): (string | number)[][] =>
      typeof value === "object" && value !== null
        ? [path, ...Object.entries(value).flatMap(([name, inside]) => leaves(inside, [...path, name]))]
        : [path];
    const all = leaves(read()).filter((path) => path.length > 0);
    fc.assert(
      fc.property(fc.constantFrom(...all), fc.jsonValue(), (path, value) => {
        const damaged = read();
        const last = path.at(-1)!;
        const parent = path.slice(0, -1).reduce((inside, name) => inside[name], damaged);
        parent[last] = value;
        const result = checkReport(damaged);
        if (typeof result === "string") expect(result.length).toBeGreaterThan(5);
        else expect(result.endpoints.every(({ differences }) => Array.isArray(differences))).toBe(true);
      }),
    );
  });
});

test("words for people", () => {
  expect([0, 1, 0.00001, 0.0234, 0.5, 0.99999].map(percent)).toEqual([
    "0 %",
    "100 %",
    "less than 0.01 %",
    "2.3 %",
    "50 %",
    "more than 99.99 %",
  ]);
  expect([340, 1234, 310_000, 3_100_000].map(time)).toEqual(["340 us", "1.2 ms", "310 ms", "3.1 s"]);
  expect(oneLine("a\u001b[31m\n\u202eb\ud800")).toBe("a\ufffd[31m\ufffd\ufffdb\ufffd");
});
