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
      clientPort: (1000 + number) % 65536,
      server: "10.9.9.9",
      serverPort: 80,
    }),
    0,
  );
}

test("behaves like a list of each copy that loses what is unused for longest, where it is above its share", () => {
  const capacity = 8;
  const command = fc.record({
    kind: fc.constantFrom("add", "use", "remove"),
    flow: fc.nat(9),
    owner: fc.nat(3),
  });
  fc.assert(
    fc.property(fc.array(command, { maxLength: 80 }), fc.integer(), (commands, hashSeed) => {
      const table = new FlowTable(capacity, new FlowMatch(hashSeed, true));
      /** Of each copy its flows, the one unused for longest first. */
      const model: number[][] = [[], [], [], []];
      const count = () => model.reduce((sum, flows) => sum + flows.length, 0);
      let evicted = 0;
      for (const { kind, flow, owner } of commands) {
        const key = keyOf(flow);
        const own = model[owner]!;
        const row = table.findOwn(key.words, 0, owner);
        expect(row >= 0).toBe(own.includes(flow));
        if (kind === "add" && row < 0) {
          if (count() === capacity) {
            const sharers = model.filter((flows) => flows.length > 0 || flows === own).length;
            const most = Math.max(...model.map((flows) => flows.length));
            const loser =
              own.length * sharers >= capacity ? own : model.find(({ length }) => length === most)!;
            // Nobody loses what is within the share.
            expect(loser.length * sharers).toBeGreaterThanOrEqual(capacity);
            loser.shift();
            evicted++;
          }
          own.push(flow);
          table.add(key.words, 0, owner, 0);
        } else if (kind === "use" && row >= 0) {
          own.push(...own.splice(own.indexOf(flow), 1));
          table.touch(row, 0);
        } else if (kind === "remove" && row >= 0) {
          own.splice(own.indexOf(flow), 1);
          table.remove(row);
        }
        const owners: number[] = [];
        for (let other = table.find(key.words); other >= 0; other = table.after(other))
          owners.push(table.ownerOf(other));
        expect(owners.sort()).toEqual(model.flatMap((flows, index) => (flows.includes(flow) ? [index] : [])));
        expect([table.count, table.evicted]).toEqual([count(), evicted]);
      }
      let looks = 1;
      while (!table.sweep(3, (row) => table.ownerOf(row) === 2)) looks++;
      expect(looks).toBe(Math.ceil(capacity / 3));
      expect(table.count).toBe(count() - model[2]!.length);
    }),
  );
});

test("a copy that registers without end takes nothing from another one", () => {
  const table = new FlowTable(1000, new FlowMatch(1, true));
  for (let number = 0; number < 300; number++) table.add(keyOf(number).words, 0, 1, 0);
  for (let number = 1000; number < 60_000; number++) table.add(keyOf(number).words, 0, 2, 0);
  for (let number = 0; number < 300; number++)
    expect(table.findOwn(keyOf(number).words, 0, 1)).toBeGreaterThanOrEqual(0);
  // And gives up what is above its share.
  for (let number = 300; number < 500; number++) table.add(keyOf(number).words, 0, 1, 0);
  for (let number = 0; number < 500; number++)
    expect(table.findOwn(keyOf(number).words, 0, 1)).toBeGreaterThanOrEqual(0);
});

test("grows with what it holds and keeps it", () => {
  const table = new FlowTable(20_000, new FlowMatch(1, true));
  for (let number = 0; number < 20_000; number++) table.add(keyOf(number).words, 0, number % 7, 0);
  expect([table.count, table.evicted]).toEqual([20_000, 0]);
  for (let number = 0; number < 20_000; number += 97) {
    const row = table.find(keyOf(number).words);
    expect(table.ownerOf(row)).toBe(number % 7);
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
