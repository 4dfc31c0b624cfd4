/** /metrics: what it has, that counters never fall, that labels are bounded, that promtool and the dashboard agree with it. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createMetrics } from "../../src/web/metrics.ts";
import { endpoint, madeReport } from "../report/made.ts";
import { ACCOUNT, factsOf } from "./made.ts";

const report = madeReport(5, 10);
const text = await createMetrics()(report, ACCOUNT, factsOf(report));
const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
/** Names without what a histogram adds. */
const familyOf = (name: string) => name.replace(/_(bucket|sum|count)$/, "");
const figureOf = (series: string, of = lines) =>
  Number(
    of
      .find((line) => line.startsWith(`${series} `))
      ?.split(" ")
      .at(-1),
  );

test("each metric has one HELP and one TYPE, and names by the conventions", () => {
  const helps = text.match(/^# HELP \S+/gm)!.map((line) => line.split(" ")[2]!);
  const types = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => ({
    name: name!,
    type: type!,
  }));
  expect(new Set(helps).size).toBe(helps.length);
  expect(types.map(({ name }) => name)).toEqual(helps);
  expect(new Set(lines.map((line) => familyOf(/^\w+/.exec(line)![0])))).toEqual(new Set(helps));
  const wrong = types.filter(
    ({ name, type }) => !name.startsWith("xcopy_") || (type === "counter") !== name.endsWith("_total"),
  );
  expect(wrong).toEqual([]);
});

test("the figures are those of the account and of the report, in base units", () => {
  expect(figureOf("xcopy_requests_captured_total")).toBe(90);
  expect(figureOf('xcopy_requests_dropped_total{reason="refused"}')).toBe(2);
  expect(figureOf('xcopy_cpu_seconds_total{mode="system"}')).toBe(2.5);
  expect(figureOf("xcopy_resident_memory_bytes")).toBe(61_200_000);
  expect(figureOf('xcopy_build_info{version="0.1.0",mode="direct"}')).toBe(1);
  const { method, name, errors, different } = report.endpoints.find(({ errors }) => errors > 0)!;
  const labels = `service="80",protocol="http",method="${method}",endpoint="${name}"`;
  expect(figureOf(`xcopy_target_errors_total{${labels}}`)).toBe(errors);
  expect(figureOf(`xcopy_different_total{${labels}}`)).toBe(different);
  expect(figureOf(`xcopy_statuses_total{${labels},production="200",target="500"}`)).toBe(errors);
  expect(figureOf("xcopy_request_lag_seconds_count")).toBe(88);
  expect(figureOf("xcopy_request_lag_seconds_sum")).toBeCloseTo(88 * 0.012345);
  expect(figureOf('xcopy_request_lag_seconds_bucket{le="+Inf"}')).toBe(88);
  expect(figureOf('xcopy_request_lag_seconds_bucket{le="0.0001"}')).toBe(5);
});

test("what an account does not have has no series", async () => {
  const bare = await createMetrics()({ ...madeReport(0, 0), outcomes: {} }, {}, { lag: null, endpoints: [] });
  expect(bare.match(/^xcopy_\w+/gm)).toEqual(["xcopy_build_info"]);
});

test("names full of quotes, backslashes and line ends stay one label", async () => {
  const evil = { ...endpoint(0), name: 'a"b\\c\nxcopy_fake 1' };
  const text = await createMetrics()({ ...report, endpoints: [evil] }, {}, { lag: null, endpoints: [] });
  expect(text).toContain('endpoint="a\\"b\\\\c\\nxcopy_fake 1"');
  expect(text).not.toMatch(/^xcopy_fake/m);
});

test("a bounded number of endpoints has series, each for good: what is counted never falls", async () => {
  const render = createMetrics();
  const seen = new Map<string, number>();
  // Each time there are more endpoints, and those that came last are the most frequent.
  for (const size of [10, 90, 150, 400, 1000]) {
    const endpoints = Array.from({ length: size }, (_, index) => ({
      ...endpoint(index),
      count: 1000 + index,
      outcomes: { compared: 1000 + index },
    }));
    const grown = { ...report, endpoints };
    const text = await render(grown, ACCOUNT, factsOf(grown));
    const series = [
      ...text.matchAll(/^(xcopy_(?:compared_total|answer_duration_seconds_bucket)\{.*\}) (\d+)$/gm),
    ];
    for (const [, name, value] of series) {
      expect(Number(value)).toBeGreaterThanOrEqual(seen.get(name!) ?? 0);
      seen.set(name!, Number(value));
    }
    const compared = [...text.matchAll(/^xcopy_compared_total\{.*\} (\d+)$/gm)].map(([, value]) =>
      Number(value),
    );
    expect(compared.length).toBeLessThanOrEqual(101);
    expect(compared.reduce((sum, value) => sum + value, 0)).toBe(
      endpoints.reduce((sum, { count }) => sum + count, 0),
    );
  }
});

test("the dashboard asks for metrics that there are, with labels that they have", () => {
  const dashboard = readFileSync(join(import.meta.dir, "../../docs/grafana/xcopy.json"), "utf8");
  const { panels } = JSON.parse(dashboard) as { panels: { targets: { expr: string }[] }[] };
  const asked = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)).join("\n");
  const names = new Set([...dashboard.matchAll(/\bxcopy_\w+/g)].map(([name]) => name));
  expect(names.size).toBeGreaterThan(10);
  const there = new Set(lines.map((line) => /^\w+/.exec(line)![0]));
  expect([...names].filter((name) => !there.has(name))).toEqual([]);
  const labels = new Set([...asked.matchAll(/by \(([^)]*)\)/g)].flatMap(([, list]) => list!.split(", ")));
  expect([...labels].filter((label) => !new RegExp(`[{,]${label}="`).test(text))).toEqual([]);
});

test.skipIf(Bun.which("promtool") === null)("promtool has nothing to say about it", async () => {
  const check = Bun.spawn(["promtool", "check", "metrics"], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
  });
  check.stdin.write(text);
  check.stdin.end();
  expect(await check.stdout.text()).toBe("");
  expect(await check.stderr.text()).toBe("");
  expect(await check.exited).toBe(0);
});
