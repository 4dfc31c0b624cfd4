/** Memory for payload: pieces of a reserve that is made ready, and others. */
import { expect, test } from "bun:test";
import { HUGE_PAGE, HugePages, mapReserve, prepareNext } from "../../src/native/page.ts";

const isZero = (piece: ArrayBuffer) => new Uint8Array(piece).every((byte) => byte === 0);

test("what is ready of a reserve is given out, and other memory where nothing is", () => {
  const reserve = mapReserve(3 * HUGE_PAGE + 1);
  expect(reserve.pieces).toBe(3);
  const pages = new HugePages(reserve);
  const pieces = [pages.take()];
  expect([prepareNext(reserve), prepareNext(reserve)]).toEqual([true, true]);
  pieces.push(pages.take(), pages.take(), pages.take());
  expect(prepareNext(reserve)).toBe(true);
  pieces.push(pages.take());
  expect(prepareNext(reserve)).toBe(false);

  expect(pieces.map(({ byteLength }) => byteLength)).toEqual(Array(5).fill(HUGE_PAGE));
  expect(pieces.every(isZero)).toBe(true);
  // Each is memory of its own.
  for (const [index, piece] of pieces.entries()) new Uint8Array(piece).fill(index + 1);
  expect(pieces.map((piece) => new Set(new Uint8Array(piece)))).toEqual(
    pieces.map((_, index) => new Set([index + 1])),
  );
});

test("less than a piece is no reserve", () => {
  const reserve = mapReserve(HUGE_PAGE - 1);
  expect(reserve.pieces).toBe(0);
  expect(prepareNext(reserve)).toBe(false);
  expect(new HugePages(reserve).take().byteLength).toBe(HUGE_PAGE);
});
