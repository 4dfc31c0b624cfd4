/** What the runs of files come to: failures, a second look, the closing lines. */
import { describe, expect, test } from "bun:test";
import { type FileReport, parseReport } from "./report.ts";
import { Verdict } from "./verdict.ts";

const report = (file: string, passed: number, failures: string[] = []): FileReport => ({
  file,
  seconds: 1,
  passed,
  skipped: 0,
  failures,
});
const MACHINE = { mean: 1.25, most: 3 };

describe("a verdict", () => {
  test("counts tests, and is good", () => {
    const verdict = new Verdict();
    expect(
      verdict.add(["a", "b"], { reports: [report("a", 2), report("b", 3)], faults: [], seconds: 4 }),
    ).toBe(true);
    expect(verdict.doubtful()).toEqual([]);
    expect(verdict.isGood()).toBe(true);
    expect(verdict.lines(MACHINE).at(-1)).toBe("5 passed, 0 failed");
  });

  test("what fails once and passes alone is named as unsteady, and counts as passed", () => {
    const verdict = new Verdict();
    const reports = [report("a", 1, ["slow: waited"]), report("b", 3)];
    expect(verdict.add(["a", "b"], { reports, faults: [], seconds: 4 })).toBe(false);
    expect(verdict.doubtful()).toEqual(["a"]);
    expect(verdict.isGood()).toBe(false);
    expect(verdict.add(["a"], { reports: [report("a", 2)], faults: [], seconds: 2 })).toBe(true);
    expect(verdict.doubtful()).toEqual([]);
    expect(verdict.isGood()).toBe(true);
    expect(verdict.lines(MACHINE).slice(-2)).toEqual(["UNSTEADY: a: slow: waited", "5 passed, 0 failed"]);
  });

  test("what fails twice has failed, and has no third look", () => {
    const verdict = new Verdict();
    verdict.add(["a"], { reports: [report("a", 1, ["one: x"])], faults: [], seconds: 4 });
    verdict.add(["a"], { reports: [report("a", 1, ["two: y"])], faults: [], seconds: 4 });
    expect(verdict.doubtful()).toEqual([]);
    expect(verdict.isGood()).toBe(false);
    expect(verdict.lines(MACHINE).slice(-2)).toEqual(["FAILED: a: two: y", "1 passed, 1 failed"]);
  });

  test("what goes wrong besides the tests casts doubt on each file that ran there", () => {
    const verdict = new Verdict();
    const faults = ["left behind: /run/netns/x"];
    verdict.add(["a", "b"], { reports: [report("a", 1), report("b", 1)], faults, seconds: 4 });
    expect(verdict.doubtful()).toEqual(["a", "b"]);
    verdict.add(["a"], { reports: [report("a", 1)], faults: [], seconds: 4 });
    verdict.add(["b"], { reports: [report("b", 1)], faults, seconds: 4 });
    expect(verdict.lines(MACHINE).slice(-3)).toEqual([
      "UNSTEADY: a: left behind: /run/netns/x",
      "FAILED: b: left behind: /run/netns/x",
      "2 passed, 1 failed",
    ]);
  });

  test("a check that failed, or no test at all, is not good", () => {
    const checked = new Verdict();
    checked.add(["a"], { reports: [report("a", 1)], faults: [], seconds: 4 });
    checked.fail("tsc: types");
    expect(checked.isGood()).toBe(false);
    expect(checked.lines(MACHINE).slice(-2)).toEqual(["FAILED: tsc: types", "1 passed, 1 failed"]);
    expect(new Verdict().isGood()).toBe(false);
    expect(new Verdict().lines(MACHINE).slice(-2)).toEqual([
      "FAILED: no test was run: none has such a name",
      "0 passed, 1 failed",
    ]);
  });

  test("names the ten slowest files: alone, with all around its tests", () => {
    const verdict = new Verdict();
    for (let i = 1; i <= 12; i++)
      verdict.add([`f${i}`], { reports: [report(`f${i}`, 1)], faults: [], seconds: i });
    const lines = verdict.lines(MACHINE);
    expect(lines.slice(0, 3)).toEqual(["slowest files:", "    12.0 s  f12", "    11.0 s  f11"]);
    expect(lines.filter((line) => / s {2}f/.test(line)).length).toBe(10);
    expect(lines).toContainEqual(expect.stringMatching(/1\.3 times slower .* 3\.0 times/));
  });
});

test("a report of bun test: nested groups, names and messages as they were", () => {
  const xml = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="bun test" tests="4" assertions="2" failures="1" skipped="1" time="3.2">
  <testsuite name="test/a.test.ts" file="test/a.test.ts" tests="4" time="1.575" hostname="vm">
    <testsuite name="d" file="test/a.test.ts" line="1" tests="3" time="1.5" hostname="vm">
      <testcase name="007" classname="d" time="0.0009" file="test/a.test.ts" line="1" assertions="1">
        <failure type="AssertionError" message="expect(received).toBe(expected)&#10;&#10;Expected: &lt;2&gt; &amp; &quot;x&quot;&#10;">AssertionError</failure>
      </testcase>
      <testcase name="b &lt;x&gt;" classname="d" time="1.5" file="test/a.test.ts" line="1" assertions="0" />
    </testsuite>
    <testcase name="sk" time="0" file="test/a.test.ts" line="1" assertions="0"><skipped /></testcase>
    <testcase name="late" time="9" file="test/a.test.ts" line="1" assertions="0">
      <failure type="TimeoutError" />
    </testcase>
  </testsuite>
</testsuites>`;
  expect(parseReport(xml)).toEqual([
    {
      file: "test/a.test.ts",
      seconds: 1.575,
      passed: 1,
      skipped: 1,
      failures: ["late: TimeoutError", '007: expect(received).toBe(expected) Expected: <2> & "x"'],
    },
  ]);
});

test("a report with a very long message", () => {
  const message = "&lt;packet&gt;&#10;".repeat(20_000);
  const failure = `<failure type="AssertionError" message="${message}">${message}</failure>`;
  const xml = `<testsuites><testsuite name="a" file="a" time="1"><testcase name="it">${failure}</testcase></testsuite></testsuites>`;
  const [{ failures }] = parseReport(xml) as [FileReport];
  expect(failures[0]).toStartWith("it: <packet> <packet> ");
  expect(failures[0]!.length).toBeLessThan(500);
});
