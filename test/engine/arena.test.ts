/** The payload store against plain copies: chunks keep their bytes, and all memory comes back. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Arena, MAX_CHUNK } from "../../src/engine/sessions/arena.ts";
import { seeded } from "../support/seed.ts";

const PAGE = 256 * 1024;

type Step = { kind: "allocate"; length: number } | { kind: "release"; which: number };

const length = fc.oneof(
  fc.integer({ min: 1, max: 200 }),
  fc.integer({ min: 1, max: MAX_CHUNK }),
  fc
    .integer({ min: 6, max: 16 })
    .chain((log) => fc.constantFrom(2 ** log - 1, 2 ** log, Math.min(2 ** log + 1, MAX_CHUNK))),
);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("allocate" as const), length }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("release" as const), which: fc.nat() }) },
);

test("chunks never overlap, stay within the limit, and all memory is free after their release", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4 }), fc.array(step, { maxLength: 150 }), (pages, steps) => {
      const limit = pages * PAGE;
      const arena = new Arena(limit);
      const chunks: { chunk: number; length: number; mark: number }[] = [];
      const bytes = ({ chunk, length }: { chunk: number; length: number }): Uint8Array =>
        arena.memory(chunk).subarray(arena.offset(chunk), arena.offset(chunk) + length);
      const check = (one: { chunk: number; length: number; mark: number }): void => {
        expect(bytes(one).length).toBe(one.length);
        expect(bytes(one).every((byte) => byte === one.mark)).toBe(true);
      };
      for (const [index, one] of steps.entries()) {
        if (one.kind === "allocate") {
          const chunk = arena.allocate(one.length);
          // Refused only when every page is in use.
          if (chunk < 0) expect(arena.used).toBe(limit);
          else {
            const added = { chunk, length: one.length, mark: index & 255 };
            bytes(added).fill(added.mark);
            chunks.push(added);
          }
        } else if (chunks.length > 0) {
          const [released] = chunks.splice(one.which % chunks.length, 1);
          check(released!);
          arena.release(released!.chunk);
        }
        expect(arena.used).toBeLessThanOrEqual(limit);
      }
      for (const one of chunks) {
        check(one);
        arena.release(one.chunk);
      }
      expect(arena.used).toBe(0);
      // Everything is one's own again, in any size.
      for (let i = 0; i < limit / MAX_CHUNK; i++) expect(arena.allocate(MAX_CHUNK)).toBeGreaterThanOrEqual(0);
      expect(arena.allocate(1)).toBe(-1);
    }),
    seeded(150),
  );
});

test("a page holds as many chunks of a size as fit", () => {
  for (let size = 64; size <= MAX_CHUNK; size *= 2) {
    const arena = new Arena(PAGE);
    let count = 0;
    while (arena.allocate(size) >= 0) count++;
    expect(count).toBe(PAGE / size);
  }
});
