/** What bin/test runs when everything is built: the checks, the tests, a second look at what failed, and the verdict. */
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join, relative } from "node:path";
import { readArguments, refuse } from "../support/arguments.ts";
import { exitAtSignals } from "../support/process.ts";
import { choose, findTests, isMachine, type Task, tasksOf } from "./catalog.ts";
import { checksOf, runCheck } from "./checks.ts";
import { endAll, runApart } from "./host.ts";
import { startGauge } from "./slowness.ts";
import { Verdict } from "./verdict.ts";

const USAGE = `usage: bin/test [--quick | --list] [-t PATTERN] [TESTS...]

  TESTS    beginnings of names as --list shows them: engine, e2e/mysql; all tests and checks without
  --quick  format, lint, types, and all tests that need no network namespaces
  --list   what there is, and how it runs: plain, with hosts (network namespaces), or alone on the machine
  -t       only tests whose names match this regular expression`;

/** Tasks with hosts that run at a time beside one for each CPU: half of their time they wait. */
const BESIDE = 1;
const ROOT = join(import.meta.dir, "..");
const TOP = join(ROOT, "..");

function isRegularExpression(text: string): boolean {
  try {
    return new RegExp(text) !== null;
  } catch {
    return false;
  }
}

const { values, positionals } = readArguments("run the tests", USAGE, {
  quick: { type: "boolean", default: false },
  list: { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
  pattern: { type: "string", short: "t" },
});
if (values.help) {
  console.log(USAGE);
  process.exit(0);
}
const { chosen, unknown } = choose(findTests(ROOT), positionals);
if (unknown.length > 0) {
  refuse(
    `Cannot run the tests "${unknown[0]}": none has a name that begins so`,
    "bin/test --list shows all.",
  );
}
if (values.pattern !== undefined && !isRegularExpression(values.pattern)) {
  refuse(
    `Cannot run the tests "-t ${values.pattern}": no regular expression`,
    "Write ( as \\(, and the like.",
  );
}
const tests = values.quick ? chosen.filter(({ kind }) => kind === "plain") : chosen;
if (tests.length === 0) {
  refuse("Cannot run the tests: all that are named need network namespaces", "Leave --quick out.");
}
if (values.list) {
  for (const { name, kind } of tests) console.log(`${kind}  ${name}`);
  process.exit(0);
}

const scratch = mkdtempSync(join(tmpdir(), "xcopy-test-"));
process.on("exit", () => {
  endAll();
  rmSync(scratch, { recursive: true, force: true });
});
exitAtSignals();
// The second look at a property is at the same cases.
process.env.XCOPY_TEST_SEED ??= `${Date.now() & 0x7fffffff}`;
process.env.XCOPY_TEST_SLOWNESS = join(scratch, "slowness");
const gauge = startGauge(process.env.XCOPY_TEST_SLOWNESS);
const verdict = new Verdict();

const images = tests.some(({ name }) => isMachine(name)) ? makeImages() : null;
if (positionals.length === 0) {
  for (const check of checksOf(TOP)) {
    const fault = await runCheck(TOP, check);
    console.log(
      `${fault === null ? "ok    " : "FAILED"}  ${check.name}${fault === null ? "" : `\n${fault}`}`,
    );
    if (fault !== null) verdict.fail(check.name);
  }
}
const tasks = tasksOf(tests);
const cpus = availableParallelism();
await runTogether(
  tasks.filter(({ kind }) => kind === "plain"),
  cpus,
);
if ((await images) === false && process.env.CI) verdict.fail("images of the kernels to test on");
for (const task of tasks.filter(({ kind }) => kind === "alone")) await run(task);
await runTogether(
  tasks.filter(({ kind }) => kind === "hosts"),
  cpus + BESIDE,
);
const again = verdict.doubtful();
if (again.length > 0) console.log("\nonce more, each alone:");
for (const file of again) await run({ name: file, files: [file], kind: "alone" });

gauge.stop();
console.log(`\nXCOPY_TEST_SEED=${process.env.XCOPY_TEST_SEED} repeats its properties`);
for (const line of verdict.lines(gauge.overall())) console.log(line);
process.exit(verdict.isGood() ? 0 : 1);

/** Whether there are images for the virtual machines: without a network there are none, and tests that need them are skipped. */
async function makeImages(): Promise<boolean> {
  const command = ["setpriv", "--pdeathsig", "TERM", join(ROOT, "kernels/images.sh")];
  return (await Bun.spawn(command, { stdio: ["ignore", "inherit", "inherit"] }).exited) === 0;
}

/** Several at a time. */
async function runTogether(waiting: Task[], places: number): Promise<void> {
  const runNext = async () => {
    for (let task = waiting.shift(); task; task = waiting.shift()) await run(task);
  };
  await Promise.all(Array.from({ length: places }, runNext));
}

async function run({ name, files }: Task): Promise<void> {
  const outcome = await runApart({ root: ROOT, files, scratch, pattern: values.pattern });
  const reports = outcome.reports.map((report) => ({
    ...report,
    file: relative(ROOT, join(TOP, report.file)).replace(/\.test\.ts$/, ""),
  }));
  const isGood = verdict.add(files, { ...outcome, reports });
  const count = reports.reduce((sum, { passed }) => sum + passed, 0);
  const seconds = `${outcome.seconds.toFixed(1)} s`.padStart(8);
  const cpu = `${outcome.cpuSeconds.toFixed(1)} s`;
  console.log(`${isGood ? "ok    " : "FAILED"}${seconds}  ${name}: ${count} passed, ${cpu} of CPU`);
  if (!isGood) console.log([outcome.output.trimEnd(), ...outcome.faults].join("\n"));
}
