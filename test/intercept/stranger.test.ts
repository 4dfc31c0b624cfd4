/** What a copy that has the key can do to others by registering flows: nothing, and what it leaves is withdrawn. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import type { Peer } from "../../src/channel/contract.ts";
import { OPEN, OPENING, REGISTRATION_BYTES } from "../../src/channel/registration.ts";
import { parseAddress } from "../../src/config/address.ts";
import type { InterceptPlaneConfig } from "../../src/intercept/data-plane/config.ts";
import { Connection } from "../../src/intercept/data-plane/connections.ts";
import { Copies } from "../../src/intercept/data-plane/copies.ts";
import { Questions } from "../../src/intercept/data-plane/facts.ts";
import { FLOW_BYTES, FORMER, Learned } from "../../src/intercept/data-plane/flow-maps.ts";
import { Registration } from "../../src/intercept/data-plane/registration.ts";
import { Router } from "../../src/intercept/data-plane/router.ts";
import { BpfHashMap } from "../../src/native/bpf/map.ts";
import { testRun } from "../../src/native/bpf/test-run.ts";
import { ACK, build, FIN, type Frame, RST, SYN } from "../bpf/build.ts";
import { answerTo, cookieOption, loadForTest, type TestIntercept } from "./load.ts";
import { planeConfig } from "./plane.ts";
import { flowBytes, rowOf } from "./response.ts";

const PASS = -1;
const CLIENT = "203.0.113.7";
const SERVER = "10.0.0.2";
const PORTS = { first: 1024, count: 64_512 };
const FRAME: Frame = { source: CLIENT, destination: SERVER, sourcePort: 40_000, destinationPort: 8080 };
const LINGER = 120e6;

let intercept: TestIntercept;
beforeEach(() => {
  intercept = loadForTest({ flows: PORTS.count * 2 });
  intercept.beat();
});
afterEach(() => {
  intercept.kernel.detach();
});

function setUp(change: Partial<InterceptPlaneConfig> = {}) {
  const { kernel, cookies, owners, learned, registered } = intercept;
  const config = {
    ...planeConfig(),
    mode: "target" as const,
    maxFlows: PORTS.count * 2,
    linger: LINGER,
    ...change,
  };
  const copies = new Copies<Connection>();
  const router = new Router(
    { ...config, single: -1, holds: false, servesClients: true, passesDatagrams: false, seed: 1 },
    copies,
  );
  const datagrams = new Learned(kernel.datagramFlowsMap);
  const said: string[] = [];
  const registration = new Registration(
    config,
    copies,
    router,
    config.mode === "target" ? { cookies, owners, learned, registered, datagrams } : null,
    new Questions(config, () => false),
    (event) => said.push(event.text),
    () => {},
    () => intercept.setRegisters(),
  );
  let fd = 10;
  const join = (name: number) => {
    const connection = new Connection(fd++, Uint8Array.of(10, 0, 0, 1), `10.0.0.1:${fd}`, []);
    const got: number[] = [];
    connection.peer = {
      outgoing: { discarded: 0 },
      response: (packet) => got.push(packet.destinationPort) > 0,
    } as Peer;
    const handlers = registration.handlersFor(connection);
    const instance = new Uint8Array(8).fill(name);
    handlers.admit({ instance, authenticated: true, version: 2 });
    return {
      connection,
      got,
      handlers,
      instance,
      leave: (now: number) => registration.onGone(connection, now),
    };
  };
  /** Time passes, with as many rounds as it takes to clear away what is over. */
  const pass = (now: number) => {
    let rounds = 0;
    do {
      registration.advance(now);
      rounds++;
    } while (registration.wait(now, 1) === 0);
    return rounds;
  };
  return { registration, router, datagrams, said, join, pass };
}

/** Rows for all ports of the client: of half of them as if their connections were open. */
function rowsOfClient(): Uint8Array {
  const rows = new Uint8Array(PORTS.count * REGISTRATION_BYTES);
  for (let index = 0; index < PORTS.count; index++) {
    const port = PORTS.first + index;
    const flow = { client: CLIENT, clientPort: port, server: SERVER, serverPort: 8080 };
    const row = rowOf(flow, port & 1 ? OPEN : OPENING, port * 65_000, port * 65_000 + 2000, port);
    rows.set(new Uint8Array(row.buffer), index * REGISTRATION_BYTES);
  }
  return rows;
}

/** The verdicts about a whole connection of a real client. */
function verdictsOf(sourcePort: number, isn: number): number[] {
  const syn = build({ ...FRAME, sourcePort, flags: SYN, seq: isn, options: Array(20).fill(1) });
  const answers: Frame[] = [
    { flags: SYN | ACK, seq: 9_000_000, ack: isn + 1 },
    { flags: ACK, seq: 9_000_001, ack: isn + 80, payload: 500 },
    { flags: FIN | ACK, seq: 9_000_501, ack: isn + 80 },
    { flags: RST, seq: 9_000_502, ack: 0 },
  ];
  return [
    testRun(intercept.kernel.learnProgram, syn.bytes).verdict,
    ...answers.map((answer) => {
      const frame = { ...answerTo({ ...FRAME, sourcePort }), ...answer };
      return testRun(intercept.kernel.catchProgram, build(frame).bytes).verdict;
    }),
  ];
}

test("64,512 ports of a client: its connections to the test service go on, and the stranger gets nothing of them", () => {
  const { registration, router, join, pass } = setUp();
  const known = new BpfHashMap(intercept.kernel.registeredMap, FLOW_BYTES, 1024, 5);
  const stranger = join(1);
  stranger.handlers.onRegister(rowsOfClient(), 0, PORTS.count);
  expect([registration.registered, known.count()]).toEqual([PORTS.count, PORTS.count]);
  for (let port = PORTS.first; port < 65_536; port += 331)
    expect([port, ...verdictsOf(port, 0x70000000)]).toEqual([port, PASS, PASS, PASS, PASS, PASS]);
  expect(intercept.take()).toEqual([]);
  expect([intercept.learned.count(), intercept.counted().confirmed ?? 0]).toEqual([0, 0]);
  stranger.leave(5);
  pass(5 + LINGER);
  expect([router.withdrawn, router.flows.count, known.count()]).toEqual([PORTS.count, 0, 0]);
});

test("when a copy is gone for the time to linger, all its flows are withdrawn, and no other's", () => {
  const { registration, router, datagrams, join, pass } = setUp();
  const [one, other] = [join(1), join(2)];
  for (const { handlers, instance, got } of [one, other]) {
    const base = 20_000 + 10_000 * (got === one.got ? 0 : 1);
    for (let port = base; port < base + 3000; port++) {
      const frame = { ...FRAME, sourcePort: port, flags: SYN, options: cookieOption(instance) };
      expect(testRun(intercept.kernel.learnProgram, build(frame).bytes).verdict).toBe(PASS);
    }
    const flow = { client: CLIENT, clientPort: base + 5000, server: SERVER, serverPort: 8080 };
    handlers.onRegister(new Uint8Array(rowOf(flow, OPEN, 5000, 5000, 90).buffer), 0, 1);
    handlers.onRegisterDatagrams!(flowBytes(flow), 0, 1);
  }
  const isCaught = (sourcePort: number) =>
    testRun(intercept.kernel.catchProgram, build(answerTo({ ...FRAME, sourcePort })).bytes).verdict !== PASS;
  one.leave(1000);
  pass(1000 + LINGER - 1);
  // It may come back: until then nobody gets what the target goes on sending.
  expect(isCaught(20_000)).toBe(true);
  expect([intercept.learned.count(), datagrams.count(), router.flows.count]).toEqual([6000, 2, 2]);
  const rounds = pass(1000 + LINGER);
  // Bit by bit: other work goes on in between.
  expect(rounds).toBeGreaterThan(3);
  expect([intercept.learned.count(), datagrams.count(), router.flows.count]).toEqual([3000, 1, 1]);
  expect([20_000, 22_999, 30_000, 32_999].map(isCaught)).toEqual([false, false, true, true]);
  expect(registration.withdrawn + router.withdrawn).toBe(3002);
  const late = { ...FRAME, sourcePort: 50_000, flags: SYN, options: cookieOption(one.instance) };
  testRun(intercept.kernel.learnProgram, build(late).bytes);
  expect(isCaught(50_000)).toBe(false);
  // Its connections may still be there, for a copy to begin anew.
  const third = join(3);
  const again = { ...FRAME, sourcePort: 20_000, flags: SYN, options: cookieOption(third.instance) };
  testRun(intercept.kernel.learnProgram, build(again).bytes);
  expect([20_000, 20_001].map(isCaught)).toEqual([true, false]);
  third.leave(LINGER);
  other.leave(2 * LINGER);
  pass(3 * LINGER);
  expect([intercept.learned.isEmpty, datagrams.isEmpty, router.flows.count]).toEqual([true, true, 0]);
});

test("a copy that is back in time keeps what it had; one that has its place has none of it", () => {
  const { router, join, pass } = setUp();
  const one = join(1);
  const learn = (instance: Uint8Array, sourcePort: number) => {
    const frame = { ...FRAME, sourcePort, flags: SYN, options: cookieOption(instance) };
    testRun(intercept.kernel.learnProgram, build(frame).bytes);
  };
  learn(one.instance, 2000);
  one.leave(0);
  const back = join(1);
  expect(back.connection.slot).toBe(one.connection.slot);
  pass(LINGER);
  expect(intercept.learned.count()).toBe(1);
  const answer = (sourcePort: number) => {
    intercept.beat();
    testRun(intercept.kernel.catchProgram, build(answerTo({ ...FRAME, sourcePort })).bytes);
    return intercept.take()[0]!.index;
  };
  const before = answer(2000);
  back.leave(LINGER);
  pass(2 * LINGER);
  // Until another one has the same slot.
  let other = join(2);
  for (let name = 3; other.connection.slot !== one.connection.slot; name++) {
    other.leave(2 * LINGER);
    pass(4 * LINGER + name);
    other = join(name);
    if (name > 1100) throw new Error("no copy got the slot");
  }
  learn(other.instance, 2001);
  const after = answer(2001);
  expect(after).not.toBe(before);
  expect([before & 1023, after & 1023]).toEqual([other.connection.slot, other.connection.slot]);
  expect(router.withdrawn).toBe(0);
});

test("flows of an earlier intercept are kept for the time to linger", () => {
  const { registration, pass } = setUp({ inherits: true });
  const flow = { client: CLIENT, clientPort: 2000, server: SERVER, serverPort: 8080 };
  intercept.learned.add(flowBytes(flow), FORMER);
  pass(5);
  pass(4 + LINGER);
  expect([intercept.learned.count(), registration.withdrawn]).toEqual([1, 0]);
  pass(5 + LINGER);
  expect([intercept.learned.count(), registration.withdrawn]).toEqual([0, 1]);
});

test("address ranges that hold an address of this host or of a service are refused", () => {
  const noClients = ["10.0.0.2", "10.0.0.3", "::1"].map((text) => parseAddress(text)!.bytes);
  const { registration, router, said, join } = setUp({ mode: "assistant", noClients });
  const { handlers } = join(1);
  handlers.onRanges([
    { first: "0.0.0.0", last: "255.255.255.255" },
    { first: "10.0.0.3", last: "10.0.0.3" },
    { first: "::", last: "ffff::" },
    { first: "10.1.0.1", last: "10.1.0.9" },
    { first: "10.1.0.1", last: "fd00::1" },
    { first: "10.0.0.4", last: "10.0.0.9" },
  ]);
  expect([router.ranges.count, registration.refused]).toEqual([2, 4]);
  expect(said.filter((text) => text.includes("no client's")).length).toBe(3);
});
