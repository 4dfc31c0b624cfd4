/** A ring of blocks has room for the packets that arrive while its reader is delayed. */
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
])("a ring of %d blocks hands over a block after %d ms", (blocks, ms) => {
  expect(blockTimeout(blocks)).toBe(ms);
});

test("with 25 blocks or more, the ring is not full before 250 ms", () => {
  for (let blocks = 25; blocks <= 4096; blocks++) {
    expect(blocks * blockTimeout(blocks)).toBeGreaterThanOrEqual(250);
  }
});
