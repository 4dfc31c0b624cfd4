/** Memory for payload: pieces of a reserve that is made ready, and others. */
import { expect, test } from "bun:test";
import {
  HUGE_PAGE,
  HugePages,
  mapReserve,
  prepareNext,
  stopWaiting,
  whenTaken,
} from "../../src/native/page.ts";

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

test("no more is made ready than a burst needs, until some of it is given out", async () => {
  const reserve = mapReserve(100 * HUGE_PAGE);
  let ready = 0;
  while (prepareNext(reserve)) ready++;
  expect(ready).toBeLessThan(20);
  const pages = new HugePages(reserve);
  const taken = whenTaken(reserve);
  pages.take();
  await taken;
  expect([prepareNext(reserve), prepareNext(reserve)]).toEqual([true, false]);
  // Given out between the two calls: nothing is to be waited for.
  pages.take();
  await whenTaken(reserve);

  expect([prepareNext(reserve), prepareNext(reserve)]).toEqual([true, false]);
  const stopped = whenTaken(reserve);
  stopWaiting(reserve);
  await stopped;
});
