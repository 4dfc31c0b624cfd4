/** Where records are kept, for root and for users who may not write /run/xcopy, and what is not believed or overwritten there. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeRecord } from "../../src/native/run-directory.ts";
import { isOurs } from "../../src/netfilter/rule.ts";

/** A user that nothing else on this host is. */
const USER = 64_000 + (process.pid % 1000);
const OWN = `/dev/shm/xcopy-${USER}`;
const MODULE = join(import.meta.dir, "../../src/native/run-directory.ts");

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "xcopy-run-"));
});
afterEach(() => {
  for (const path of [directory, OWN]) rmSync(path, { recursive: true, force: true });
});

/** What a script that has imported the module as `run` prints, as that user. */
function asUser(script: string, env: Record<string, string> = {}): { said: string; errors: string } {
  const source = `import * as run from "${MODULE}"; ${script}`;
  const { stdout, stderr } = Bun.spawnSync(
    ["setpriv", `--reuid=${USER}`, `--regid=${USER}`, "--clear-groups", process.execPath, "-e", source],
    { env: { ...process.env, ...env }, cwd: "/" },
  );
  return { said: stdout.toString().trim(), errors: stderr.toString() };
}

test("a user who may not write /run/xcopy has a directory of its own, which it makes for itself alone", () => {
  const script = `
    run.writeRecord(run.DIRECTORY + "/1.json", "one", 0o600);
    console.log(run.DIRECTORY, run.namesIn().join(), run.DIRECTORY_NOTE.includes(run.DIRECTORY));`;
  expect(asUser(script)).toEqual({ said: `${OWN} 1.json true`, errors: "" });
  const { mode, uid } = statSync(OWN);
  expect([mode & 0o777, uid]).toEqual([0o700, USER]);
});

test("one that a service manager gave is taken before it, without a word", () => {
  const script = "console.log(run.DIRECTORY, run.DIRECTORY_NOTE);";
  const env = { RUNTIME_DIRECTORY: `${directory}:/other` };
  expect(asUser(script, env)).toEqual({ said: `${directory} null`, errors: "" });
});

test.each([
  ["somebody else's", () => mkdirSync(OWN, { mode: 0o777 })],
  [
    "a link to a directory of its own",
    () => {
      chownSync(directory, USER, USER);
      symlinkSync(directory, OWN);
    },
  ],
])("%s in its place is neither read nor written", (_, prepare) => {
  prepare();
  writeFileSync(join(OWN, "rules-1.json"), "{}");
  const script = `
    console.log(run.namesIn().length);
    try { run.writeRecord(run.DIRECTORY + "/1.json", "one", 0o600); } catch { console.log("refused"); }`;
  const { said } = asUser(script);
  expect(said).toBe("0\nrefused");
  expect(existsSync(join(OWN, "1.json"))).toBe(false);
});

test("a link in the way of a record is not followed", () => {
  const victim = join(directory, "victim");
  writeFileSync(victim, "untouched");
  for (const name of ["1.json", "1.json.new"]) symlinkSync(victim, join(directory, name));
  writeRecord(join(directory, "1.json"), "one", 0o600);
  expect(readFileSync(victim, "utf8")).toBe("untouched");
  expect(readFileSync(join(directory, "1.json"), "utf8")).toBe("one");
});

const RULES = {
  pid: 7,
  startTime: 1,
  namespace: 1,
  tool: "nft",
  name: "xcopy-7-0",
  hooks: ["output"],
} as const;

test.each<[object, boolean]>([
  [{}, true],
  [{ name: "xcopy-7-d", hooks: ["prerouting"], table: "raw" }, true],
  [{ name: "xcopy-8-0" }, false],
  [{ name: "xcopy-7-0; flush ruleset" }, false],
  [{ tool: "../../tmp/evil" }, false],
  [{ pid: "7; x" }, false],
  [{ hooks: ["output -j ACCEPT"] }, false],
  [{ hooks: "output" }, false],
  [{ table: "nat" }, false],
])("a record of rules with %j is believed: %p", (change, isBelieved) => {
  expect(isOurs({ ...RULES, hooks: [...RULES.hooks], ...change })).toBe(isBelieved);
});
