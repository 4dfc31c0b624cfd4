/** The small hosts that test files run in: nothing gets out of them, and what is left in them is told. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runApart } from "./host.ts";

let scratch: string;
let root: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "host-"));
  root = join(scratch, "test");
  mkdirSync(root);
});
afterAll(() => rmSync(scratch, { recursive: true }));

/** Runs a test file with this body, and what follows it in the file. */
function runTest(name: string, body: string, silence?: number) {
  const text = `import { expect, test } from "bun:test";\nimport * as fs from "node:fs";\ntest("it", async () => {\n${body}\n});\n`;
  writeFileSync(join(root, `${name}.test.ts`), text);
  return runApart({ root, files: [name], scratch, ...(silence === undefined ? {} : { silence }) });
}

const spawn = (...words: string[]) => `Bun.spawnSync(${JSON.stringify(words)});`;

test("it sees no process, namespace, claim or interface of the host around it", async () => {
  const { faults, reports } = await runTest(
    "sees",
    `const pids = fs.readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name)).map(Number);
     expect(pids.toSorted((a, b) => a - b)[0]).toBe(1);
     expect(pids.length).toBeLessThan(4);
     for (const place of ["/run/netns", "/run/xcopy"]) expect(fs.existsSync(place)).toBe(false);
     expect(fs.readdirSync("/sys/class/net")).toEqual(["lo"]);`,
  );
  expect(faults).toEqual([]);
  expect(reports).toMatchObject([{ passed: 1, failures: [] }]);
});

test("what it leaves behind is told, and is gone with it", async () => {
  const before = existsSync("/run/netns") ? readdirSync("/run/netns") : [];
  const { faults, reports } = await runTest(
    "leaves",
    `${spawn("ip", "netns", "add", "forgotten")}
     fs.mkdirSync("/run/xcopy");
     fs.writeFileSync("/run/xcopy/ports-7.json", "");
     Bun.spawn(["sleep", "600"]).unref();`,
  );
  expect(reports).toMatchObject([{ passed: 1, failures: [] }]);
  expect(faults).toEqual([
    expect.stringMatching(/^left behind: process [0-9]+: sleep 600$/),
    "left behind: /run/netns/forgotten",
    "left behind: /run/xcopy/ports-7.json",
  ]);
  expect(existsSync("/run/netns") ? readdirSync("/run/netns") : []).toEqual(before);
  expect(Bun.spawnSync(["pgrep", "-fx", "sleep 600"]).exitCode).toBe(1);
});

test("a test that says nothing any more is ended", async () => {
  const { faults, reports } = await runTest(
    "hangs",
    "await new Promise(() => setInterval(() => {}, 1000));",
    1000,
  );
  expect(reports).toEqual([]);
  expect(faults).toEqual([expect.stringMatching(/^no test ended for 1,000 ms of a free machine/)]);
});

test("a file that cannot be loaded is a fault, also beside one whose test fails", async () => {
  await runTest("fails", "expect(1).toBe(2);");
  writeFileSync(join(root, "broken.test.ts"), 'import { nothing } from "./nowhere.ts";\nnothing();\n');
  const { faults, reports } = await runApart({ root, files: ["fails", "broken"], scratch });
  const failures = reports.flatMap((report) => report.failures);
  expect(failures.filter((text) => text.startsWith("it: "))).toHaveLength(1);
  expect([...faults, ...failures.filter((text) => !text.startsWith("it: "))].length).toBeGreaterThan(0);
});

test("a file without a test that was asked for is no fault", async () => {
  await runTest("other", "");
  const { faults, reports } = await runApart({ root, files: ["other"], scratch, pattern: "none" });
  expect(faults).toEqual([]);
  expect(reports.flatMap(({ passed, failures }) => [passed, ...failures])).toEqual([0]);
});

test("a run that dies, or fails outside of its tests, is a fault", async () => {
  expect((await runTest("dies", "process.exit(0);")).faults).toEqual(["no report: bun test ended with 0"]);
  writeFileSync(
    join(root, "outside.test.ts"),
    'import { test } from "bun:test";\ntest("it", () => {});\nthrow new Error("outside");\n',
  );
  const { faults } = await runApart({ root, files: ["outside"], scratch });
  expect(faults.length).toBe(1);
});
