/** `xcopy key`, as a user sees it. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mistake, xcopy } from "./run.ts";

const directory = mkdtempSync(join(tmpdir(), "xcopy-key-"));
afterAll(() => rmSync(directory, { recursive: true }));

test("makes a key once: its fingerprint is data, what to do next is talk", () => {
  const path = join(directory, "key");
  const { code, stdout, stderr } = xcopy(["key", path]);
  expect(stdout).toMatch(/^SHA256:[\w+/]{22}\n$/);
  expect(stderr).toStartWith(`made ${path}: take it to the other hosts ("scp -p ${path} root@HOST:`);
  expect(code).toBe(0);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  const text = readFileSync(path, "utf8");
  expect(stdout + stderr).not.toContain(text.slice(0, 8));
  expect(xcopy(["key", path])).toMatchObject({ code: 2, stdout: "" });
  expect(readFileSync(path, "utf8")).toBe(text);
});

test("needs one name", () => {
  expect(xcopy(["key"])).toEqual(
    mistake(2, 'Cannot run "key": it needs a value, FILE', 'Write it as "xcopy key FILE".'),
  );
  const two = xcopy(["key", join(directory, "one"), "two"]);
  expect([two.code, two.stderr]).toEqual([
    2,
    expect.stringContaining('Cannot use "two": it belongs to no option'),
  ]);
});
