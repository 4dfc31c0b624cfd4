/** The comparison of what two services were asked. */
import { expect, test } from "bun:test";
import { compareContents, EXACTLY_ONCE } from "./compare.ts";

test("the same requests in any order are copied exactly once", () => {
  expect(compareContents(["a", "b", "b"], ["b", "a", "b"])).toEqual(EXACTLY_ONCE);
});

test("what is missing, doubled or foreign is named as often as it is", () => {
  expect(compareContents(["a", "a", "a", "b", "c"], ["a", "b", "b", "b", "d", "d"])).toEqual({
    missing: ["a", "a", "c"],
    doubled: ["b", "b"],
    foreign: ["d", "d"],
  });
});
