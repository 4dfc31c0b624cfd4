/** Help is part of the interface: its text is compared whole. After a change, look at it and copy it here. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { version } from "../../package.json";
import { xcopy } from "./run.ts";

const text = (name: string) =>
  readFileSync(join(import.meta.dir, "help", `${name}.txt`), "utf8").replace(
    /^xcopy VERSION/,
    `xcopy ${version}`,
  );

const COMMANDS = [
  "copy",
  "intercept",
  "record",
  "report",
  "config",
  "top",
  "reload",
  "key",
  "demo",
  "cleanup",
];

describe("help", () => {
  test("of the program", () => {
    expect(xcopy(["--help"])).toEqual({ code: 0, stdout: text("xcopy"), stderr: "" });
    expect(xcopy(["-h"]).stdout).toBe(text("xcopy"));
  });

  test("without a command it goes to stderr, with exit code 2", () => {
    expect(xcopy([])).toEqual({ code: 2, stdout: "", stderr: text("xcopy") });
  });

  test.each(COMMANDS)("of %s", (command) => {
    expect(xcopy([command, "--help"])).toEqual({ code: 0, stdout: text(command), stderr: "" });
    expect(xcopy([command, "-h"]).stdout).toBe(text(command));
  });

  test("of doctor is that of copy, with examples and a --json of its own", () => {
    const { code, stdout } = xcopy(["doctor", "--help"]);
    const optionsOf = (help: string) => help.slice(help.indexOf("What is copied where"));
    const withoutJson = (help: string) => optionsOf(help).replace(/ +--json [\s\S]*?(?=\n +--)/, "");
    expect(stdout.split("\n")[2]).toStartWith("  xcopy doctor -x ");
    expect(withoutJson(stdout)).toBe(withoutJson(text("copy")));
    expect(optionsOf(stdout)).toContain("exit code 3");
    expect(code).toBe(0);
  });

  test("is printed even if the rest of the command line is wrong", () => {
    expect(xcopy(["copy", "-x", "nonsense", "--foo", "-h"]).stdout).toBe(text("copy"));
  });

  test.each(["xcopy", ...COMMANDS])("of %s shows an example first and fits 100 columns", (name) => {
    const lines = text(name).split("\n");
    expect(lines[2]).toStartWith("  xcopy ");
    expect(lines.filter((line) => line.length > 100)).toEqual([]);
  });
});

describe("version", () => {
  test.each([[["--version"]], [["-v"]], [["copy", "-v"]], [["cleanup", "--version"]]])("%j", (words) => {
    expect(xcopy(words)).toEqual({ code: 0, stdout: `xcopy ${version}\n`, stderr: "" });
  });
});
