/** What bin/test-kernels runs when everything is built: see its usage. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { exitAtSignals } from "../support/process.ts";
import { HOSTS, type Host, RESTRICTED_TESTS } from "./hosts.ts";
import { makeImage } from "./image.ts";
import { KERNELS, type Kernel } from "./kernels.ts";
import { type MachineOutcome, type MachineRun, runInMachine } from "./machine.ts";
import { fieldOf, renderTable } from "./table.ts";

const USAGE = `usage: bin/test-kernels [--only load|fuzz|work|hosts] [-v] [KERNEL...]

  KERNEL   ${KERNELS.map(({ name }) => name).join(", ")}; all by default
  --only   load: every program in every variant; fuzz: random packets through the programs; work: every feature (not on arm64);
           hosts: restricted ones
  --host   only hosts whose name has this
  -t       only tests whose names match this regular expression
  -v       shows the consoles

Without KERNEL, --host and -t the tables of docs/kernels.md are written.`;
const PAGE = join(import.meta.dir, "../../docs/kernels.md");
/** The second has a test that only kernels before 5.11 can run. */
const LOAD = ["bpf/variants", "native/verifier"];
const WORK = "e2e/features";
const FUZZ = ["bpf/random/agrees", "bpf/random/intercept"];

const { values, positionals } = readArguments();
exitAtSignals();
const kernels = KERNELS.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
const wants = (what: string) => values.only === undefined || values.only === what;
let isGood = true;

const loads: Column[] = [];
const works: Column[] = [];
for (const kernel of kernels) {
  if (wants("load")) loads.push(await tried(kernel, { files: LOAD }));
  if (wants("fuzz")) await tried(kernel, { files: FUZZ });
  if (wants("work") && kernel.architecture === "amd64") works.push(await tried(kernel, { files: [WORK] }));
}
const hosts: { host: Host; column: Column }[] = [];
const asked = HOSTS.filter(({ name }) => name.includes(values.host ?? ""));
for (const host of wants("hosts") ? asked : []) {
  const kernel = kernels.find(({ name }) => name === host.kernel);
  if (!kernel) continue;
  const column = await tried(kernel, { files: [WORK], host, pattern: RESTRICTED_TESTS }, host.name);
  hosts.push({ host, column });
}

const tables = {
  load: renderLoads(),
  work: renderTable(rowsOf(works), works),
  hosts: hosts.map(renderHost).join("\n"),
};
for (const [name, table] of Object.entries(tables)) if (wants(name)) console.log(`\n${table}`);
if (positionals.length === 0 && values.pattern === undefined && values.host === undefined) writeTables();
console.log(isGood ? "\nall is well" : "\nFAILED");
process.exit(isGood ? 0 : 1);

interface Column {
  title: string;
  outcome: MachineOutcome;
}

function readArguments() {
  try {
    const read = parseArgs({
      allowPositionals: true,
      options: {
        only: { type: "string" },
        pattern: { type: "string", short: "t" },
        host: { type: "string" },
        verbose: { type: "boolean", short: "v" },
        help: { type: "boolean" },
      },
    });
    const unknown = read.positionals.find((word) => !KERNELS.some(({ name }) => name === word));
    if (unknown !== undefined) throw new Error(`Unknown kernel "${unknown}"`);
    if (!["load", "fuzz", "work", "hosts", undefined].includes(read.values.only))
      throw new Error("Unknown --only");
    if (!read.values.help) return read;
    console.log(USAGE);
    process.exit(0);
  } catch (error) {
    console.error(`Cannot test kernels: ${(error as Error).message}\n${USAGE}`);
    process.exit(2);
  }
}

/** Boots and runs, and says how it went. */
async function tried(
  kernel: Kernel,
  run: Omit<MachineRun, "kernel">,
  name = run.files.join(),
): Promise<Column> {
  await makeImage(kernel);
  const log = values.verbose ? (line: string) => console.log(`${kernel.name}: ${line}`) : () => {};
  const pattern = values.pattern ?? run.pattern;
  const outcome = await runInMachine({ ...run, kernel, log, ...(pattern !== undefined && { pattern }) });
  const failed = outcome.tests.filter(({ failure }) => failure !== null);
  const passed = outcome.tests.length - failed.length;
  console.log(
    `${kernel.name} (${outcome.version ?? "did not boot"}), ${name}: ${passed} passed, ${failed.length} failed, ${outcome.seconds.toFixed(0)} s`,
  );
  for (const { name, failure } of failed) console.log(`  ${name}: ${failure}`);
  if (outcome.tests.length === 0) console.log(outcome.console.slice(-30).join("\n"));
  if (failed.length > 0 || passed === 0) isGood = false;
  return { title: `${kernel.name} (${outcome.version})`, outcome };
}

/** All tests that ran in any of the columns, in order. */
function rowsOf(columns: Column[]): string[] {
  return [...new Set(columns.flatMap(({ outcome }) => outcome.tests.map(({ name }) => name)))];
}

function renderLoads(): string {
  return loads
    .map(({ title, outcome: { tests } }) => {
      const loaded = tests.filter(({ failure }) => failure === null).length;
      return `- ${title}: ${loaded} of ${tests.length} tests of loading pass`;
    })
    .join("\n");
}

function renderHost({ host, column: { title, outcome } }: { host: Host; column: Column }): string {
  const fields = outcome.tests.map(({ name }) => `  - ${name}: ${fieldOf(name, outcome)}`);
  return [`- **${host.name}**, Linux ${title}`, ...fields].join("\n");
}

/** Puts the tables between their marks in docs/kernels.md. */
function writeTables(): void {
  const date = new Date().toISOString().slice(0, 10);
  let page = readFileSync(PAGE, "utf8");
  for (const [name, table] of Object.entries(tables)) {
    if (!wants(name)) continue;
    const mark = new RegExp(`(<!-- ${name} -->\\n)[^]*?(<!-- end -->)`);
    page = page.replace(mark, (_, begin, end) => `${begin}Tried on ${date}:\n\n${table}\n${end}`);
  }
  writeFileSync(PAGE, page);
}
