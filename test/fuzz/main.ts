/** What bin/fuzz runs: a search with one target or all, watched from outside, or inputs once more. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readArguments, refuse } from "../support/arguments.ts";
import { loadTarget, readInput, targetNames, writeCrash } from "./files.ts";
import { tryInput } from "./search.ts";

const USAGE = `usage: bin/fuzz NAME|all [--time 1h] [--seed N]
       bin/fuzz NAME FILE...
       bin/fuzz --list

  NAME    a target, as --list shows them; all: one after the other
  FILE    takes only these inputs, such as that of a fault, and shows what they lead to
  --time  how long for each target: 10s, 5m (default), 1h
  --seed  what the changes of inputs follow from; the code that runs and what is in dist/fuzz decide too

What a search finds worth keeping goes to dist/fuzz, where the next one begins; a fault to test/fuzz/crashes.`;

/** An input that takes longer never ends. */
const ENDLESS_MS = 30_000;
const UNITS = { s: 1, m: 60, h: 3600 };

const { values, positionals } = readArguments("fuzz", USAGE, {
  list: { type: "boolean" },
  help: { type: "boolean" },
  time: { type: "string", default: "5m" },
  seed: { type: "string", default: `${Date.now() & 0x7fffffff}` },
});
const [name, ...files] = positionals;
const names = targetNames();
if (values.help || (name === undefined && !values.list)) {
  console.log(USAGE);
  process.exit(values.help ? 0 : 2);
}
if (values.list) {
  for (const one of names) console.log(`${one.padEnd(14)} ${(await loadTarget(one)).about}`);
  process.exit(0);
}
if (name !== "all" && !names.includes(name!)) {
  refuse(`Cannot fuzz "${name}": no such target`, `There are ${names.join(", ")}.`);
}
const duration = /^([0-9]+)([smh])$/.exec(values.time);
if (!duration) refuse(`Cannot fuzz for "${values.time}": not a time`, "Write it as 30s, 5m or 1h.");
if (!/^[0-9]{1,10}$/.test(values.seed))
  refuse(`Cannot use --seed "${values.seed}": not a number`, "Give digits.");
const seconds = Number(duration[1]) * UNITS[duration[2] as keyof typeof UNITS];

if (files.length > 0) process.exit((await takeAgain(name!, files)) ? 0 : 1);
const faulty: string[] = [];
for (const one of name === "all" ? names : [name!]) if (!(await search(one))) faulty.push(one);
if (faulty.length > 0) console.log(`FAULTS in ${faulty.join(", ")}`);
process.exit(faulty.length > 0 ? 1 : 0);

async function takeAgain(name: string, files: string[]): Promise<boolean> {
  const target = await loadTarget(name);
  const errors = files.map((file) => {
    const error = tryInput(target, readInput(file));
    console.log(`${file}: ${error === null ? "all invariants hold" : ((error as Error).stack ?? error)}`);
    return error;
  });
  return errors.every((error) => error === null);
}

/** Whether the target was searched without a fault. */
async function search(name: string): Promise<boolean> {
  console.log(`${name}: ${values.time}, --seed ${values.seed}`);
  const scratch = mkdtempSync(join(tmpdir(), "xcopy-fuzz-"));
  const watched = join(scratch, "input");
  const { longest } = await loadTarget(name);
  writeFileSync(watched, new Uint8Array(8 + longest));
  const child = Bun.spawn(
    [
      "setpriv",
      "--pdeathsig",
      "KILL",
      process.execPath,
      join(import.meta.dir, "child.ts"),
      name,
      `${seconds}`,
      values.seed,
      watched,
    ],
    { stdio: ["ignore", "inherit", "inherit"] },
  );
  let before = -1;
  let isEndless = false;
  const watch = setInterval(() => {
    const count = readFileSync(watched).readUInt32LE(0);
    if (count === before && count > 0) {
      isEndless = true;
      child.kill("SIGKILL");
    }
    before = count;
  }, ENDLESS_MS);
  const code = await child.exited;
  clearInterval(watch);
  if (isEndless || code > 1) {
    const bytes = readFileSync(watched);
    const path = writeCrash(name, bytes.subarray(8, 8 + Math.min(longest, bytes.readUInt32LE(4))));
    const fault = isEndless ? "an input does not end" : `the process ended with ${child.signalCode ?? code}`;
    console.log(`FAULT  ${name}: ${fault}; again: bin/fuzz ${name} ${path}`);
  }
  rmSync(scratch, { recursive: true });
  return code === 0;
}
