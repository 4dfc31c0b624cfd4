/** docs/security.md has a table of what each mode needs: with one capability less the start says which. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { KEY } from "../support/key.ts";
import { patient } from "../support/patience.ts";
import { ALONE } from "./run.ts";

const MAIN = join(import.meta.dir, "../../src/main.ts");
const DOCUMENT = readFileSync(join(import.meta.dir, "../../docs/security.md"), "utf8");

/** The rows of the table: the first word of each mode with its capabilities that are "yes". */
function needsOf(mode: string): string[] {
  const table = DOCUMENT.slice(DOCUMENT.indexOf("<!-- needs -->"), DOCUMENT.indexOf("<!-- end -->"));
  const rows = table.split("\n").filter((line) => line.startsWith("|"));
  const cells = (row: string) =>
    row
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim());
  const [, ...names] = cells(rows[0]!);
  const found = rows.map(cells).filter(([what]) => what!.startsWith(`\`${mode}`));
  expect([mode, found.length]).toEqual([mode, 1]);
  return names.filter((_, index) => found[0]![index + 1] === "yes");
}

/** Starts xcopy as nobody with these capabilities. */
async function start(words: string[], capabilities: string[]) {
  const some = ["-all", ...capabilities.map((name) => `+${name.replace("CAP_", "").toLowerCase()}`)].join();
  const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
  const sets = ["bounding-set", "inh-caps", "ambient-caps"].map((set) => `--${set}=${some}`);
  const running = Bun.spawn([...ALONE, ...nobody, ...sets, process.execPath, MAIN, ...words], {
    env: { ...process.env, NO_COLOR: "1", XCOPY_KEY: KEY },
    stdout: "ignore",
    stderr: "pipe",
    timeout: patient(60_000),
  });
  return { code: await running.exited, errors: await running.stderr.text() };
}

const TRANSFER = ["-x", "80-127.0.0.1:81"];

describe.each([
  ["copy --capture tcx", ["copy", "--capture", "tcx", ...TRANSFER]],
  ["copy --capture packet", ["copy", "--capture", "packet", ...TRANSFER]],
  ["intercept --mode target", ["intercept", "-o", ":80"]],
  ["intercept --mode nfqueue", ["intercept", "--mode", "nfqueue", "-o", ":80"]],
  ["record", ["record", "-x", "80", "-w", "/nowhere/file"]],
])("%s", (mode, words) => {
  const needs = needsOf(mode);

  test.concurrent.each(needs)("without %s", async (missing) => {
    const rest = needs.filter((name) => name !== missing);
    const { code, errors } = await start(words, rest);
    expect(errors).toMatch(
      new RegExp(`^Cannot .*: this process lacks (?=.*${missing}).*\n.*${missing} \\w`, "m"),
    );
    for (const given of rest) expect(errors).not.toContain(`lacks ${given}`);
    expect(code).toBe(4);
  });
});
