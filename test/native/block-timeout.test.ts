/** Rings of blocks hold what comes while their reader is held up. */
import { expect, test } from "bun:test";
import { blockTimeout } from "../../src/native/block-timeout.ts";

test.each([
  [4096, 2],
  [125, 2],
  [124, 3],
  [42, 6],
  [32, 8],
  [25, 10],
  [8, 10],
])("a ring of %d blocks hands one over after %d ms", (blocks, ms) => {
  expect(blockTimeout(blocks)).toBe(ms);
});

test("where there are enough of them, all are used up after a quarter of a second", () => {
  for (let blocks = 25; blocks <= 4096; blocks++) {
    expect(blocks * blockTimeout(blocks)).toBeGreaterThanOrEqual(250);
  }
});
