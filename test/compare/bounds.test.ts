/** --fail-on: what can be written, and which reports break it. */
import { describe, expect, test } from "bun:test";
import { brokenBounds, parseBounds } from "../../src/compare/bounds.ts";
import { compare, pair, times } from "./pairs.ts";

test.each([
  ["errors>0.1%", { kind: "share", of: "errors", most: 0.001, isCount: false }],
  ["errors>5", { kind: "share", of: "errors", most: 5, isCount: true }],
  ["Different > 1 %", { kind: "share", of: "different", most: 0.01, isCount: false }],
  ["not-compared>0%", { kind: "share", of: "not-compared", most: 0, isCount: false }],
  ["p99>+20%", { kind: "latency", percentile: "p99", than: "more share", most: 0.2 }],
  ["p50>+50ms", { kind: "latency", percentile: "p50", than: "more us", most: 50_000 }],
  ["p999>1.5s", { kind: "latency", percentile: "p999", than: "us", most: 1_500_000 }],
  ["requests<1000", { kind: "requests", least: 1000 }],
])("%s", (text, rule) => {
  expect(parseBounds(text)).toEqual([{ text, endpoint: null, rule } as never]);
});

test("several bounds, and bounds of one endpoint, whose name may have commas and colons", () => {
  const bounds = parseBounds("errors>0.1%, GET /a,b/{id}:x:p99>+20%,requests<5");
  expect(bounds.map(({ text, endpoint }) => [text, endpoint])).toEqual([
    ["errors>0.1%", null],
    ["GET /a,b/{id}:x:p99>+20%", "GET /a,b/{id}:x"],
    ["requests<5", null],
  ]);
});

test.each([
  ["", "it is no bound"],
  ["errors", "it is no bound"],
  ["errors>", "it is no bound"],
  ["errors>-1%", "it is no bound"],
  ["faults>1%", 'there is no "faults"'],
  ["errors<1%", '"errors" takes >'],
  ["errors>+1%", "a share of requests is not relative to production"],
  ["errors>1ms", '"errors" is a share (%) or a number of requests'],
  ["errors>100%", "no share is above 100 %"],
  ["errors>1.5", "a number of requests is whole"],
  ["p99>20", '"p99" needs a unit: %, us, ms or s'],
  ["p99>20%", "what is relative to production has a +"],
  ["p95>+20%", 'there is no "p95"'],
  ["requests>5", "requests take < and a number"],
])("%p is refused", (text, cause) => {
  expect(() => parseBounds(text)).toThrow(
    expect.objectContaining({
      message: `Cannot use --fail-on "${text}": ${cause}`,
      exitCode: 2,
      fix: expect.stringContaining("errors>0.1%"),
    }),
  );
});

describe("a report", () => {
  const report = compare([
    ...times(90).map((index) => pair(`/users/${index}`, { lastByte: 10_000 }, { lastByte: 13_000 })),
    ...times(5).map((index) => pair(`/users/${index}`, {}, { status: 500 })),
    ...times(5).map(() => pair("/other", null, {})),
  ]);

  test.each<[bounds: string, found: string[]]>([
    ["errors>6%", []],
    ["errors>5%", ["5.3 % of 95 requests"]],
    ["errors>4", ["5 of 95 requests"]],
    ["errors>5", []],
    ["different>1%", ["5.3 % of 95 requests"]],
    ["not-compared>4%", ["5 % of 100 requests"]],
    ["not-compared>5%", []],
    ["p50>+20%", ["13 ms instead of 10 ms (+30 %)"]],
    ["p50>+50%", []],
    ["p50>+2ms", ["13 ms instead of 10 ms (+30 %)"]],
    ["p50>12ms", ["13 ms"]],
    ["p50>14ms", []],
    ["requests<96", ["95 requests compared"]],
    ["requests<95", []],
    ["GET /users/{id}:errors>4", ["5 of 95 requests"]],
    ["GET /other:errors>1%", ["no request was compared"]],
    ["GET /gone:p99>1s", ["no request of this endpoint"]],
  ])("%s", (text, found) => {
    const broken = brokenBounds(parseBounds(text), report);
    expect(broken.map((each) => each.found)).toEqual(found);
    for (const each of broken) expect(each.bound).toBe(text);
  });

  test("without a request proves nothing", () => {
    const broken = compare([], { bounds: parseBounds("errors>1%,p99>+20%") }).verdict.broken;
    expect(broken.map(({ found }) => found)).toEqual(["no request was compared", "no request was compared"]);
  });
});

test("where the times of production are not known, only bounds that need them break", () => {
  const unknown = { firstByte: -1, lastByte: -1 };
  const report = compare(times(50).map(() => pair("/a", unknown, { firstByte: 900, lastByte: 3000 })));
  const { production, target } = report.latency;
  expect([production.count, target.count, target.p50]).toEqual([0, 50, 3000]);
  expect(report.endpoints[0]!.differences).toEqual([]);
  const broken = brokenBounds(parseBounds("p99>+20%,p50>+1ms,p99>1s"), report);
  expect(broken.map(({ bound, found }) => [bound, found])).toEqual([
    ["p99>+20%", "the times of production are not known"],
    ["p50>+1ms", "the times of production are not known"],
  ]);
});
