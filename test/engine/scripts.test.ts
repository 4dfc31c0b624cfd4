/**
 * Rules of TCP, one script each (see script.ts), played near the places where sequence numbers wrap around and change their
 * sign, and at ordinary ones.
 */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Numbers, playScript } from "./play.ts";

const DIRECTORY = join(import.meta.dir, "scripts");

const NUMBERS: Record<string, Numbers> = {
  ordinary: { client: 1000, online: 500_000, target: 20_000_000, engine: 3_000_000_000 },
  "around 2^32": { client: 2 ** 32 - 100, online: 2 ** 32 - 60, target: 2 ** 32 - 110, engine: 2 ** 32 - 90 },
  "around 2^31": { client: 2 ** 31 - 100, online: 2 ** 31 - 60, target: 2 ** 31 - 110, engine: 2 ** 31 - 90 },
  "first byte 0": { client: 2 ** 32 - 1, online: 2 ** 32 - 1, target: 2 ** 32 - 1, engine: 2 ** 32 - 1 },
};

/** A script may say that it shows a known defect: `// DEFECT`, or `// DEFECT at NAME, NAME` of some numbers. */
function isDefect(source: string, name: string): boolean {
  const mark = /^\/\/ DEFECT(?: at (.*))?$/m.exec(source);
  return mark !== null && (mark[1] === undefined || mark[1].split(", ").includes(name));
}

for (const file of readdirSync(DIRECTORY).sort()) {
  const source = readFileSync(join(DIRECTORY, file), "utf8");
  const title = source.slice(0, source.indexOf("\n")).replace(/^\/\/ */, "");
  describe(`${file}: ${title}`, () => {
    for (const [name, numbers] of Object.entries(NUMBERS)) {
      (isDefect(source, name) ? test.failing : test)(name, () => {
        expect(playScript(file, source, numbers)).toBe("");
      });
    }
  });
}
