/** What the page does without a browser: order, filter, differing lines, changes. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Report } from "../../src/compare/report.ts";
import { applyChange, changeOf, compact } from "../../src/report/page/changes.ts";
import { change, statusName } from "../../src/report/page/format.ts";
import { linesOf, pairLines, splitLines } from "../../src/report/page/lines.ts";
import { COLUMNS, clicked, filtered, sorted, WORST_FIRST } from "../../src/report/page/order.ts";
import { endpoint, madeReport, moment } from "./made.ts";

describe("the table", () => {
  const { endpoints } = madeReport(60);

  test.each(COLUMNS.map(({ id }) => id))("is sorted by %s, both ways, with all of its rows", (column) => {
    const { value } = COLUMNS.find(({ id }) => id === column)!;
    for (const isDescending of [true, false]) {
      const rows = sorted(endpoints, { column, isDescending });
      expect(new Set(rows)).toEqual(new Set(endpoints));
      const values = rows.map(value);
      const inOrder = values.every((one, index) => {
        const before = values[index - 1];
        return before === undefined || (isDescending ? before >= one : before <= one);
      });
      expect(inOrder).toBe(true);
    }
  });

  test("begins with the worst; a title that is clicked twice turns it round", () => {
    expect(sorted(endpoints, WORST_FIRST)).toEqual(endpoints);
    expect(clicked(WORST_FIRST, "count")).toEqual({ column: "count", isDescending: true });
    expect(clicked({ column: "count", isDescending: true }, "count")).toEqual({
      column: "count",
      isDescending: false,
    });
    expect(clicked(WORST_FIRST, "name")).toEqual({ column: "name", isDescending: false });
  });

  test("is filtered by words, in names and differences, and by what is wrong", () => {
    const names = (query: string) => filtered(endpoints, query, "all").map(({ name }) => name);
    expect(names("USERS orders").every((name) => /users.*orders/.test(name))).toBe(true);
    expect(names("USERS orders").length).toBeGreaterThan(0);
    expect(names("200 -> 500")).toEqual(endpoints.filter(({ errors }) => errors > 0).map(({ name }) => name));
    expect(names("no such thing")).toEqual([]);
    expect(filtered(endpoints, "", "errors").every(({ errors }) => errors > 0)).toBe(true);
    expect(filtered(endpoints, "", "different").every(({ different }) => different > 0)).toBe(true);
    expect(filtered(endpoints, "", "slower").length).toBe(
      endpoints.filter(({ differences }) => differences.some(({ kind }) => kind === "latency")).length,
    );
  });
});

describe("lines side by side", () => {
  test("what is equal stands beside itself, what is not beside a blank or another", () => {
    const [production, target] = [
      ["a", "b", "c", "d"],
      ["a", "x", "c", "d", "e"],
    ];
    expect(pairLines(production, target)).toEqual([
      { production: "a", target: "a", isEqual: true },
      { production: "b", target: "x", isEqual: false },
      { production: "c", target: "c", isEqual: true },
      { production: "d", target: "d", isEqual: true },
      { production: null, target: "e", isEqual: false },
    ]);
  });

  test("no line is lost, none is made up, equal ones are equal", () => {
    const lines = fc.array(fc.constantFrom("a", "b", "c", ""), { maxLength: 30 });
    fc.assert(
      fc.property(lines, lines, (production, target) => {
        const pairs = pairLines(production, target);
        expect(pairs.map((pair) => pair.production).filter((line) => line !== null)).toEqual(production);
        expect(pairs.map((pair) => pair.target).filter((line) => line !== null)).toEqual(target);
        expect(pairs.every((pair) => pair.isEqual === (pair.production === pair.target))).toBe(true);
      }),
    );
  });

  test("long messages take bounded time", () => {
    const many = (first: number) => Array.from({ length: 5000 }, (_, index) => String(first + index * 7));
    expect(pairLines(many(0), many(3)).length).toBe(5000);
  });

  test("JSON is written out with its keys in order, and else nothing is changed", () => {
    const of = (body: string) => linesOf({ head: "HTTP/1.1 200 OK\r\nA: b\r\n\r\n", body, isCut: false });
    expect(of('{"b":1,"a":[2]}').slice(3)).toEqual(["{", '  "a": [', "    2", "  ],", '  "b": 1', "}"]);
    expect(of('{"b":')).toEqual(["HTTP/1.1 200 OK", "A: b", "", '{"b":']);
    expect(linesOf({ head: "", body: "", isCut: true })).toEqual(["[cut here]"]);
  });

  test("what two lines have in common at both ends is taken off, once", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (one, other) => {
        const { before, middles, behind } = splitLines(one, other);
        expect([before + middles[0] + behind, before + middles[1] + behind]).toEqual([one, other]);
      }),
    );
    expect(splitLines("aa", "aaa").middles).toEqual(["", "a"]);
  });
});

describe("changes", () => {
  /** Reports with some of the same endpoints, in some order, some of them grown. */
  const reports = fc
    .tuple(
      fc.uniqueArray(fc.tuple(fc.nat(12), fc.nat(2)), { selector: ([index]) => index, maxLength: 12 }),
      fc.array(fc.nat(3), { maxLength: 10 }),
      fc.nat(1000),
    )
    .map(([some, moments, count]): Report => {
      const endpoints = some.map(([index, more]) => ({
        ...endpoint(index),
        count: endpoint(index).count + more,
      }));
      return { ...madeReport(0), count, endpoints, timeline: moments.map((extra, at) => moment(at + extra)) };
    });

  test("lead from any report to any other", () => {
    fc.assert(
      fc.property(reports, reports, (old, next) => {
        const [one, other] = [compact(old), compact(next)];
        const sent = JSON.parse(JSON.stringify(changeOf(one, other)));
        expect(applyChange(one, sent)).toEqual(other);
      }),
    );
  });

  test("say nothing about endpoints that are as they were, and of the timeline only what is new", () => {
    const old = compact(madeReport(1000, 300));
    const next = { ...old, timeline: [...old.timeline, moment(300)] };
    const { order, changed, timeline } = changeOf(old, next);
    expect({ order, changed, timeline }).toEqual({
      order: null,
      changed: [],
      timeline: { from: 300, moments: [moment(300)] },
    });
  });
});

test.each([
  [100, 140, "+40 %"],
  [1000, 1049, "+4.9 %"],
  [100, 97, "\u22123 %"],
  [100, 100, "0 %"],
  [100, 1234, "x 12"],
  [0, 10, ""],
  [10, 0, ""],
])("%d and then %d is %p", (production, target, text) => expect(change(production, target)).toBe(text));

test("statuses are in the words of their protocol", () => {
  const of = [
    statusName(503, "http"),
    statusName(0, "mysql"),
    statusName(1064, "mysql"),
    statusName(3, "dns"),
    statusName(null, null),
  ];
  expect(of).toEqual(["503", "OK", "error 1064", "NXDOMAIN", "no response"]);
});
