/** Several engines that share bounds: together they keep what one would, and no connection is two engines'. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Ports } from "../../src/engine/sessions/ports.ts";
import {
  alone,
  capacityOf,
  ownsClient,
  releaseSessions,
  SessionBudget,
  type Share,
  shareWords,
  TurnLimit,
} from "../../src/engine/sessions/share.ts";
import { NONE, SessionTable } from "../../src/engine/sessions/table.ts";
import { creditAfter, nextTarget } from "../../src/engine/sessions/weights.ts";
import { workerOfClient } from "../../src/wire/shard.ts";
import { seeded } from "../support/seed.ts";

/** So many engines of one run. */
function shares(workers: number, since = 0): Share[] {
  const words = new Int32Array(shareWords(workers));
  return Array.from({ length: workers }, (_, worker) => ({ worker, workers, words, since }));
}

const workers = fc.integer({ min: 1, max: 9 });
const address = fc.array(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), { minLength: 4, maxLength: 4 });

test("every client belongs to one engine", () => {
  const client = fc.tuple(address, fc.integer({ min: 0, max: 65535 }));
  fc.assert(
    fc.property(workers, client, (count, [words, port]) => {
      const owners = shares(count).filter((share) => ownsClient(share, Int32Array.from(words), 0, port));
      expect(owners.map(({ worker }) => worker)).toEqual([
        workerOfClient(Int32Array.from(words), 0, port, count),
      ]);
    }),
    seeded(500),
  );
});

test("all ports of a path can be in use, each by one engine", () => {
  const range = fc
    .tuple(fc.integer({ min: 1, max: 900 }), fc.nat(60))
    .map(([first, more]) => [first, first + more]);
  fc.assert(
    fc.property(workers, range, fc.nat(9), (count, [first, last], random) => {
      const taken: number[] = [];
      for (const share of shares(count)) {
        const ports = new Ports([[first!, last!]], () => random / 10, [], share);
        for (let port = ports.take(0); port !== NONE; port = ports.take(0)) taken.push(port);
      }
      expect(taken.length).toBe(last! - first! + 1);
      expect(new Set(taken).size).toBe(taken.length);
    }),
    seeded(200),
  );
});

describe("sessions", () => {
  test("the bound is reached and never exceeded, with any distribution over the engines", () => {
    const most = 10;
    const [one, other] = shares(2).map(
      (share) => new SessionTable(capacityOf(share, most), new SessionBudget(share, most)),
    ) as [SessionTable, SessionTable];
    const first = Array.from({ length: 8 }, () => one.allocate());
    expect(first).not.toContain(NONE);
    expect(Array.from({ length: 4 }, () => other.allocate() !== NONE)).toEqual([true, true, false, false]);
    expect(one.allocate()).toBe(NONE);
    one.release(first[3]!);
    expect(other.allocate()).not.toBe(NONE);
    expect(other.allocate()).toBe(NONE);
  });

  test("the sessions of an engine that is gone are given back to the others", () => {
    const all = shares(3);
    const [gone, other] = all.map((share) => new SessionBudget(share, 5)) as [SessionBudget, SessionBudget];
    for (let i = 0; i < 4; i++) gone.take();
    expect([other.take(), other.take()]).toEqual([true, false]);
    releaseSessions(all[0]!.words, 0);
    expect(Array.from({ length: 5 }, () => other.take())).toEqual([true, true, true, true, false]);
  });

  test("a single engine may have all sessions, one of several more than its equal part", () => {
    expect(capacityOf(alone(0), 1000)).toBe(1000);
    const [share] = shares(4);
    expect(capacityOf(share!, 1000)).toBe(1000);
    expect(capacityOf(share!, 1_000_000)).toBe(312_500);
  });
});

describe("turns per second", () => {
  const SECOND = 1_000_000;
  /** Takes whenever it can, by each in turn, every ms for so many seconds; how many it got. */
  const takeAll = (limits: TurnLimit[], from: number, seconds: number): number => {
    let taken = 0;
    for (let now = from; now < from + seconds * SECOND; now += 1000) {
      for (const limit of limits) while (limit.take(now)) taken++;
    }
    return taken;
  };

  test.each([1, 2, 7])("%d engines together get as many turns as a single one", (count) => {
    const limits = shares(count, 5000).map((share) => new TurnLimit(share, 300));
    const taken = takeAll(limits, 5000, 10);
    expect(taken).toBeGreaterThan(2990);
    expect(taken).toBeLessThanOrEqual(3015);
  });

  test("one engine gets all turns if the others take none", () => {
    const [limit] = shares(4).map((share) => new TurnLimit(share, 300));
    expect(takeAll([limit!], 0, 10)).toBeGreaterThan(2990);
  });

  test("turns that are not taken within 50 ms expire, also when the 32-bit count has wrapped", () => {
    const [share] = shares(2);
    const limit = new TurnLimit(share!, 10_000_000);
    const end = 1000 * SECOND;
    for (let now = 0; now <= end; now += SECOND / 2) limit.settle(now);
    let burst = 0;
    while (limit.take(end)) burst++;
    expect(burst).toBe(500_000);
  });

  test("a limit below one turn per second", () => {
    const limits = shares(2).map((share) => new TurnLimit(share, 0.1));
    expect(takeAll(limits, 0, 31)).toBe(4);
  });
});

test("each engine begins with the next target, so that few sessions are shared out as by one engine", () => {
  const route = [{ weight: 1 }, { weight: 2 }, { weight: 1 }];
  const single = creditAfter(route, 0);
  const byOne = Array.from({ length: 8 }, () => nextTarget(route, single));
  const bySeveral = Array.from({ length: 8 }, (_, worker) => nextTarget(route, creditAfter(route, worker)));
  expect(bySeveral).toEqual(byOne);
});
