/** How many workers there are, and where, for every host and command line. */
import { describe, expect, test } from "bun:test";
import { COPY } from "../../src/command-line/copy.ts";
import { parseArguments } from "../../src/command-line/reading/arguments.ts";
import { formatCpus } from "../../src/config/workers.ts";
import { parseCopy } from "../../src/copy/options.ts";
import { planWorkers } from "../../src/copy/worker-plan.ts";
import { failing } from "../config/failing.ts";

const cpus = (count: number) => Array.from({ length: count }, (_, cpu) => cpu);
const plan = (words: string, count = 4, isLive = true, ports: [number, number][] = [[1024, 2047]]) =>
  planWorkers(
    parseCopy(parseArguments(COPY, `-x 80-10.0.0.2 ${words}`.trim().split(" "))),
    cpus(count),
    isLive,
    ports,
  );

test.each([
  ["", 4, [null], ""],
  ["--workers 3", 2, [null, null, null], ""],
  ["--cpus 1", 4, [1], ""],
  ["--cpus 3,1", 4, [3, 1], ""],
  ["--workers 3 --cpus 2,1", 4, [2, 1, 2], ""],
  ["--workers 1 --cpus 2,1", 4, [2], ""],
  ["--workers auto", 1, [null], "--workers auto: 1 worker, for 1 CPU"],
  ["--workers auto", 4, [null, null], "--workers auto: 2 workers, for 4 CPUs"],
  ["--workers auto --cpus 0-2", 4, [0, 1, 2], "--workers auto: 3 workers, one for each CPU of --cpus"],
] as [string, number, (number | null)[], string][])('"%s" on %d CPUs', (words, count, expected, note) => {
  expect(plan(words, count)).toEqual({ count: expected.length, cpus: expected, note });
});

test("auto is at most 8, one for each CPU at most 64", () => {
  expect(plan("--workers auto", 64).count).toBe(8);
  expect(plan("--cpus 0-99", 128)).toMatchObject({ count: 64 });
});

describe("where only one worker is possible", () => {
  test.each([
    ["--workers auto", 1, false, "recorded traffic"],
    ["--workers auto --compat -s 10.0.0.2", 1, true, "an intercept of tcpcopy"],
  ] as const)("%s is one, and why is said", (words, count, isLive, why) => {
    const chosen = plan(words, 8, isLive);
    expect(chosen.count).toBe(count);
    expect(chosen.note).toContain(`because ${why}`);
  });

  test("several are refused", () => {
    expect(failing(() => plan("--workers 2", 4, false))).toMatchObject({ exitCode: 2 });
    expect(failing(() => plan("--workers 2 --compat -s 10.0.0.2"))).toMatchObject({ exitCode: 2 });
    expect(failing(() => plan("--workers 2 --capture raw"))).toMatchObject({
      message: 'Cannot use --workers "2": what --capture raw captures is read by one worker',
    });
    expect(plan("--workers 2 --capture clsact").count).toBe(2);
    expect(plan("--workers 2 --capture packet").count).toBe(2);
    expect(plan("--cpus 0,1", 4, false).cpus).toEqual([0]);
  });
});

test("what is not possible is an error with a reason", () => {
  expect(failing(() => plan("--cpus 0,4-6"))).toMatchObject({
    message: 'Cannot use --cpus "4-6": xcopy may not run there',
    fix: "Choose from those it may run on: 0-3.",
    exitCode: 2,
  });
  expect(failing(() => plan("--workers 3", 4, true, [[20000, 20001]]))).toMatchObject({
    message: 'Cannot use --workers "3": there are not enough ports for each to have its own (20000-20001)',
    exitCode: 2,
  });
});

test("CPUs are written as ranges", () => {
  expect(formatCpus([5, 1, 2, 3, 7])).toBe("1-3, 5, 7");
});
