/** Counters that a worker publishes and the main thread reads. */
import { expect, test } from "bun:test";
import { createCounters, createShared, INDEX, viewShared } from "../../src/copy/data-plane/shared.ts";
import { publish, takeCounters } from "../../src/runtime/shared.ts";

test("counters become visible together, when they are published", () => {
  const memory = createShared();
  const worker = viewShared(memory);
  const main = viewShared(memory);
  const counters = createCounters();
  counters[INDEX.turnsCaptured] = 3;
  counters[INDEX.turnsSent] = 2;
  counters[INDEX.turnsPending] = 1;
  expect(takeCounters(main)[INDEX.turnsCaptured]).toBe(0);
  publish(worker, counters);
  const taken = takeCounters(main);
  expect([taken[INDEX.turnsCaptured], taken[INDEX.turnsSent], taken[INDEX.turnsPending]]).toEqual([3, 2, 1]);
  counters[INDEX.turnsSent] = 3;
  expect(taken[INDEX.turnsSent]).toBe(2);
});

test("a reader never sees a part of a round", async () => {
  const memory = createShared();
  const main = viewShared(memory);
  const worker = new Worker(new URL("./publisher.ts", import.meta.url).href);
  const ended = new Promise((resolve) => {
    worker.onmessage = resolve;
  });
  worker.postMessage(memory);
  let different = 0;
  let last = 0;
  while (last < 100_000) {
    const taken = takeCounters(main);
    if (taken[0] !== taken[taken.length - 1]) different++;
    last = taken[0]!;
  }
  await ended;
  worker.terminate();
  expect(different).toBe(0);
});
