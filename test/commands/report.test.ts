/** `xcopy report`: what it prints and writes, and what it says of files that are none. */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Report } from "../../src/compare/report.ts";
import { renderPage } from "../../src/report/page.ts";
import { readReport } from "../../src/report/read.ts";
import { renderReport } from "../../src/report/text.ts";
import { madeReport } from "../report/made.ts";
import { mistake, xcopy } from "./run.ts";

const directory = mkdtempSync(join(tmpdir(), "xcopy-report-"));
afterAll(() => rmSync(directory, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

const report = madeReport(20, 30);
const path = file("run.json", JSON.stringify(report, null, 1));

describe("one report", () => {
  test("as text: the verdict first, then figures, then the worst endpoints", () => {
    const { code, stdout, stderr } = xcopy(["report", path]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const lines = stdout.split("\n");
    expect(lines[0]).toBe(report.verdict.text);
    expect(stdout).toContain("  errors>0.1% broke: 0.6 % of 188,000 requests\n");
    expect(lines.find((line) => line.startsWith("errors "))).toContain(report.errors.toLocaleString("en-US"));
    const worst = report.endpoints[0]!;
    expect(lines.find((line) => line.includes("%  ") && line.includes(worst.name))).toContain(
      `${worst.method} ${worst.name}`,
    );
    expect(stdout).toContain("    status 200 -> 500: ");
  });

  test("as JSON, and as a page", () => {
    const html = join(directory, "run.html");
    expect(JSON.parse(xcopy(["report", path, "--json", "--html", html]).stdout)).toEqual(report);
    expect(readFileSync(html, "utf8")).toBe(renderPage(report, { live: false }));
  });

  test("the executable carries the page", () => {
    const html = join(directory, "built.html");
    const executable = join(import.meta.dir, "../../dist/xcopy");
    expect(existsSync(executable)).toBe(true);
    const { exitCode, stderr } = Bun.spawnSync([executable, "report", path, "--html", html]);
    expect({ exitCode, stderr: stderr.toString() }).toEqual({ exitCode: 0, stderr: "" });
    expect(readFileSync(html, "utf8")).toBe(renderPage(report, { live: false }));
  });

  test("nothing in it moves the cursor or colours the terminal", () => {
    const evil = structuredClone(report);
    evil.verdict.text = "\u001b[2J\u202efine";
    evil.services = ["\u009b31m"];
    for (const endpoint of evil.endpoints) {
      endpoint.name = "/\u001b]0;title\u0007\r\n";
      for (const difference of endpoint.differences) difference.where = "$.\u001b[1A";
    }
    expect(renderReport(evil).replaceAll("\n", "")).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u);
  });
});

test("two reports: what changed, as text, JSON and a page", () => {
  const after = structuredClone(report);
  const worse = after.endpoints.at(-1)!;
  worse.errors = worse.count;
  const newer = file("new.json", JSON.stringify(after));
  const { code, stdout } = xcopy(["report", path, newer]);
  expect(code).toBe(0);
  expect(stdout).toContain(worse.name);
  expect(JSON.parse(xcopy(["report", path, newer, "--json"]).stdout).endpoints.length).toBe(20);
  const html = join(directory, "runs.html");
  expect(xcopy(["report", path, newer, "--html", html])).toEqual({ code: 0, stdout: "", stderr: "" });
  expect(readFileSync(html, "utf8")).toContain('data-kind="runs"');
});

describe("what is none", () => {
  const whole = "Give the file that xcopy copy --report FILE.json wrote, all of it.";

  test.each([
    ["empty", "", "it is empty", whole],
    ["cut off", JSON.stringify(report).slice(0, -10), "it is not JSON, or a part of it is missing", whole],
    ["a page", "<!doctype html>", "it is not JSON, or a part of it is missing", whole],
    [
      "newer",
      '{"xcopy":{"report":2}}',
      "it has version 2 of the format, this xcopy reads 1",
      "Read it with the xcopy that wrote it, or a newer one.",
    ],
  ])("%s is refused", (name, text, cause, fix) => {
    const path = file(`${name}.json`, text);
    expect(xcopy(["report", path])).toEqual(mistake(2, `Cannot read the report "${path}": ${cause}`, fix));
  });

  test.each([
    ["null"],
    ["[]"],
    ["{}"],
    ["1"],
    ['"x"'],
    ['{"xcopy":null}'],
    ['{"xcopy":{"report":"1"}}'],
    ['{"xcopy":{"report":1}}'],
  ])("%s is no report", (text) => {
    expect(() => readReport(text, "x.json")).toThrow('Cannot read the report "x.json": ');
  });

  test("any value in the place of another is refused or rendered, and never a crash", () => {
    const small: Report = JSON.parse(JSON.stringify(madeReport(1, 1)), (key, value) =>
      key === "curve" ? value.slice(0, 2) : key === "account" ? {} : value,
    );
    const odd = [null, -1, "x", [], {}, true, 1e308];
    const visit = (value: unknown, set: (value: unknown) => void): void => {
      if (typeof value !== "object" || value === null) return;
      for (const key of Object.keys(value)) {
        const holder = value as Record<string, unknown>;
        const before = holder[key];
        for (const other of odd) {
          holder[key] = other;
          set(other);
        }
        holder[key] = before;
        visit(before, set);
      }
    };
    visit(small, () => {
      let read: Report;
      try {
        read = readReport(JSON.stringify(small), "x.json");
      } catch (error) {
        expect((error as Error).message).toStartWith('Cannot read the report "x.json": ');
        return;
      }
      renderReport(read);
    });
  });

  test("a page never takes the place of a report", () => {
    const message = `Cannot write --html "${path}": it is the report that is read`;
    const fix = "Give the page a name of its own, such as run.html.";
    expect(xcopy(["report", path, "--html", path])).toEqual(mistake(2, message, fix));
    expect(JSON.parse(readFileSync(path, "utf8"))).toEqual(report);
  });

  test("a file that is not there, and a page that cannot be written", () => {
    const gone = xcopy(["report", join(directory, "gone.json")]);
    expect([gone.code, gone.stderr.split("\n")[1]]).toEqual([2, "Name a file that can be read."]);
    const html = join(directory, "no/such/place.html");
    const { code, stderr } = xcopy(["report", path, "--html", html]);
    expect([code, stderr.split("\n")[0]]).toEqual([
      1,
      `Cannot write --html "${html}": ENOENT: no such file or directory`,
    ]);
  });
});
