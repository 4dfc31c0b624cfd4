/** Source ports against a plain queue. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Ports } from "../../src/engine/sessions/ports.ts";
import { NONE } from "../../src/engine/sessions/table.ts";
import { seeded } from "../support/seed.ts";

const PATHS = 3;

const ranges = fc
  .uniqueArray(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 3 })
  .chain((tens) =>
    fc.tuple(
      ...tens.map((ten) =>
        fc
          .integer({ min: 1, max: 9 })
          .map((more): [number, number] => [1024 + ten * 10, 1024 + ten * 10 + more]),
      ),
    ),
  );
type Step = { kind: "take"; path: number } | { kind: "give"; path: number; which: number };
const path = fc.nat(PATHS - 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("take" as const), path }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("give" as const), path, which: fc.nat() }) },
);

test("a port is in use once per path, and is used again after all others", () => {
  const first = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  fc.assert(
    fc.property(ranges, first, fc.array(step, { maxLength: 300 }), (all, random, steps) => {
      const ports = new Ports(all, () => random);
      const list = all.flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, i) => from + i));
      const begin = Math.floor(random * list.length);
      const queues = Array.from({ length: PATHS }, () => [...list.slice(begin), ...list.slice(0, begin)]);
      const taken: number[][] = queues.map(() => []);
      for (const one of steps) {
        if (one.kind === "take") {
          const expected = queues[one.path]!.shift();
          expect(ports.take(one.path)).toBe(expected ?? NONE);
          if (expected !== undefined) taken[one.path]!.push(expected);
        } else if (taken[one.path]!.length > 0) {
          const [port] = taken[one.path]!.splice(one.which % taken[one.path]!.length, 1);
          ports.give(one.path, port!);
          queues[one.path]!.push(port!);
        }
      }
    }),
    seeded(300),
  );
});

test("all ports of a large range can be in use at once, also after they were given back in another order", () => {
  const ports = new Ports([[1024, 32767]], () => 0.5);
  for (let round = 0; round < 3; round++) {
    const taken = new Set<number>();
    for (let port = ports.take(0); port !== NONE; port = ports.take(0)) taken.add(port);
    expect(taken.size).toBe(32767 - 1024 + 1);
    for (const port of [...taken].reverse()) ports.give(0, port);
  }
});

test("a target on this host is never connected to from its own port", () => {
  const ports = new Ports([[8079, 8081]], () => 0, [8080, 0]);
  expect([ports.take(0), ports.take(0), ports.take(0)]).toEqual([8079, 8081, -1]);
  expect([ports.take(1), ports.take(1), ports.take(1)]).toEqual([8079, 8080, 8081]);
});
