/** The share of the CPU that a worker is kept to, with a clock of the test's. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { CpuLimit } from "../../src/runtime/cpu-limit.ts";
import { seeded } from "../support/seed.ts";

const SECOND = 1_000_000;

/** Works in rounds of `cost` us and pauses as it is told, for so many seconds; the CPU time that it used, us. */
function work(limit: CpuLimit, costs: number[], seconds: number): number {
  let [now, used] = [0, 0];
  for (let round = 0; now < seconds * SECOND; round++) {
    const cost = costs[round % costs.length]!;
    now += cost;
    used += cost;
    now += limit.wait(now, used);
  }
  return used;
}

test("a process gets its share and no more, however long its rounds are", () => {
  const share = fc.integer({ min: 1, max: 90 }).map((percent) => percent / 100);
  const costs = fc.array(fc.integer({ min: 20, max: 20_000 }), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(share, costs, (most, rounds) => {
      const used = work(new CpuLimit(most, 0, 0), rounds, 60) / (60 * SECOND);
      expect(used).toBeGreaterThan(most * 0.99);
      // The last round may be one too many.
      expect(used).toBeLessThan(most * 1.01 + 0.001);
    }),
    seeded(100),
  );
});

test("a process below its share never waits, and saves at most the share of 100 ms", () => {
  const limit = new CpuLimit(0.5, 0, 0);
  for (let now = 1000; now <= SECOND; now += 1000) expect(limit.wait(now, now / 4)).toBe(0);
  const used = SECOND / 4;
  expect(limit.wait(SECOND, used + 50_000)).toBe(0);
  expect(limit.wait(SECOND, used + 51_000)).toBeCloseTo(2000, 0);
});

test("several workers keep the limit together: all wait for the time that one has used", () => {
  const limits = [new CpuLimit(0.5, 0, 0), new CpuLimit(0.5, 0, 0)];
  expect(limits.map((limit) => limit.wait(10_000, 100_000))).toEqual([90_000, 90_000]);
});
