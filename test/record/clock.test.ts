/** From the kernel's times to times of day. */
import { expect, test } from "bun:test";
import { monotonicMicroseconds, realtimeMicroseconds } from "../../src/native/libc.ts";
import { WallClock } from "../../src/record/clock.ts";

/** Clocks that are set by hand; each reading of the time of day takes `cost` us. */
function clocks() {
  const state = { now: 5e9, ahead: 1.7e15, costs: [] as number[] };
  return {
    state,
    monotonic: () => state.now,
    realtime: () => {
      const cost = state.costs.shift() ?? 0;
      state.now += cost / 2;
      const time = state.now + state.ahead;
      state.now += cost / 2;
      return time;
    },
  };
}

test("times of the kernel are converted to times of day", () => {
  const source = clocks();
  const clock = new WallClock(source);
  expect(clock.timeOf(4e9)).toBe(4e9 + 1.7e15);
});

test("a reading that took long does not count", () => {
  const source = clocks();
  source.state.costs = [5000, 2, 9000];
  let at = 0;
  const realtime = source.realtime;
  // The two that take long are wrong by more than half of it.
  source.realtime = () => realtime() + [400, 0, -700][at++]!;
  expect(new WallClock(source).timeOf(0)).toBe(1.7e15);
});

test("when the clock is set, later times move with it, and the step is returned", () => {
  const source = clocks();
  const clock = new WallClock(source);
  expect(clock.adjust()).toBe(0);
  source.state.ahead += 3_600_000_000;
  expect(clock.adjust()).toBe(3_600_000_000);
  expect(clock.timeOf(4e9)).toBe(4e9 + 1.7e15 + 3.6e9);
  source.state.ahead -= 7_200_000_000;
  expect(clock.adjust()).toBe(-7_200_000_000);
  expect(clock.adjust()).toBe(0);
});

test("the host's own clocks agree with Date", () => {
  const clock = new WallClock({ monotonic: monotonicMicroseconds, realtime: realtimeMicroseconds });
  const before = Date.now();
  const time = clock.timeOf(monotonicMicroseconds()) / 1000;
  expect(time).toBeGreaterThanOrEqual(before - 1);
  expect(time).toBeLessThanOrEqual(Date.now() + 1);
});
