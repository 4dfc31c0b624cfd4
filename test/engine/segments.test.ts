/** The segment store: what comes in goes out, cut at the front or not, and memory is charged and given back. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  ACK_NUMBER,
  LENGTH,
  MARKS,
  SEGMENT,
  SEQ,
  Segments,
  THINK,
} from "../../src/engine/sessions/segments.ts";
import { NONE } from "../../src/engine/sessions/table.ts";
import { seeded } from "../support/seed.ts";
import { packet } from "./packets.ts";

/** Enough for a page of each size of chunk. */
const MEMORY = 8 << 20;
const SMALL = 1 << 20;

const step = fc.record({
  payload: fc.uint8Array({ minLength: 1, maxLength: 3000, size: "max" }),
  cut: fc.nat(),
  from: fc.nat(),
  release: fc.boolean(),
});

test("segments keep their bytes, numbers and times", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const segments = new Segments(MEMORY);
      const kept: { g: number; payload: Uint8Array; seq: number; index: number }[] = [];
      const check = ({ g, payload, seq, index }: (typeof kept)[number], from: number): void => {
        const at = g * SEGMENT;
        expect(segments.words[at + SEQ]).toBe(seq);
        expect(segments.words[at + LENGTH]).toBe(payload.length);
        expect(segments.words[at + ACK_NUMBER]).toBe(-index | 0);
        expect(segments.words[at + THINK]).toBe(index);
        expect(segments.words[at + MARKS]).toBe(index & 7);
        expect(segments.times[g]).toBe(1e12 + index);
        const skip = from % payload.length;
        const to = new Uint8Array(payload.length - skip + 2);
        segments.read(g, skip, payload.length - skip, to, 1);
        expect(to).toEqual(Uint8Array.from([0, ...payload.subarray(skip), 0]));
      };
      for (const [index, one] of steps.entries()) {
        const captured = packet({
          sourcePort: 1,
          destinationPort: 2,
          seq: 0,
          ack: -index >>> 0,
          flags: 0,
          payload: one.payload,
          think: index,
          time: 1e12 + index,
        });
        const seq = (0x7fffffff + index * 1000) | 0;
        const g = segments.add(captured, captured.payload, one.payload.length, seq, index & 7);
        expect(g).not.toBe(NONE);
        const added = { g, payload: one.payload, seq, index };
        check(added, one.from);
        const cut = one.cut % one.payload.length;
        segments.trimFront(g, cut);
        kept.push({ ...added, payload: one.payload.subarray(cut), seq: (seq + cut) | 0 });
        if (one.release) {
          const [oldest] = kept.splice(0, 1);
          check(oldest!, one.from);
          segments.release(oldest!.g);
        }
      }
      for (const one of kept) {
        check(one, 0);
        segments.release(one.g);
      }
      expect(segments.used).toBe(0);
    }),
    seeded(100),
  );
});

test("the memory bound limits payload and descriptors", () => {
  for (const length of [1, 100, 60_000]) {
    const segments = new Segments(SMALL);
    const bytes = new Uint8Array(length);
    const all: number[] = [];
    for (let g = 0; g !== NONE; ) {
      g = segments.store(bytes, 0, length, 0, 0);
      if (g !== NONE) all.push(g);
      expect(segments.used).toBeLessThanOrEqual(SMALL);
    }
    expect(all.length * length).toBeLessThanOrEqual(SMALL);
    expect(all.length).toBeGreaterThan(10);
    for (const g of all) segments.release(g);
    expect(segments.used).toBe(0);
    expect(segments.store(bytes, 0, length, 0, 0)).not.toBe(NONE);
  }
});
