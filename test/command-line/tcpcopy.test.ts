/** Command lines of tcpcopy 1.x. */
import { expect, test } from "bun:test";
import { COPY } from "../../src/command-line/copy.ts";
import { parseArguments } from "../../src/command-line/reading/arguments.ts";
import { fromTcpcopy } from "../../src/command-line/reading/tcpcopy.ts";
import { parseCopy } from "../../src/copy/options.ts";

const translated = (words: string) => fromTcpcopy(COPY, words.split(" ")).join(" ");

test.each([
  ["-x 80-10.0.0.2 -g", "-x 80-10.0.0.2 -g100"],
  ["-g -x 80-10.0.0.2", "-g100 -x 80-10.0.0.2"],
  ["-Wg -O", "-Wg100 -O"],
  ["-WOg", "-WOg100"],
  // A time is taken where there is one.
  ["-g 50 -W", "-g 50 -W"],
  ["-g50", "-g50"],
  // Not a switch of several letters: the value of -l.
  ["-log -W", "-log -W"],
  ["--gradual 5", "--gradual 5"],
])("%s is %s", (words, means) => {
  expect(translated(words)).toBe(means);
});

test("tcpcopy's bare -g grows for 100 s", () => {
  const words = fromTcpcopy(COPY, ["-x", "80-10.0.0.2", "-Wg", "-r", "20"]);
  expect(parseCopy(parseArguments(COPY, words))).toMatchObject({ ramp: 100e6, sample: 0.2, noWait: true });
});
