/** When an intercept has payload captured: as long as a copy is connected that reads it. */
import { expect, test } from "bun:test";
import type { Candidate, Peer } from "../../src/channel/contract.ts";
import { Copies } from "../../src/intercept/copies.ts";
import { Router } from "../../src/intercept/router.ts";
import { Questions } from "../../src/worker/facts.ts";
import type { InterceptPlaneConfig } from "../../src/worker/intercept-config.ts";
import { Connection } from "../../src/worker/intercept-connections.ts";
import { Desk } from "../../src/worker/intercept-desk.ts";
import { createInterceptShared } from "../../src/worker/intercept-shared.ts";

const CONFIG: InterceptPlaneConfig = {
  mode: "assistant",
  rings: [],
  ringBytes: 0,
  controlMap: -1,
  cookiesMap: -1,
  learnedMap: -1,
  datagramFlowsMap: -1,
  queue: null,
  listeners: [],
  key: null,
  compat: null,
  services: [],
  maxFlows: 1024,
  translations: [],
  dnat: false,
  pass: [],
  hook: "tcx",
  interfaces: [],
  version: "1",
  shared: createInterceptShared(),
};

function setUp() {
  const copies = new Copies<Connection>();
  const router = new Router({ ...CONFIG, single: -1, holds: true, passesDatagrams: false, seed: 1 }, copies);
  const said: boolean[] = [];
  const questions = new Questions(CONFIG, () => false);
  const desk = new Desk(
    CONFIG,
    copies,
    router,
    null,
    questions,
    () => {},
    (isRead) => said.push(isRead),
  );
  let fd = 10;
  const join = (name: number, readsPayload: boolean) => {
    const connection = new Connection(fd++, Uint8Array.of(10, 0, 0, 1), `10.0.0.1:${fd}`, []);
    connection.peer = { outgoing: { discarded: 0 } } as Peer;
    const copy: Candidate = { instance: new Uint8Array(8).fill(name), authenticated: false, version: 1 };
    const welcome = desk.handlersFor(connection).admit(readsPayload ? { ...copy, readsPayload } : copy);
    return { connection, welcome, leave: () => desk.onGone(connection, 1) };
  };
  return { said, join };
}

test("a copy that reads payload is told that it comes, another is not", () => {
  const { said, join } = setUp();
  const other = join(1, false);
  expect(other.welcome).not.toHaveProperty("payload");
  expect(other.connection.readsPayload).toBe(false);
  expect(said).toEqual([]);
  const reader = join(2, true);
  expect(reader.welcome).toMatchObject({ mode: "assistant", payload: true });
  expect(reader.connection.readsPayload).toBe(true);
  expect(said).toEqual([true]);
});

test("it is captured until the last of them is gone, with the last of its connections", () => {
  const { said, join } = setUp();
  const [one, again, two, other] = [join(1, true), join(1, true), join(2, true), join(3, false)];
  one.leave();
  two.leave();
  expect(said).toEqual([true]);
  again.leave();
  expect(said).toEqual([true, false]);
  other.leave();
  expect(said).toEqual([true, false]);
  join(1, true);
  expect(said).toEqual([true, false, true]);
});
