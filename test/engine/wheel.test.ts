/** The timing wheel against a list of deadlines. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Wheel } from "../../src/engine/sessions/wheel.ts";
import { seeded } from "../support/seed.ts";

const ROWS = 8;
/** Deadlines within this are kept to the millisecond, later ones to the second (us). */
const FINE = 8_000_000;
const MILLISECOND = 1000;
const SECOND = 1_000_000;

type Step =
  | { kind: "arm"; row: number; after: number }
  | { kind: "disarm"; row: number }
  | { kind: "advance"; by: number };

const row = fc.nat(ROWS - 1);
/** us; around the edges of slots, of the fine part and of the whole wheel. */
const span = fc.oneof(
  fc.nat(5000),
  fc.nat(10_000_000),
  fc.nat(200_000_000),
  fc.integer({ min: FINE - 5000, max: FINE + 5000 }),
  fc.integer({ min: -5000, max: 0 }),
);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant("arm" as const), row, after: span }),
  fc.record({ kind: fc.constant("disarm" as const), row }),
  fc.record({ kind: fc.constant("advance" as const), by: span.map(Math.abs) }),
);

test("every row expires once, not before its earliest deadline and not long after it", () => {
  const start = fc.integer({ min: 0, max: 2 ** 44 });
  fc.assert(
    fc.property(start, fc.array(step, { maxLength: 60 }), (begin, steps) => {
      let now = begin;
      const wheel = new Wheel(ROWS, now);
      /** Earliest deadline of the rows that are armed, and the latest time it may come. */
      const armed = new Map<number, { at: number; latest: number }>();
      for (const one of steps) {
        if (one.kind === "arm") {
          const at = now + one.after;
          const latest = Math.max(at, now) + (one.after < FINE - MILLISECOND ? 2 * MILLISECOND : 2 * SECOND);
          const known = armed.get(one.row);
          wheel.arm(one.row, at);
          armed.set(one.row, {
            at: Math.min(at, known?.at ?? at),
            latest: Math.min(latest, known?.latest ?? latest),
          });
        } else if (one.kind === "disarm") {
          wheel.disarm(one.row);
          armed.delete(one.row);
        } else {
          now += one.by;
          wheel.advance(now, (expired) => {
            expect(armed.has(expired)).toBe(true);
            expect(armed.get(expired)!.at).toBeLessThanOrEqual(now);
            armed.delete(expired);
          });
          for (const { latest } of armed.values()) expect(latest).toBeGreaterThan(now);
        }
      }
    }),
    seeded(500),
  );
});

test("wait returns the time until the first deadline of the next seconds", () => {
  const deadlines = fc.array(fc.nat(6_000_000), { minLength: 1, maxLength: ROWS });
  fc.assert(
    fc.property(fc.nat(2 ** 40), deadlines, fc.nat(7_000_000), (now, spans, limit) => {
      const wheel = new Wheel(ROWS, now);
      for (const [index, after] of spans.entries()) wheel.arm(index, now + after);
      const wait = wheel.wait(now, limit);
      expect(wait).toBeLessThanOrEqual(limit);
      const expired: number[] = [];
      wheel.advance(now + wait - 1, (index) => void expired.push(index));
      expect(expired).toEqual([]);
      wheel.advance(now + wait, (index) => void expired.push(index));
      if (wait < limit) expect(expired).toContain(spans.indexOf(Math.min(...spans)));
    }),
    seeded(500),
  );
});

test("a row may be armed again while it expires", () => {
  const wheel = new Wheel(ROWS, 0);
  wheel.arm(0, 1000);
  const times: number[] = [];
  for (let now = 0; now < 10_000; now += 500) {
    wheel.advance(now, (expired) => {
      times.push(now);
      wheel.arm(expired, now + 2000);
    });
  }
  expect(times).toEqual([1000, 3000, 5000, 7000, 9000]);
});

test("a long pause expires every row, fine and coarse", () => {
  const wheel = new Wheel(ROWS, 0);
  for (let index = 0; index < ROWS; index++) wheel.arm(index, 10 ** index);
  const expired = new Set<number>();
  wheel.advance(3_600_000_000, (index) => void expired.add(index));
  expect(expired.size).toBe(ROWS);
});
