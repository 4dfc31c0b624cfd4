/** The units of systemd in packaging/systemd: what they allow is what docs/security.md says, and a good grade of systemd itself. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const DOCS = join(import.meta.dir, "../../docs");
const needs = readFileSync(join(DOCS, "security.md"), "utf8").split("\n");

/** The names in a row of the table whose cells are "yes". */
function needsOf(mode: string): string[] {
  const cells = (row: string) => row.split("|").map((cell) => cell.trim());
  const names = cells(needs.find((line) => line.startsWith("| what runs | CAP_"))!);
  const row = cells(needs.find((line) => line.startsWith(`| \`${mode}`))!);
  return names.filter((_, index) => row[index] === "yes");
}

describe.each([
  ["xcopy-copy@.service", "copy --capture tcx"],
  ["xcopy-intercept@.service", "intercept --mode target"],
])("%s", (name, mode) => {
  const path = join(import.meta.dir, "../../packaging/systemd", name);
  const unit = readFileSync(path, "utf8");

  test("gives what the mode needs, and no more", () => {
    const setting = (key: string) => new RegExp(`^${key}=(.*)$`, "m").exec(unit)![1]!.split(" ");
    expect(setting("AmbientCapabilities")).toEqual(needsOf(mode));
    expect(setting("CapabilityBoundingSet")).toEqual(needsOf(mode));
  });

  test("starts without the secrets that it would hand over", () => {
    const named = (key: string) => [...unit.matchAll(new RegExp(`^${key}=([^:]+):(.*)$`, "gm"))];
    expect(named("LoadCredential").length).toBeGreaterThan(0);
    expect(named("SetCredential").map(([, credential]) => credential)).toEqual(
      named("LoadCredential").map(([, credential]) => credential),
    );
    expect(named("SetCredential").every(([, , text]) => text === "\\n")).toBe(true);
  });

  test.skipIf(Bun.which("systemd-analyze") === null)("has an exposure of 3.0 at most", () => {
    const words = ["security", "--offline=true", "--threshold=30", "--no-pager", path];
    const { exitCode, stdout, stderr } = Bun.spawnSync(["systemd-analyze", ...words]);
    const said = stdout.toString() + stderr.toString();
    expect(said).toContain("Overall exposure level");
    expect({ exitCode, said: exitCode === 0 ? "" : said }).toEqual({ exitCode: 0, said: "" });
  });
});
