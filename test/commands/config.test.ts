/** Configuration files as a user meets them. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mistake, xcopy } from "./run.ts";

const directory = mkdtempSync(join(tmpdir(), "xcopy-config-"));
afterAll(() => rmSync(directory, { recursive: true }));

const path = join(directory, "shop.toml");
writeFileSync(
  path,
  '[copy]\ntransfer = "80-127.0.0.2:8080"\n[copy.one]\nmemory = 64\n[copy.two]\npace = "slow"\n',
);

test("check says what is wrong and where, with exit code 2; --only runs what is right", () => {
  const cause = `Cannot use ${path}:6:8 pace "slow": no such pace`;
  expect(xcopy(["config", "check", path])).toEqual(mistake(2, cause, "Give clock, think or fast."));
  expect(xcopy(["copy", "--config", path, "--only", "two"])).toEqual(
    mistake(2, cause, "Give clock, think or fast."),
  );
  const { code, stdout } = xcopy(["copy", "--config", path, "--only", "one", "--dry-run", "-m", "65"]);
  expect(stdout).toContain("127.0.0.2:8080");
  expect(stdout).toContain("up to 65 MB for requests");
  expect(code).toBe(0);
});

test("what xcopy config takes", () => {
  expect(xcopy(["config", "chekc", path])).toEqual(
    mistake(
      2,
      'Cannot run "config chekc": there is no such command',
      'Did you mean "check"? There are: "xcopy config check FILE", "xcopy config show FILE" and "xcopy config schema".',
    ),
  );
  expect(xcopy(["config", "show"])).toEqual(
    mistake(2, 'Cannot run "config show": it needs a file', 'Write it as "xcopy config show FILE".'),
  );
  expect(JSON.parse(xcopy(["config", "schema"]).stdout)).toMatchObject({ title: "xcopy" });
});

test("called as tcpcopy, only the command line and --config count", () => {
  process.env.XCOPY_MEMORY = "1";
  try {
    const words = ["--config", path, "--only", "one", "--dry-run"];
    expect(xcopy(words, { calledAs: "tcpcopy" })).toMatchObject({ code: 0 });
    expect(xcopy(["copy", ...words])).toEqual(
      mistake(
        2,
        'Cannot use XCOPY_MEMORY "1": not a whole number from 16 to 65536',
        "Give a whole number from 16 to 65536 MB.",
      ),
    );
  } finally {
    delete process.env.XCOPY_MEMORY;
  }
});
