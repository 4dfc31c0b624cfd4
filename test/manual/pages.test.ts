/** The manual pages: what readers of roff say of them, and that nothing is left out. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { optionsOf } from "../../src/command-line/command.ts";
import { COMMANDS } from "../../src/command-line/commands.ts";
import { configurationPage } from "../../src/manual/configuration.ts";
import { manualPages } from "../../src/manual/pages.ts";
import { flow } from "../../src/manual/roff.ts";
import { EXIT_CODES } from "../../src/native/failure.ts";

/** A terminal shows bold letters and underlined ones by writing over them. */
const BACKSPACE = String.fromCharCode(8);
const PAGES = manualPages();
const CONFIGURATION_PAGE = "xcopy.toml.5";
const DIRECTORY = mkdtempSync(join(tmpdir(), "xcopy-manual-"));
const files = [...PAGES.keys(), CONFIGURATION_PAGE].map((name) => join(DIRECTORY, name));

beforeAll(() => {
  writeFileSync(join(DIRECTORY, CONFIGURATION_PAGE), `${configurationPage(Object.values(COMMANDS))}\n`);
  for (const [name, text] of PAGES) writeFileSync(join(DIRECTORY, name), `${text}\n`);
});
afterAll(() => rmSync(DIRECTORY, { recursive: true }));

function run(...command: string[]): string {
  const { stdout, stderr } = Bun.spawnSync(command);
  return stderr.toString() + stdout.toString();
}

/** A page as a terminal shows it, without the breaks of lines. */
function shown(name: string): string {
  return run("mandoc", "-Tutf8", "-Owidth=500", join(DIRECTORY, name))
    .replace(new RegExp(`.${BACKSPACE}`, "g"), "")
    .replace(/\s+/g, " ");
}

test("there is one of xcopy, and one of each command", () => {
  const commands = Object.keys(COMMANDS).map((name) => `xcopy-${name}.1`);
  expect([...PAGES.keys()]).toEqual(["xcopy.1", ...commands]);
});

test("mandoc and groff have no warnings", () => {
  // A date would differ between two builds of one version.
  const lint = run("mandoc", "-Tlint", "-Wwarning", ...files).split("\n");
  expect(lint.filter((line) => line !== "" && !line.includes("missing date"))).toEqual([]);
  expect(run("groff", "-ww", "-man", "-Tutf8", "-z", ...files)).toBe("");
});

test("whatis finds them", () => {
  const found = run("lexgrog", ...files)
    .trimEnd()
    .split("\n");
  const summaries = Object.values(COMMANDS).map(({ name, summary }) => `"xcopy-${name} - ${summary}"`);
  expect(found.slice(1, -1).map((line) => line.slice(line.indexOf(": ") + 2))).toEqual(summaries);
  expect(found[0]).toContain('"xcopy - ');
  expect(found.at(-1)).toContain('"xcopy.toml - ');
});

test.each(Object.values(COMMANDS))("of $name has all options and examples", (spec) => {
  const page = shown(`xcopy-${spec.name}.1`);
  for (const { name, details, default: otherwise } of optionsOf(spec)) {
    expect(page).toContain(`--${name}`);
    expect(page.toLowerCase()).toContain(details?.toLowerCase() ?? "");
    expect(page).toContain(otherwise ? `(default: ${otherwise})` : "");
  }
  for (const [line] of spec.examples) expect(page).toContain(line);
  for (const title of ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "EXIT STATUS", "SEE ALSO"])
    expect(page).toContain(` ${title} `);
});

test("that of the configuration file has the options of each table", () => {
  const page = shown(CONFIGURATION_PAGE);
  for (const line of [
    "[copy]",
    "transfer = [LIST, ...]",
    "insecure = true",
    "[intercept]",
    "[record]",
    "rotate-time = TIME",
  ])
    expect(page).toContain(line);
  expect(page).not.toMatch(/ (only|config|dry-run) = /);
});

test("that of xcopy has all exit codes", () => {
  const page = shown("xcopy.1");
  for (const [code, meaning] of Object.entries(EXIT_CODES)) expect(page).toContain(`${code} ${meaning}.`);
});

test("no line of a text is taken for a request", () => {
  const written = flow(`${"x".repeat(77)} .pp 'c \\n`);
  expect(written).toEqual(["x".repeat(77), "\\&.pp \\(aqc \\en"]);
});
