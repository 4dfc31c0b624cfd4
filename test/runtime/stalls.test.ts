/** Workers that stand still are noticed, and that they go on. */
import { expect, test } from "bun:test";
import { createCounters, createShared, viewShared } from "../../src/copy/data-plane/shared.ts";
import { publish } from "../../src/runtime/shared.ts";
import { Stalls } from "../../src/runtime/stalls.ts";

test("a stalled worker is reported once, and again when it runs again", () => {
  const views = [0, 1].map(() => ({ shared: viewShared(createShared()), isDead: false }));
  const stalls = new Stalls(views);
  const look = (...moving: number[]) => {
    for (const worker of moving) publish(views[worker]!.shared, createCounters());
    return stalls.look();
  };
  for (let time = 0; time < 5; time++) expect(look(0, 1)).toEqual([]);
  for (let time = 0; time < 3; time++) expect(look(0)).toEqual([]);
  expect(look(0)).toEqual([{ worker: 1, stands: true }]);
  expect(look(0)).toEqual([]);
  expect(look(0, 1)).toEqual([{ worker: 1, stands: false }]);
  expect(look(0)).toEqual([]);
  expect(look(0, 1)).toEqual([]);
});

test("a worker that has died is not reported", () => {
  const views = [{ shared: viewShared(createShared()), isDead: true }];
  const stalls = new Stalls(views);
  for (let time = 0; time < 10; time++) expect(stalls.look()).toEqual([]);
});
