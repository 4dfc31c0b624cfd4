/**
 * Help is part of the interface: its text is compared whole. After a change, write the files again with
 * `HELP=write bun test test/commands/help.test.ts`, and look at what changed.
 */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { version } from "../../package.json";
import { type CommandSpec, groupsOf } from "../../src/command-line/command.ts";
import { COMMANDS } from "../../src/command-line/commands.ts";
import { DOCTOR } from "../../src/command-line/doctor.ts";
import {
  helpWidth,
  renderHelp,
  renderOverview,
  renderShortHelp,
} from "../../src/command-line/reading/help.ts";
import { xcopy } from "./run.ts";

const DIRECTORY = join(import.meta.dir, "help");
const SPECS: CommandSpec[] = Object.values(COMMANDS);
const overview = {
  summary: "copies the live requests of a production service to a test service",
  commands: SPECS,
};

/** By the name of its file: every help text, as it goes to a pipe. */
const TEXTS: Record<string, string> = {
  xcopy: renderOverview({ ...overview, isShort: false }, 100),
  "xcopy-h": renderOverview({ ...overview, isShort: true }, 100),
  ...Object.fromEntries(
    SPECS.flatMap((spec): [string, string][] => [
      // The options of copy again.
      ...(spec === DOCTOR ? [] : ([[spec.name, renderHelp(spec, 100)]] as [string, string][])),
      [`${spec.name}-h`, renderShortHelp(spec, 100)],
    ]),
  ),
};
const path = (name: string) => join(DIRECTORY, `${name}.txt`);
const stored = (text: string) => `${text.replace(/^xcopy [0-9.]+:/, "xcopy VERSION:")}\n`;

if (process.env.HELP === "write") {
  for (const [name, text] of Object.entries(TEXTS)) writeFileSync(path(name), stored(text));
}

const written = (name: string) =>
  readFileSync(path(name), "utf8").replace("xcopy VERSION", `xcopy ${version}`);

describe("help", () => {
  test.each(Object.keys(TEXTS))("%s is as it was looked at", (name) => {
    expect(stored(TEXTS[name]!)).toBe(readFileSync(path(name), "utf8"));
  });

  test("has no file of what is no command", () => {
    expect(readdirSync(DIRECTORY).toSorted()).toEqual(
      Object.keys(TEXTS)
        .map((name) => `${name}.txt`)
        .toSorted(),
    );
  });

  test("is printed for --help, the short one for -h, to stderr where no command is named", () => {
    expect(xcopy(["--help"])).toEqual({ code: 0, stdout: written("xcopy"), stderr: "" });
    expect(xcopy(["-h"])).toEqual({ code: 0, stdout: written("xcopy-h"), stderr: "" });
    expect(xcopy([])).toEqual({ code: 2, stdout: "", stderr: written("xcopy-h") });
    expect(xcopy(["copy", "--help"])).toEqual({ code: 0, stdout: written("copy"), stderr: "" });
  });

  test("of doctor is that of copy, with examples and a --json of its own", () => {
    const optionsOf = (help: string) => help.slice(help.indexOf("What is copied where"));
    const withoutJson = (help: string) => optionsOf(help).replace(/ +--json .*?(?=\n +--)/s, "");
    const help = renderHelp(DOCTOR, 100);
    expect(help.split("\n")[2]).toStartWith("  xcopy doctor -x ");
    expect(withoutJson(help)).toBe(withoutJson(TEXTS.copy!));
    expect(optionsOf(help)).toContain("exit code 3");
  });

  test("is printed even if the rest of the command line is wrong", () => {
    expect(xcopy(["copy", "-x", "nonsense", "--foo", "-h"]).stdout).toBe(written("copy-h"));
  });

  test("-h fits a screen of 24 lines and 80 columns, with the next prompt", () => {
    const short = SPECS.map((spec): [string, string] => [spec.name, renderShortHelp(spec, 80)]);
    short.push(["xcopy", renderOverview({ ...overview, isShort: true }, 80)]);
    const lines = short.map(([name, text]): [string, number] => [name, text.split("\n").length]);
    expect(lines.filter(([, count]) => count > 23)).toEqual([]);
  });

  test.each(Object.keys(TEXTS))("%s shows an example first", (name) => {
    expect(TEXTS[name]!.split("\n")[2]).toStartWith("  xcopy ");
  });

  test.each([
    [undefined, 100],
    [240, 100],
    [80, 80],
    [20, 40],
  ])("on a terminal of %p columns it has %i", (columns, width) => {
    expect(helpWidth(columns)).toBe(width);
  });

  test.each([40, 60, 80, 100])("in %i columns no text is wider, and none is lost", (width) => {
    const words = (text: string) => text.split(/\s+/).toSorted();
    for (const spec of SPECS) {
      for (const render of [renderHelp, renderShortHelp]) {
        const narrow = render(spec, width);
        // A word that is longer cannot be broken.
        const long = narrow.split("\n").filter((line) => line.length > width && line.trim().includes(" "));
        expect(long).toEqual([]);
        expect(words(narrow)).toEqual(words(render(spec, 100)));
      }
    }
  });
});

describe("the options", () => {
  test.each(SPECS)("of $name begin with a short sentence, and say defaults in one form", (spec) => {
    for (const { name, help, details = "", default: otherwise = "" } of Object.values(
      groupsOf(spec),
    ).flat()) {
      expect(`${name}: ${help}`).toMatch(/^[^:]+: .{1,120}$/);
      expect(`${name}: ${help}`).not.toMatch(/: [A-Z][a-z]|\.$|\. [A-Z]/);
      expect(`${name}: ${help} ${details} ${otherwise}`).not.toMatch(/\(default|\.$/);
    }
  });

  test("have letters and long names of their own in each command", () => {
    for (const spec of SPECS) {
      const all = Object.values(groupsOf(spec)).flat();
      const names = all.flatMap(({ name, short }) => (short ? [name, short] : [name]));
      expect(new Set(names).size).toBe(names.length);
    }
  });
});

describe("version", () => {
  test.each([[["--version"]], [["copy", "-v"]]])("%j", (words) => {
    expect(xcopy(words)).toEqual({ code: 0, stdout: `xcopy ${version}\n`, stderr: "" });
  });
});
