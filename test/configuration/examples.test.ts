/** The example files of the packages: good as they are, and with each paragraph of options that is commented out. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { COPY } from "../../src/command-line/copy.ts";
import { INTERCEPT } from "../../src/command-line/intercept.ts";
import { checkFile } from "../../src/configuration/check.ts";

const directory = mkdtempSync(join(tmpdir(), "xcopy-examples-"));
afterAll(() => rmSync(directory, { recursive: true }));
writeFileSync(join(directory, "mysql-users"), "app@secret\n", { mode: 0o600 });

const OPTION = /^#(?=[a-z-]+ = |\[)/;

function check(text: string): { problems: string[]; contents: string } {
  writeFileSync(join(directory, "f.toml"), text, { mode: 0o600 });
  const { problems, contents } = checkFile("f.toml", directory);
  return { problems: problems.map(({ message }) => message), contents };
}

describe.each([
  ["copy", COPY],
  ["intercept", INTERCEPT],
])("%s.toml.example", (_, spec) => {
  const text = readFileSync(
    join(import.meta.dir, `../../packaging/config/${spec.name}.toml.example`),
    "utf8",
  );
  const paragraphs = text.split("\n\n");

  test("is good as it is", () => {
    expect(check(text)).toEqual({ problems: [], contents: `1 ${spec.name}` });
  });

  const commented = paragraphs.filter((paragraph) => /^#[a-z[]/m.test(paragraph));
  test.each(commented)("is good with %j", (paragraph) => {
    const lines = paragraph.split("\n").map((line) => line.replace(OPTION, ""));
    const changed = text.replace(paragraph, lines.join("\n"));
    expect(changed).not.toBe(text);
    expect(check(changed).problems).toEqual([]);
  });

  test("has an option of every group", () => {
    const written = [...text.matchAll(/^#?([a-z-]+) = /gm)].map(([, name]) => name);
    const missing = Object.entries(spec.groups).filter(
      ([, options]) => !options.some(({ name }) => written.includes(name) || name === "config"),
    );
    expect(missing.map(([title]) => title)).toEqual([]);
  });
});
