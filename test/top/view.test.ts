/** What `xcopy top` shows, as text: columns that fit, sorting, and nothing from the network that a terminal would obey. */
import { describe, expect, test } from "bun:test";
import { version } from "../../package.json";
import type { Distribution, Endpoint, Report } from "../../src/compare/report.ts";
import type { CopySeen } from "../../src/top/copies.ts";
import { coloured, cut, fill, plain } from "../../src/top/text.ts";
import { type Canvas, renderCopies, renderCopy } from "../../src/top/view.ts";
import { fc } from "../config/seed.ts";

const canvas = (columns: number, rows = Number.POSITIVE_INFINITY): Canvas => ({
  columns,
  rows,
  paint: plain,
});

const distribution = (p50: number, p99: number, count = 10): Distribution => ({
  count,
  mean: p50,
  p50,
  p90: p99,
  p99,
  p999: p99,
  max: p99,
  curve: [],
});
const endpoint = (name: string, more: Partial<Endpoint> = {}): Endpoint => ({
  service: "80-10.0.0.2",
  protocol: "http",
  method: "GET",
  name,
  count: 100,
  outcomes: { compared: 100 },
  statuses: [],
  latency: { production: distribution(1000, 2000), target: distribution(1500, 9000) },
  firstByte: { production: distribution(1, 1), target: distribution(1, 1) },
  sizes: { production: { count: 1, mean: 10, max: 10 }, target: { count: 0, mean: 0, max: 0 } },
  differences: [],
  examples: [],
  errors: 0,
  different: 0,
  worse: 0,
  ...more,
});
const report = (endpoints: Endpoint[], more: Partial<Report> = {}): Report => ({
  xcopy: { report: 1, version },
  began: 0,
  seconds: 65,
  isRunning: true,
  mode: "direct",
  services: ["80-10.0.0.2"],
  targets: [{ label: "10.0.0.2", isNoise: false }],
  body: false,
  verdict: { text: "worse", isWorse: true, broken: [] },
  count: 200,
  outcomes: { compared: 200 },
  errors: 3,
  different: 5,
  statuses: [],
  latency: { production: distribution(1, 1), target: distribution(1, 1) },
  timeline: [],
  endpoints,
  account: {
    turns: { captured: 200, sent: 200, answered: 199, dropped: 1, pending: 0 },
    lag_us: { p50: 100, p99: 300, max: 400 },
    behind: 0,
  },
  ...more,
});
const copy = (pid: number, more: Partial<CopySeen> = {}): CopySeen => ({
  pid,
  name: null,
  services: ["80-10.0.0.2"],
  account: { seconds: 12, turns: { captured: 9, sent: 9, answered: 9, dropped: 0, pending: 0 } },
  rate: 0.75,
  ...more,
});

describe("all copies", () => {
  test("one of several of a file has its name in front", () => {
    const [, row] = renderCopies([copy(12, { name: "shop" })], [], -1, canvas(160));
    expect(row).toStartWith("     12  shop: 80-10.0.0.2 ");
  });

  test("each has a row, with what there is room for", () => {
    const seen = [copy(12), copy(1234, { rate: 1234.5 })];
    expect(renderCopies(seen, [], -1, canvas(80))).toEqual([
      "    PID  SERVICES            REQ/S         SENT   LAG P99     COMPARED    ERRORS",
      "     12  80-10.0.0.2           0.8            9      0 us            -         -",
      "   1234  80-10.0.0.2         1,235            9      0 us            -         -",
    ]);
  });

  test("there is none", () => {
    expect(renderCopies([], [{ pid: 7, cause: "of another user" }], 0, canvas(80))).toEqual([
      "No copy runs on this host.",
      "7: of another user",
    ]);
  });

  test("the selected one is always among those that are shown", () => {
    const seen = Array.from({ length: 50 }, (_, index) => copy(1000 + index));
    for (const selected of [0, 1, 25, 48, 49]) {
      const lines = renderCopies(seen, [], selected, { ...canvas(80, 10), paint: coloured });
      expect(lines.length).toBe(10);
      expect(lines.filter((line) => line.startsWith("\x1b[7m"))).toEqual([
        expect.stringContaining(` ${1000 + selected} `),
      ]);
    }
  });
});

describe("one copy", () => {
  const names = (lines: string[]) => lines.flatMap((line) => /^GET (\S+)/.exec(line)?.[1] ?? []);

  test("says how it goes, and what differs where", () => {
    const difference = {
      kind: "status",
      where: "200 -> 500",
      count: 3,
      of: 100,
      noise: null,
      isNoise: false,
      because: null,
      sample: null,
    } as const;
    const lines = renderCopy(
      7,
      report([endpoint("/a", { errors: 3, different: 5, differences: [difference] })]),
      { order: "worse", from: 0 },
      canvas(150),
    );
    expect(lines.slice(0, 4)).toEqual([
      "xcopy 7  80-10.0.0.2  direct, 1 min 5 s",
      "sent 200  answered 199  lost 1  lag p99 300 us",
      "compared 200 of 200  errors 3 (1.5 %)  different 5 (2.5 %)",
      "worse",
    ]);
    expect(lines[6]).toMatch(/^GET \/a {2}status 200 -> 500 +100 +3 +5 +2.0 ms +9.0 ms +1.0 ms +1.5 ms +10$/);
  });

  test.each([
    ["worse", ["/c", "/b", "/a"]],
    ["requests", ["/a", "/b", "/c"]],
    ["errors", ["/b", "/a", "/c"]],
    ["different", ["/b", "/c", "/a"]],
    ["p99", ["/c", "/a", "/b"]],
  ] as const)("sorted by %s", (order, expected) => {
    const endpoints = [
      endpoint("/a", { count: 300, errors: 2, different: 0, worse: 1 }),
      endpoint("/b", {
        count: 200,
        errors: 5,
        different: 9,
        worse: 2,
        latency: { production: distribution(1, 1), target: distribution(1, 2) },
      }),
      endpoint("/c", {
        count: 100,
        errors: 0,
        different: 5,
        worse: 3,
        latency: { production: distribution(1, 1), target: distribution(1, 99_000) },
      }),
    ];
    expect(names(renderCopy(7, report(endpoints), { order, from: 0 }, canvas(80)))).toEqual([...expected]);
  });

  test("starts at the row that was scrolled to, and never has more rows than the terminal", () => {
    const endpoints = Array.from({ length: 40 }, (_, index) => endpoint(`/${index}`));
    const at = (from: number) => renderCopy(7, report(endpoints), { order: "worse", from }, canvas(80, 12));
    expect(names(at(0))[0]).toBe("/0");
    expect(names(at(17))[0]).toBe("/17");
    expect(at(17).length).toBe(12);
    expect(names(at(999))).toEqual(["/39"]);
  });

  test("without --compare it says so", () => {
    const lines = renderCopy(7, report([], { count: 0 }), { order: "worse", from: 0 }, canvas(80));
    expect(lines.at(-1)).toBe("Nothing is compared yet (see --compare).");
  });
});

test("nothing from the network reaches the terminal as anything but text, and every line fits", () => {
  const nasty = fc.string({
    unit: fc.constantFrom(
      "\x1b[2J",
      "\x9b31m",
      "\r",
      "\n",
      "\x07",
      "\u202e",
      "\u2028",
      "漢",
      "é",
      "a",
      "👩‍👩‍👧",
      "\u0301",
    ),
    maxLength: 60,
  });
  fc.assert(
    fc.property(nasty, nasty, fc.integer({ min: 20, max: 200 }), (name, verdict, columns) => {
      const lines = [
        ...renderCopies(
          [copy(1, { services: [name, verdict] })],
          [{ pid: 2, cause: name }],
          -1,
          canvas(columns),
        ),
        ...renderCopy(
          1,
          report([endpoint(name, { method: verdict, service: name })], {
            services: [name],
            verdict: { text: verdict, isWorse: false, broken: [] },
          }),
          { order: "worse", from: 0 },
          canvas(columns),
        ),
      ];
      for (const line of lines) {
        expect(line).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
        expect(Bun.stringWidth(line)).toBeLessThanOrEqual(columns);
      }
    }),
  );
});

test.each([
  ["abc", 5, "left", "abc  "],
  ["abc", 5, "right", "  abc"],
  ["abcdef", 4, "left", "abc…"],
  ["漢字漢", 4, "left", "漢… "],
  ["", 2, "right", "  "],
  ["ab", 0, "left", ""],
] as const)("%j in %i columns", (text, width, side, expected) => {
  expect(fill(text, width, side)).toBe(expected);
  expect(Bun.stringWidth(cut(text, width))).toBeLessThanOrEqual(width);
});
