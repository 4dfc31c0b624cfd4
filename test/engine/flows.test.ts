/** The flow tables against maps. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { ClientFlows, FLOW_WORDS, OwnFlows } from "../../src/engine/sessions/flows.ts";
import { CLIENT_ADDRESS, NONE, PATH, PORT, ROW, SessionTable } from "../../src/engine/sessions/table.ts";
import { seeded } from "../support/seed.ts";

const CAPACITY = 16;
/** By path: whether it sends from the addresses of the clients. */
const FROM_CLIENT = [false, true, true];

/** Few values, so that flows come again and hash chains grow. */
const word = fc.constantFrom(0, 1, -1, 0xffff);
const key = fc.array(word, { minLength: FLOW_WORDS, maxLength: FLOW_WORDS });
const step = fc.record({
  key,
  path: fc.nat(2),
  port: fc.integer({ min: 1024, max: 1030 }),
  drop: fc.boolean(),
});

test("sessions are found by the client's flow and by our own, until they are removed", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const table = new SessionTable(CAPACITY);
      const clients = new ClientFlows(table);
      const own = new OwnFlows(table, FROM_CLIENT);
      const byKey = new Map<string, number>();
      const byPort = new Map<string, number>();
      const rows = new Map<number, { key: string; port: string }>();
      for (const one of steps) {
        const keyText = one.key.join();
        const portText = `${one.path} ${one.port} ${FROM_CLIENT[one.path] ? one.key.slice(0, 4) : ""}`;
        expect(clients.find(Int32Array.from(one.key))).toBe(byKey.get(keyText) ?? NONE);
        expect(own.find(one.path, one.port, Int32Array.from(one.key), CLIENT_ADDRESS)).toBe(
          byPort.get(portText) ?? NONE,
        );
        const oldest = rows.keys().next().value;
        if (oldest !== undefined && (one.drop || rows.size === CAPACITY)) {
          clients.remove(oldest);
          own.remove(oldest);
          table.release(oldest);
          byKey.delete(rows.get(oldest)!.key);
          byPort.delete(rows.get(oldest)!.port);
          rows.delete(oldest);
        }
        if (byKey.has(keyText) || byPort.has(portText)) continue;
        const s = table.allocate();
        expect(rows.has(s)).toBe(false);
        table.words.set(one.key, s * ROW + CLIENT_ADDRESS);
        table.words[s * ROW + PATH] = one.path;
        table.words[s * ROW + PORT] = one.port;
        clients.add(s);
        own.add(s);
        byKey.set(keyText, s);
        byPort.set(portText, s);
        rows.set(s, { key: keyText, port: portText });
      }
      for (const [text, s] of byKey) expect(clients.find(Int32Array.from(text.split(","), Number))).toBe(s);
    }),
    seeded(300),
  );
});

test("a full table gives no row, a released row is given again, without a port", () => {
  const table = new SessionTable(2);
  const first = table.allocate();
  table.words[first * ROW + PORT] = 77;
  expect(table.allocate()).not.toBe(first);
  expect(table.allocate()).toBe(NONE);
  table.release(first);
  expect(table.allocate()).toBe(first);
  expect(table.words[first * ROW + PORT]).toBe(NONE);
});
