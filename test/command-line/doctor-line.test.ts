/** The command line of doctor that a copy which cannot start points to. */
import { expect, test } from "bun:test";
import { COPY } from "../../src/command-line/copy.ts";
import { doctorFor } from "../../src/command-line/reading/doctor-line.ts";
import { load } from "../../src/command-line/reading/load.ts";

const lineFor = (words: string[], environment: Record<string, string> = {}) =>
  doctorFor(load(COPY, words, environment, "/").settings);

test("it has the options of the copy, as a shell reads them back", () => {
  const words = ["-x", "80-10.0.0.2|10.0.0.3*2", "--intercepts", "10.0.0.2", "-F", "host 'a'", "--insecure"];
  const line = lineFor(words);
  const read = Bun.spawnSync(["sh", "-c", `set -- ${line}; printf '%s\n' "$@"`]).stdout.toString();
  expect(read.trimEnd().split("\n").slice(0, 2)).toEqual(["xcopy", "doctor"]);
  expect(read.trimEnd().split("\n").slice(2).sort()).toEqual(
    ["-x", "80-10.0.0.2|10.0.0.3*2", "-s", "10.0.0.2", "-F", "host 'a'", "--insecure"].sort(),
  );
});

test("passwords, and what says nothing about the way, are left out", () => {
  const line = lineFor(["-x", "3306-10.0.0.2", "-u", "app@secret", "-l", "/var/log/x", "--json", "--force"]);
  expect(line).toBe("xcopy doctor -x 3306-10.0.0.2");
});

test("what the environment gives is not repeated: doctor hears of it as the copy does", () => {
  expect(lineFor(["-x", "80-10.0.0.2"], { XCOPY_MEMORY: "64" })).toBe("xcopy doctor -x 80-10.0.0.2");
});
