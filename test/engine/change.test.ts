/** Limits and targets that change while engines run. */
import { describe, expect, test } from "bun:test";
import { alone, clearTurns, shareWords, TurnLimit } from "../../src/engine/sessions/share.ts";
import { NONE } from "../../src/engine/sessions/table.ts";
import { Users } from "../../src/engine/sessions/users.ts";
import { faultOfBooks } from "./books.ts";
import { client, Simulation, texts } from "./simulation.ts";

const SECOND = 1_000_000;

/** Turns that are let through in a second, of one each ms. */
function taken(limits: TurnLimit[], from: number): number {
  let count = 0;
  for (let ms = 0; ms < 1000; ms++) {
    for (const limit of limits) if (limit.take(from + ms * 1000)) count++;
  }
  return count;
}

describe("a limit of turns that changes", () => {
  const cases: [before: number, after: number][] = [
    [100, 10],
    [10, 500],
    [0, 200],
    [200, 0],
  ];
  test.each(cases)("from %i to %i per second", (before, after) => {
    const share = alone(0);
    expect(taken([new TurnLimit(share, before)], 0)).toBeCloseTo(
      before === 0 ? 1000 : before + before / 20,
      -2,
    );
    clearTurns(share.words, 1);
    const next = new TurnLimit({ ...share, since: SECOND }, after, 1);
    const count = taken([next], SECOND);
    expect(count).toBeGreaterThanOrEqual(after === 0 ? 1000 : after);
    expect(count).toBeLessThanOrEqual(after === 0 ? 1000 : after + Math.max(1, after / 20) + 1);
  });

  test("an engine that has not changed yet neither stops nor frees those that have", () => {
    const words = new Int32Array(shareWords(2));
    const share = (worker: number) => ({ worker, workers: 2, words, since: 0 });
    const [first, second] = [new TurnLimit(share(0), 400), new TurnLimit(share(1), 400)];
    taken([first, second], 0);
    clearTurns(words, 1);
    const changed = new TurnLimit({ ...share(0), since: SECOND }, 20, 1);
    expect(taken([changed], SECOND)).toBeLessThanOrEqual(22);
    expect(taken([second], 2 * SECOND)).toBeGreaterThan(300);
  });
});

test("users that are too many stay, and nobody is invited until there is room", () => {
  const users = new Users(8, 3);
  for (let s = 0; s < 6; s++) expect(users.admit(s)).toBe(s < 3);
  users.setLimit(1);
  users.leave(0);
  expect(users.invite()).toBe(NONE);
  expect(users.admit(1)).toBe(true);
  users.leave(1);
  users.leave(2);
  expect(users.invite()).toBe(3);
  expect(users.invite()).toBe(NONE);
  users.setLimit(0);
  expect([users.invite(), users.invite(), users.invite()]).toEqual([4, 5, NONE]);
});

const lines = (count: number) => Array.from({ length: count }, (_, i) => `request ${i}\n`);
const GONE = [[{ weight: 0, paths: [0] }]];

describe("a target that goes", () => {
  test("gets what was captured, then the end of its connections; its clients begin nothing new", () => {
    const net = new Simulation({ seed: 1 });
    client(net, { port: 40000, requests: lines(20), pace: 10_000 });
    net.run(95_000);
    net.engine.setRoutes(0, GONE, null, net.now);
    expect(net.engine.retire(net.now)).toBe(1);
    net.run(2_000_000);
    expect(texts(net)).toEqual([lines(9).join("")]);
    expect([net.count("turnsDropped"), net.count("active"), net.count("closed")]).toEqual([0, 0, 1]);
    expect(faultOfBooks(net.counters)).toBe("");
  });

  test("and does not answer: what is left ends", () => {
    const net = new Simulation({ seed: 2 });
    client(net, { port: 40000, requests: lines(20), pace: 10_000 });
    net.run(55_000);
    net.mode = "silent";
    net.run(30_000);
    net.engine.setRoutes(0, GONE, null, net.now);
    net.engine.retire(net.now);
    net.run(1_000_000);
    expect(net.count("active")).toBe(1);
    while (!net.engine.endRetired(net.now)) net.flush();
    net.flush();
    expect([net.count("active"), net.engine.pending]).toEqual([0, 0]);
    expect(net.count("dropped.ended")).toBe(net.count("turnsDropped"));
    expect(faultOfBooks(net.counters)).toBe("");
  });

  test("and comes back is given the next requests of the clients that are there", () => {
    const net = new Simulation({ seed: 3 });
    client(net, { port: 40000, requests: lines(30), pace: 10_000 });
    net.run(95_000);
    net.engine.setRoutes(0, GONE, null, net.now);
    net.engine.retire(net.now);
    net.run(100_000);
    net.engine.setRoutes(0, [[{ weight: 1, paths: [0] }]], null, net.now);
    net.run(2_000_000);
    const [before, after, ...more] = texts(net);
    expect([before, more]).toEqual([lines(9).join(""), []]);
    expect(lines(30).join("").endsWith(after!)).toBe(true);
    expect(after!.length).toBeGreaterThan(lines(30).slice(21).join("").length - 1);
    expect(faultOfBooks(net.counters)).toBe("");
  });
});
