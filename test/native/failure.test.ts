/** Errors of files and directories, as a user reads them. */
import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { hasEnded, startTimeOf } from "../../src/capture/clsact.ts";
import { causeOfFile, Failure, failureOfFile } from "../../src/native/failure.ts";
import { namesIn } from "../../src/native/run-directory.ts";

function thrown(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  throw new Error("it did not throw");
}

test.each<[string, () => unknown, number, RegExp]>([
  [
    "a file that is not there",
    () => readFileSync("/nowhere/x"),
    1,
    /^Cannot use "\/nowhere\/x": ENOENT: no such file/,
  ],
  ["a directory in a file", () => mkdirSync("/dev/null/x"), 1, /^Cannot use "\/dev\/null\/x": E/],
  ["a file in place of a directory", () => readdirSync("/dev/null"), 1, /^Cannot use "\/dev\/null": ENOTDIR/],
  ["a directory in place of a file", () => writeFileSync("/tmp", "x"), 1, /^Cannot use "\/tmp": EISDIR/],
  ["a full disk", () => writeFileSync("/dev/full", "x"), 1, /^Cannot use ("\/dev\/full"|a file): ENOSPC/],
  ["what /proc has", () => statSync("/proc/nothing/x"), 1, /^Cannot use "\/proc\/nothing\/x"/],
])("%s", (_, call, exitCode, message) => {
  const error = thrown(call);
  const failure = failureOfFile(error)!;
  expect(failure.message).toMatch(message);
  expect(failure.exitCode as number).toBe(exitCode);
  expect(failure.fix).not.toBe("");
  expect(causeOfFile(error)).not.toContain("/");
});

test("other errors are none of files", () => {
  expect(failureOfFile(new Failure("Cannot x", "y", 2))).toBeNull();
  expect(failureOfFile(new TypeError("bug"))).toBeNull();
  expect(failureOfFile(thrown(() => new URL("no url")))).toBeNull();
  expect(failureOfFile(null)).toBeNull();
});

test("a directory that is none has no names", () => {
  expect(namesIn("/dev/null")).toEqual([]);
  expect(namesIn("/nowhere")).toEqual([]);
  expect(namesIn("/proc/self/ns")).toContain("net");
});

test("a process has ended when it is gone, or another one has its number", () => {
  const own = startTimeOf(process.pid)!;
  expect(hasEnded(process.pid, own)).toBe(false);
  expect(hasEnded(process.pid, own - 1)).toBe(true);
  // Above the largest number of a process.
  expect(hasEnded(2 ** 22 + 1, 5)).toBe(true);
});

test("one that /proc hides from this user runs", () => {
  const script = `
    import { hasEnded } from "${import.meta.dir}/../../src/capture/clsact.ts";
    console.log(hasEnded(${process.pid}, 1));`;
  const hidden = ["unshare", "-m", "sh", "-c", 'mount -t proc -o hidepid=2 none /proc && exec "$@"', "sh"];
  const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
  const { stdout, stderr } = Bun.spawnSync([...hidden, ...nobody, process.execPath, "-e", script]);
  expect([stderr.toString(), stdout.toString()]).toEqual(["", "false\n"]);
});
