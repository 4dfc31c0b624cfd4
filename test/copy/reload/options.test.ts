/** Which changes of options a running copy takes, and which need a restart. */
import { describe, expect, test } from "bun:test";
import { COPY } from "../../../src/command-line/copy.ts";
import { parseArguments } from "../../../src/command-line/reading/arguments.ts";
import { parseCopy } from "../../../src/copy/options.ts";
import { changedNumbers, needRestart } from "../../../src/copy/reload/options.ts";

const read = (words: string) => parseCopy(parseArguments(COPY, `-x 80-10.0.0.2 ${words}`.trim().split(" ")));

describe("numbers that change", () => {
  const cases: [before: string, after: string, changed: string[]][] = [
    ["", "", []],
    ["-r 10", "-r 50", ["-r 10 -> 50"]],
    ["", "-r 0.5 -g 60", ["-r 100 -> 0.5", "-g 0 -> 60"]],
    ["--limit 500/s", "", ["--limit 500/s -> none"]],
    ["", "--late drop:2", ["--late wait -> drop:2"]],
    ["--late spread", "--late spread:0.2", ["--late spread:0.1 -> spread:0.2"]],
    ["--cpu-limit 50", "--cpu-limit 75.5", ["--cpu-limit 50 -> 76"]],
    ["", "--drain 10 -t 30 -k 3600", ["-t 600 -> 30", "-k 604800 -> 3600", "--drain 2 -> 10"]],
    ["--turn-timeout 5", "--turn-timeout 1 -R 3", ["--turn-timeout 5 -> 1", "-R 0 -> 3"]],
    ["-n 2", "-n 2 --jitter 40", ["--jitter 0 -> 40"]],
  ];
  test.each(cases)("%p to %p", (before, after, changed) => {
    expect(changedNumbers(read(before), read(after))).toEqual(changed);
    expect(needRestart(read(before), read(after), true)).toEqual([]);
  });

  test("of a recording", () => {
    expect(changedNumbers(read("--rate 100"), read("--rate 2000 --users 5"))).toContain(
      "--rate 100/s -> 2,000/s",
    );
    expect(needRestart(read("-r 10"), read("-r 20"), false)).toEqual(["-r"]);
  });
});

describe("what needs a restart", () => {
  const cases: [before: string, after: string, named: string[]][] = [
    ["", "-n 2", ["-n"]],
    ["", "-s 10.0.0.3 --insecure", ["-s", "--insecure"]],
    ["--workers 2", "--workers 4 -m 512", ["-m", "--workers"]],
    ["--capture tcx", "--capture packet -B 64", ["--capture", "-B"]],
    ["", "-k 30", ["-k of less than 180 s"]],
    ["-c 10.0.0.9", "-c 10.0.0.8,10.0.0.9", ["-c"]],
    ["", "-i eth1", ["-i"]],
    ["", "--compare", ["an option about the comparison"]],
    ["--read-only --protocol mysql", "--protocol mysql", ["an option about MySQL"]],
    ["", "-W", ["-W"]],
  ];
  test.each(cases)("%p to %p", (before, after, named) => {
    expect(needRestart(read(before), read(after), true)).toEqual(expect.arrayContaining(named));
    expect(needRestart(read(before), read(after), true).length).toBeLessThanOrEqual(named.length + 1);
  });
});
