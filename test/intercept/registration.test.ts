/** What an intercept does for its copies: captures payload while one of them reads it, and answers questions. */
import { expect, test } from "bun:test";
import type { Candidate, Peer } from "../../src/channel/contract.ts";
import type { Facts } from "../../src/channel/messages.ts";
import { Connection } from "../../src/intercept/data-plane/connections.ts";
import { Copies } from "../../src/intercept/data-plane/copies.ts";
import { Questions } from "../../src/intercept/data-plane/facts.ts";
import { Registration } from "../../src/intercept/data-plane/registration.ts";
import { Router } from "../../src/intercept/data-plane/router.ts";
import { planeConfig } from "./plane.ts";
import { responseOf } from "./response.ts";

const CONFIG = planeConfig();

function setUp() {
  const copies = new Copies<Connection>();
  const router = new Router(
    { ...CONFIG, single: -1, holds: true, servesClients: true, passesDatagrams: false, seed: 1 },
    copies,
  );
  const said: boolean[] = [];
  const questions = new Questions(CONFIG, () => false);
  const registration = new Registration(
    CONFIG,
    copies,
    router,
    null,
    questions,
    () => {},
    (isRead) => said.push(isRead),
    () => {},
  );
  let fd = 10;
  const join = (name: number, readsPayload: boolean) => {
    const connection = new Connection(fd++, Uint8Array.of(10, 0, 0, 1), `10.0.0.1:${fd}`, []);
    connection.peer = { outgoing: { discarded: 0 } } as Peer;
    const copy: Candidate = { instance: new Uint8Array(8).fill(name), authenticated: false, version: 1 };
    const welcome = registration
      .handlersFor(connection)
      .admit(readsPayload ? { ...copy, readsPayload } : copy);
    return { connection, welcome, leave: () => registration.onGone(connection, 1) };
  };
  return { said, join, registration, questions };
}

test("WELCOME promises payload to a copy that reads it, and to no other", () => {
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

test("payload is captured until the last connection of the last copy that reads it is closed", () => {
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

test("a question is answered when all that was caught before has been handed on, and counts from the question on", () => {
  const { join, registration, questions } = setUp();
  const { connection } = join(1, false);
  const told: Facts[] = [];
  connection.peer.facts = (facts) => told.push(facts) > 0;
  const flow = { client: "192.0.2.1", clientPort: 40_000, server: "127.0.0.1", serverPort: 8080 };
  const { onAsk } = registration.handlersFor(connection);
  onAsk({ id: 1, what: "probe", ...flow });
  onAsk({ id: 2, what: "sync" });
  expect(told).toEqual([{ id: 2 }]);
  // It was in the ring already when the question was read.
  questions.see(responseOf(flow), true);
  registration.answerQuestions();
  expect(told[1]).toMatchObject({ id: 1, caught: 1, sent: 1, synAck: true });
  registration.answerQuestions();
  expect(told.length).toBe(2);
});
