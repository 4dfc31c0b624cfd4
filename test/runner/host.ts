/** Runs test files in a small host of their own: PID, mount and network namespaces, see apart.sh. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Patience } from "../support/patience.ts";
import { type FileReport, parseReport } from "./report.ts";

/** ms of a free machine without a word of the tests, each of which says when it has ended. */
const SILENCE = 180_000;

/** ms between two looks whether they are still talking. */
const WATCH = 500;

const APART = "setpriv --pdeathsig KILL unshare --pid --fork --kill-child --mount --mount-proc --net";

/** Tests of a file that run at a time, of those that are marked as concurrent: they mostly wait. */
const CONCURRENCY = 3;

const NOTHING_MATCHED = /^error: regex ".*" matched 0 tests/m;

const running = new Set<Bun.Subprocess>();

/** Ends all hosts at once, with what runs in them. */
export function endAll(): void {
  for (const child of running) child.kill("SIGKILL");
}

export interface Outcome {
  /** What was printed, in the order in which it came. */
  output: string;
  seconds: number;
  /** CPU seconds of all processes that were waited for, user and system; what they left to the kernel's own threads is not in it. */
  cpuSeconds: number;
  reports: FileReport[];
  /** What went wrong besides the tests: no report, something left behind. */
  faults: string[];
}

export interface Run {
  /** The directory of tests in a checkout, absolute. */
  root: string;
  /** Names below it, without ".test.ts": "e2e/mysql". */
  files: string[];
  /** A directory for what they write. */
  scratch: string;
  /** Chooses tests by name. */
  pattern?: string | undefined;
  /** ms of a free machine after which tests that say nothing are ended. */
  silence?: number;
}

/** Runs test files, one test at a time but for those that are marked as concurrent, and resolves when all that they began has ended. */
export async function runApart({ root, files, scratch, pattern, silence = SILENCE }: Run): Promise<Outcome> {
  const directory = mkdtempSync(join(scratch, "run-"));
  const [left, report, temporary] = ["left", "report.xml", "tmp"].map((name) => join(directory, name));
  mkdirSync(temporary!);
  const begun = performance.now();
  const child = Bun.spawn(
    [
      ...APART.split(" "),
      join(import.meta.dir, "apart.sh"),
      left!,
      process.execPath,
      "test",
      "--timeout=0",
      `--max-concurrency=${CONCURRENCY}`,
      "--reporter=junit",
      `--reporter-outfile=${report}`,
      ...(pattern === undefined ? [] : ["--test-name-pattern", pattern]),
      ...files.map((file) => join(root, `${file}.test.ts`)),
    ],
    {
      cwd: join(root, ".."),
      env: { ...process.env, TMPDIR: temporary! },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    },
  );
  running.add(child);
  let output = "";
  let patience = new Patience(silence);
  const faults: string[] = [];
  const watch = setInterval(() => {
    if (!patience.isOver() || faults.length > 0) return;
    faults.push(`no test ended for ${patience}`);
    child.kill("SIGKILL");
  }, WATCH);
  const read = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      output += decoder.decode(chunk, { stream: true });
      patience = new Patience(silence);
    }
  };
  const [status] = await Promise.all([child.exited, read(child.stdout), read(child.stderr)]);
  clearInterval(watch);
  running.delete(child);
  const seconds = (performance.now() - begun) / 1000;
  const cpuSeconds = Number(child.resourceUsage()?.cpuTime.total ?? 0n) / 1e6;

  const reports = readReport(report!, faults);
  if (existsSync(left!)) {
    for (const line of readFileSync(left!, "utf8").split("\n").filter(Boolean)) {
      faults.push(`left behind: ${line}`);
    }
  }
  if (faults.length === 0 && reports.length > 0 && pattern === undefined) {
    // One that cannot be loaded is in no report, whatever became of those beside it.
    const told = new Set(reports.map(({ file }) => join(root, "..", file)));
    const untold = files.filter((file) => !told.has(join(root, `${file}.test.ts`)));
    faults.push(...untold.map((file) => `${file} is in no report: bun test ended with ${status}`));
  }
  const hasFailed = reports.some(({ failures }) => failures.length > 0);
  if (faults.length === 0 && reports.length === 0) faults.push(`no report: bun test ended with ${status}`);
  // A file that cannot be loaded, or an error between two tests; not one without a test that the pattern chooses.
  else if (status !== 0 && !hasFailed && faults.length === 0 && !NOTHING_MATCHED.test(output)) {
    faults.push("an error outside of its tests");
  }
  return { output, seconds, cpuSeconds, reports, faults };
}

function readReport(path: string, faults: string[]): FileReport[] {
  if (!existsSync(path)) return [];
  try {
    return parseReport(readFileSync(path, "utf8"));
  } catch (error) {
    faults.push(`its report cannot be read: ${(error as Error).message}`);
    return [];
  }
}
