/** The queue of sessions that want to be users, against a list. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { NONE } from "../../src/engine/sessions/table.ts";
import { Users } from "../../src/engine/sessions/users.ts";
import { seeded } from "../support/seed.ts";

const CAPACITY = 12;

test("there are never more users than the limit, and waiting sessions are invited in order", () => {
  const step = fc.record({ s: fc.nat(CAPACITY - 1), what: fc.constantFrom("admit", "leave", "invite") });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4 }), fc.array(step, { maxLength: 200 }), (limit, steps) => {
      const users = new Users(CAPACITY, limit);
      const present = new Set<number>();
      let waiting: number[] = [];
      for (const { s, what } of steps) {
        if (what === "admit") {
          const isFree = waiting.length === 0 && present.size < limit;
          expect(users.admit(s)).toBe(present.has(s) || (!waiting.includes(s) && isFree));
          if (present.has(s) || waiting.includes(s)) continue;
          if (isFree) present.add(s);
          else waiting.push(s);
        } else if (what === "leave") {
          users.leave(s);
          present.delete(s);
          waiting = waiting.filter((other) => other !== s);
        } else {
          const expected = present.size < limit ? (waiting.shift() ?? NONE) : NONE;
          expect(users.invite()).toBe(expected);
          if (expected !== NONE) present.add(expected);
        }
      }
    }),
    seeded(500),
  );
});
