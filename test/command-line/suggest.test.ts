/** "Did you mean": the nearest of a few known words. */
import { expect, test } from "bun:test";
import { suggest } from "../../src/command-line/reading/suggest.ts";

const known = ["--transfer", "--timeout", "--json", "--log", "--stats-interval", "copy", "cleanup"];

test.each([
  ["--transfers", "--transfer"],
  ["--tranfser", "--transfer"],
  ["--jsno", "--json"],
  ["--stats", "--stats-interval"],
  ["--time-out", "--timeout"],
  ["cpoy", "copy"],
  ["clean", "cleanup"],
  ["--quiet", null],
  ["x", null],
  ["", null],
])("%s is meant as %s", (word, meant) => {
  expect(suggest(word, known)).toBe(meant);
});
