/** The table of registered flows compared with a simple model: which flows are known, of which copy, which are removed. */
import { expect, test } from "bun:test";

import { FlowKey, FlowMatch, KEY_BYTES } from "../../src/intercept/data-plane/flow-key.ts";
import { FlowTable } from "../../src/intercept/data-plane/flow-table.ts";
import { fc } from "../config/seed.ts";
import { flowBytes, responseOf } from "./response.ts";

function keyOf(number: number): FlowKey {
  return new FlowKey().ofBytes(
    flowBytes({
      client: `10.0.${number >> 8}.${number & 255}`,
      clientPort: 1000 + number,
      server: "10.9.9.9",
      serverPort: 80,
    }),
    0,
  );
}

test("behaves like a map that forgets the flow unused for longest", () => {
  const capacity = 5;
  const command = fc.oneof(
    fc.record({ kind: fc.constant("set" as const), flow: fc.nat(9), slot: fc.nat(3) }),
    fc.record({ kind: fc.constant("find" as const), flow: fc.nat(9), slot: fc.constant(0) }),
    fc.record({ kind: fc.constant("remove" as const), flow: fc.constant(0), slot: fc.nat(3) }),
  );
  fc.assert(
    fc.property(fc.array(command, { maxLength: 60 }), fc.integer(), (commands, hashSeed) => {
      const table = new FlowTable(capacity, new FlowMatch(hashSeed, true));
      const model = new Map<number, number>();
      let evicted = 0;
      for (const { kind, flow, slot } of commands) {
        const key = keyOf(flow);
        if (kind === "set") {
          const known = model.delete(flow);
          if (!known && model.size === capacity) {
            model.delete(model.keys().next().value!);
            evicted++;
          }
          model.set(flow, slot);
          expect(table.set(key.words, 0, slot)).toBe(!known);
        } else if (kind === "find") {
          const owner = model.get(flow);
          const row = table.find(key.words);
          expect(row < 0 ? undefined : table.slotOf(row)).toBe(owner);
          if (owner !== undefined) {
            model.delete(flow);
            model.set(flow, owner);
          }
        } else {
          const those = [...model].filter(([, owner]) => owner === slot);
          for (const [known] of those) model.delete(known);
          expect(table.removeAll(slot)).toBe(those.length);
        }
        expect([table.count, table.evicted]).toEqual([model.size, evicted]);
      }
    }),
  );
});

test("grows with what it holds and keeps it", () => {
  const table = new FlowTable(20_000, new FlowMatch(1, true));
  for (let number = 0; number < 20_000; number++) table.set(keyOf(number).words, 0, number % 7);
  expect([table.count, table.evicted]).toEqual([20_000, 0]);
  for (let number = 0; number < 20_000; number += 97) {
    const row = table.find(keyOf(number).words);
    expect(table.slotOf(row)).toBe(number % 7);
    expect(Uint8Array.from(table.keys.subarray(row * KEY_BYTES, (row + 1) * KEY_BYTES))).toEqual(
      Uint8Array.from(keyOf(number).bytes),
    );
  }
});

test.each([
  { client: "10.1.0.5", clientPort: 4000, server: "10.0.0.2", serverPort: 80 },
  { client: "fd00::5", clientPort: 4000, server: "2001:db8::2", serverPort: 65535 },
])("a response is of the flow that was registered: %j", (flow) => {
  const registered = new FlowKey().ofBytes(flowBytes(flow), 0);
  expect(new FlowKey().ofResponse(responseOf(flow)).bytes).toEqual(registered.bytes);
});
