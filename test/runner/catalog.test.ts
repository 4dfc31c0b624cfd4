/** What bin/test finds, and what of it runs together. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { choose, findTests, type TestFile, tasksOf } from "./catalog.ts";

const FILES = {
  "engine/wheel.test.ts": 'import { test } from "bun:test";\nimport { turn } from "./turn.ts";',
  "engine/turn.ts": 'import type { Lab } from "../support/lab.ts";\nexport const turn = 1;',
  "engine/kernel.test.ts": 'import { far } from "../support/far.ts";\nimport "./circle.ts";',
  "engine/circle.ts": 'import "./kernel.test.ts";',
  "support/far.ts": 'import { createLab } from "./lab.ts";\nexport const far = createLab;',
  "support/lab.ts": 'Bun.spawnSync(["ip", "netns", "add", "lab"]);',
  "e2e/http.test.ts": "/** The main thing. */\n// Runs alone: it takes all of the machine.",
  "e2e/http-module.test.ts": "",
  "layout.test.ts": "",
};

let root: string;
let tests: TestFile[];
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "catalog-"));
  for (const [path, text] of Object.entries(FILES)) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  tests = findTests(root);
});
afterAll(() => rmSync(root, { recursive: true }));

test("what a file needs is found in it and in what it imports", () => {
  expect(tests).toEqual([
    { name: "e2e/http", kind: "alone" },
    { name: "e2e/http-module", kind: "hosts" },
    { name: "engine/kernel", kind: "hosts" },
    { name: "engine/wheel", kind: "plain" },
    { name: "layout", kind: "plain" },
  ]);
});

test.each([
  [["engine"], ["engine/kernel", "engine/wheel"]],
  [["e2e/http"], ["e2e/http", "e2e/http-module"]],
  [["e2e/http.test"], ["e2e/http"]],
  [
    ["./test/e2e/http-module.test.ts", "lay"],
    ["e2e/http-module", "layout"],
  ],
  [["test/engine/"], ["engine/kernel", "engine/wheel"]],
])("%j chooses %j", (words, names) => {
  const { chosen, unknown } = choose(tests, words);
  expect(chosen.map(({ name }) => name)).toEqual(names);
  expect(unknown).toEqual([]);
});

test("without a word all are chosen; a word that is no beginning is named", () => {
  expect(choose(tests, []).chosen).toEqual(tests);
  expect(choose(tests, ["engine", "wheel"]).unknown).toEqual(["wheel"]);
});

test("the plain files of a directory run together and first, then what runs alone, then what has hosts, a file at a time, the longest first", () => {
  const more: TestFile = { name: "engine/arena", kind: "plain" };
  const machines: TestFile = { name: "kernels/load", kind: "hosts" };
  expect(tasksOf([...tests, more, machines])).toEqual([
    { name: "engine, without namespaces", files: ["engine/wheel", "engine/arena"], kind: "plain" },
    { name: "layout", files: ["layout"], kind: "plain" },
    { name: "e2e/http", files: ["e2e/http"], kind: "alone" },
    { name: "kernels/load", files: ["kernels/load"], kind: "hosts" },
    { name: "e2e/http-module", files: ["e2e/http-module"], kind: "hosts" },
    { name: "engine/kernel", files: ["engine/kernel"], kind: "hosts" },
  ]);
});
