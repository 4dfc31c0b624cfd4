/** The batch of packets that the engine writes and an injector sends. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { HEADROOM, MAX_PACKET, PacketBatch } from "../../src/wire/batch.ts";
import { seeded } from "../support/seed.ts";

describe("PacketBatch", () => {
  test("rows and their headroom do not overlap, and begin at multiples of 8", () => {
    const rows = fc.array(fc.integer({ min: 40, max: MAX_PACKET }), { maxLength: 400 });
    fc.assert(
      fc.property(rows, fc.integer({ min: 1, max: 64 }), (lengths, most) => {
        const batch = new PacketBatch(most, 1 << 18);
        const added: number[] = [];
        for (const [i, length] of lengths.entries()) {
          if (!batch.hasRoom) break;
          batch.bytes.fill(i & 255, batch.next, batch.next + length);
          batch.push(length, i, i * 2);
          added.push(length);
        }
        expect(batch.count).toBe(added.length);
        expect(added.length).toBeLessThanOrEqual(most);
        let end = 0;
        for (const [i, length] of added.entries()) {
          const at = batch.offset[i]!;
          expect(at % 8).toBe(0);
          expect(at - HEADROOM).toBeGreaterThanOrEqual(end);
          expect([batch.length[i]!, batch.segmentSize[i]!, batch.due[i]!]).toEqual([length, i, i * 2]);
          end = at + length;
          expect(batch.bytes.subarray(at, end).every((byte) => byte === (i & 255))).toBe(true);
        }
        expect(end).toBeLessThanOrEqual(batch.bytes.length);
      }),
      seeded(100),
    );
  });

  test("has room for the largest packet while hasRoom is true, and again after clear", () => {
    const batch = new PacketBatch(256, 1 << 20);
    let count = 0;
    const hasRoom = (): boolean => batch.hasRoom;
    for (; hasRoom(); count++) batch.push(MAX_PACKET, 0);
    expect(count).toBe(Math.floor((1 << 20) / (MAX_PACKET + HEADROOM)));
    batch.clear();
    expect(hasRoom()).toBe(true);
    expect([batch.count, batch.next]).toEqual([0, HEADROOM]);
  });

  test("its memory stays where it is, so that an injector may keep its address", () => {
    const batch = new PacketBatch();
    expect(batch.view.buffer).toBe(batch.bytes.buffer);
    batch.view.setUint32(batch.next, 0x01020304);
    expect([...batch.bytes.subarray(HEADROOM, HEADROOM + 4)]).toEqual([1, 2, 3, 4]);
  });
});
