/** Limits that change while engines run. */
import { describe, expect, test } from "bun:test";
import { alone, clearTurns, shareWords, TurnLimit } from "../../src/engine/sessions/share.ts";
import { NONE } from "../../src/engine/sessions/table.ts";
import { Users } from "../../src/engine/sessions/users.ts";

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
