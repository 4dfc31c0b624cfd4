/** Memory that the kernel is given by its address stays as long as the struct that names it. */
import { expect, test } from "bun:test";
import { pointerTo } from "../../src/native/libc.ts";
import { until } from "../support/until.ts";

const freed = new Set<string>();
const registry = new FinalizationRegistry<string>((name) => freed.add(name));

/** A struct with a pointer to memory that nobody else knows of. */
function structOf(name: string): DataView {
  const struct = new DataView(new ArrayBuffer(16));
  for (const [offset, what] of [
    [0, "first"],
    [8, "second"],
  ] as const) {
    const target = new Uint8Array(new ArrayBuffer(1000));
    registry.register(target, `${name}, ${what}`);
    pointerTo(struct, offset, target);
  }
  return struct;
}

test("what a struct points to is freed with the struct, and not before", async () => {
  const kept = structOf("kept");
  // Many: the collector is conservative, and may take a word on the stack for a reference to one of them.
  for (let index = 0; index < 100; index++) structOf("gone");
  await until("the others are freed", () => {
    Bun.gc(true);
    return freed.has("gone, first") && freed.has("gone, second");
  });
  expect([...freed].filter((name) => name.startsWith("kept"))).toEqual([]);
  expect(kept.getBigUint64(0, true)).not.toBe(kept.getBigUint64(8, true));
});
