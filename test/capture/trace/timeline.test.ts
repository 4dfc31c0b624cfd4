/** The timeline of traces whose clock was set while they were made. */
import { describe, expect, test } from "bun:test";
import { type ClockStep, Timeline } from "../../../src/capture/trace/timeline.ts";
import { fc } from "./seed.ts";

const NOW = 1_700_000_000e6;
const SECOND = 1e6;
const HOUR = 3600 * SECOND;
const DAY = 24 * HOUR;
const YEAR = 365.25 * DAY;

/** Stamps of one clock, or pairs of a stamp and the number of its clock. */
type Stamps = (number | [stamp: number, clock: number])[];

/** Puts all onto a timeline as an Input does: with a look at the next one. */
function place(stamps: Stamps): { times: number[]; steps: ClockStep[]; strays: number[] } {
  const steps: ClockStep[] = [];
  const strays: number[] = [];
  const timeline = new Timeline((step) => steps.push(step));
  const pairs = stamps.map((one): [number, number] => (typeof one === "number" ? [one, 0] : one));
  const times = pairs.map(([stamp, clock], index) => {
    const next = pairs[index + 1];
    const isJump = timeline.isJump(stamp, clock);
    const time =
      isJump && next ? timeline.place(stamp, clock, next[0], next[1]) : timeline.place(stamp, clock);
    if (timeline.isStray) strays.push(index);
    return time;
  });
  return { times, steps, strays };
}

/** Packets every 100 ms. */
const EVERY = 100_000;
const traffic = (count: number, start = NOW) =>
  Array.from({ length: count }, (_, index) => start + index * EVERY);
const set = (stamps: number[], from: number, by: number, until = stamps.length) =>
  stamps.map((stamp, index) => (index >= from && index < until ? stamp + by : stamp));
const clean = traffic(40);

/** us between one packet and the next. */
const gapsOf = (times: number[]) => times.slice(1).map((time, index) => time - times[index]!);

describe("a clock that was set", () => {
  test.each<[string, number[]]>([
    ["from 1970 to now", [...traffic(20, 100 * SECOND), ...clean.slice(20)]],
    ["from exactly 0", [...traffic(20, 0), ...clean.slice(20)]],
    ["an hour back", set(clean, 20, -HOUR)],
    ["1.5 s back (a leap second and more)", set(clean, 20, -1.5 * SECOND)],
    ["25 hours ahead", set(clean, 20, 25 * HOUR)],
    ["20 years ahead", set(clean, 20, 20 * YEAR)],
    ["back to 0 where 32 bits wrap", [...traffic(20, (2 ** 32 - 2) * SECOND), ...traffic(20, 0)]],
    ["back to before 1970", set(clean, 20, -60 * YEAR)],
  ])("%s: no pause and no rush, said once", (_, stamps) => {
    const { times, steps, strays } = place(stamps);
    for (const gap of gapsOf(times)) expect(gap).toBeWithin(EVERY / 10, EVERY * 1.1);
    expect(steps).toEqual([{ from: stamps[19]!, to: stamps[20]! }]);
    expect(strays).toEqual([]);
  });

  test("and set again goes on as before, to the microsecond", () => {
    const { times, steps } = place(set(clean, 10, 20 * YEAR, 15));
    expect(steps).toHaveLength(2);
    expect(times.slice(15)).toEqual(clean.slice(15));
  });

  test("after each packet is as many steps, and the timeline never waits", () => {
    const { times, steps, strays } = place(clean.map((stamp, index) => stamp - index * HOUR));
    // Of the first two, which do not follow each other, the first counts as alone.
    expect([strays, steps.length]).toEqual([[0], 38]);
    for (const gap of gapsOf(times)) expect(gap).toBeWithin(0, SECOND);
  });
});

describe("the stamp of one packet", () => {
  test.each<[string, number, number]>([
    ["20 years ahead", 20, 20 * YEAR],
    ["an hour ahead", 20, HOUR],
    ["10 s ahead", 20, 10 * SECOND],
    ["zero", 20, -NOW],
    ["an hour back", 20, -HOUR],
    ["no time at all", 20, 1e25],
  ])("that is %s moves no other packet", (_, index, by) => {
    const { times, steps, strays } = place(set(clean, index, by, index + 1));
    expect(steps).toEqual([]);
    expect(strays).toEqual([index]);
    expect(times.with(index, 0)).toEqual(clean.with(index, 0));
    expect(times[index]).toBeWithin(times[index - 1]!, times[index + 1]! + 1);
  });

  test.each([-NOW, 20 * YEAR, 1e25])("that is the first, by %p", (by) => {
    const { times, steps, strays } = place(set(clean, 0, by, 1));
    expect([steps, strays]).toEqual([[], [0]]);
    expect(times).toEqual([clean[1]!, ...clean.slice(1)]);
  });

  test("that is the last is waited for only as long as one waits for any", () => {
    expect(place(set(clean, 39, HOUR)).times.at(-1)).toBe(clean[39]! + HOUR);
    expect(place(set(clean, 39, 20 * YEAR)).times.at(-1)).toBeWithin(clean[38]!, clean[39]! + 1);
  });
});

describe("what is no step", () => {
  test.each<[string, number[]]>([
    ["a pause of a minute", set(clean, 20, 60 * SECOND)],
    ["a night", set(clean, 20, 8 * HOUR)],
    [
      "packets of several queues, written in another order",
      clean.map((stamp, i) => stamp - (i % 3) * 70_000),
    ],
    ["a packet written late by half a second", set(clean, 20, -SECOND / 2, 21)],
    ["one time for all", clean.map(() => NOW)],
    ["no time for all", clean.map(() => 0)],
    ["nanoseconds", clean.map((stamp) => stamp + 0.25)],
    ["the end of 2038", traffic(40, (2 ** 31 - 2) * SECOND)],
  ])("%s", (_, stamps) => {
    expect(place(stamps)).toEqual({ times: stamps, steps: [], strays: [] });
  });
});

describe("several clocks in one trace", () => {
  const both = (by: number): Stamps =>
    clean.map((stamp, index) => [index % 2 === 1 ? stamp + by : stamp, index % 2]);

  test.each([-37 * SECOND, 37 * SECOND, -NOW, 20 * YEAR])("that differ by %p are one timeline", (by) => {
    const { times, steps } = place(both(by));
    expect(steps.length).toBeLessThanOrEqual(2);
    for (const gap of gapsOf(times).slice(2)) expect(gap).toBeWithin(0, 2 * EVERY + 1);
    // The second clock keeps its own pauses.
    const second = times.filter((_, index) => index % 2 === 1).slice(2);
    for (const gap of gapsOf(second)) expect(gap).toBeCloseTo(2 * EVERY, 0);
  });
});

test("any stamps: no time goes back by more than packets are reordered, none ahead by more than a day", () => {
  const stamp = fc.oneof(
    fc.integer({ min: 0, max: 40 * SECOND }).map((us) => NOW + us),
    fc.double({ min: -1e25, max: 1e25, noNaN: true }),
    fc.integer({ min: 0, max: 2 ** 32 - 1 }).map((seconds) => seconds * SECOND),
  );
  const pair = fc.tuple(stamp, fc.integer({ min: 0, max: 3 }));
  fc.assert(
    fc.property(fc.array(pair, { minLength: 2 }), (stamps) => {
      const { times } = place(stamps);
      let latest = times[0]!;
      for (const time of times.slice(1)) {
        expect(time).toBeWithin(latest - SECOND - 1, latest + DAY + 1);
        latest = Math.max(latest, time);
      }
    }),
  );
});
