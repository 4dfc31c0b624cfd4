/** Connections of others that the target's own TCP has: no SYN of a copy gets to them, and no copy gets their answers. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { OPEN, UNNUMBERED } from "../../src/channel/registration.ts";
import { accept, close, connect, listen, localEndpoint, receive, send } from "../../src/channel/socket.ts";
import { formatAddress } from "../../src/config/address.ts";
import { FORMER, UNPROVED } from "../../src/intercept/data-plane/flow-maps.ts";
import { testRun } from "../../src/native/bpf/test-run.ts";
import { address, EAGAIN, libc } from "../../src/native/libc.ts";
import { ACK, build, type Frame, SYN } from "../bpf/build.ts";
import { until } from "../support/until.ts";
import { answerTo, COOKIE, cookieOption, flowOf, loadForTest, SLOT, type TestIntercept } from "./load.ts";

const PASS = -1;
const DROP = 2;
const GONE = 7;
/** linux/tcp.h: what a socket's queues go on from is told while it is under repair. */
const IPPROTO_TCP = 6;
const TCP_DEFER_ACCEPT = 9;
const TCP_REPAIR = 19;
const TCP_REPAIR_QUEUE = 20;
const TCP_QUEUE_SEQ = 21;
const [RECEIVE_QUEUE, SEND_QUEUE, NOT_ANY_MORE] = [1, 2, -1];

let intercept: TestIntercept;
let open: number[] = [];
let listener = -1;
let port = 0;
let local: Uint8Array;

function begin(host: Uint8Array): void {
  local = host;
  [listener] = listen([{ address: local, port: 0 }]) as [number];
  ({ port } = localEndpoint(listener));
  const ports: [number, number][] = [[port, port]];
  intercept = loadForTest({
    services: [
      { address: null, family: 4, ports },
      { address: null, family: 6, ports },
    ],
  });
  intercept.beat();
}

beforeEach(() => {
  open = [];
});
afterEach(() => {
  for (const fd of [...open, listener]) close(fd);
  intercept.kernel.detach();
});

interface Ends {
  near: number;
  far: number;
  /** A copy's SYN with the addresses and ports of the connection. */
  syn: Frame;
}

/** A connection of a real client with the service. */
async function visit(): Promise<Ends> {
  const near = connect({ address: local, port });
  open.push(near);
  const far = await until("a connection", () => {
    const accepted = accept(listener);
    return typeof accepted === "number" ? undefined : accepted.fd;
  });
  open.push(far);
  const { port: sourcePort } = localEndpoint(near);
  const text = formatAddress(local);
  const syn = { source: text, destination: text, sourcePort, destinationPort: port, flags: SYN };
  return { near, far, syn: { ...syn, seq: 77, options: cookieOption(COOKIE) } };
}

/** Whether what one end sends arrives at the other. */
async function carries(from: number, to: number): Promise<boolean> {
  const bytes = new Uint8Array(new ArrayBuffer(8));
  send(from, bytes, 0, 5);
  return (await until("what was sent", () => Math.max(0, receive(to, bytes, 0, 8)))) === 5;
}

/** Closes one end, and waits until the other has read that. */
async function end(fd: number, other: number): Promise<void> {
  open = open.filter((one) => one !== fd);
  close(fd);
  if (other < 0) return;
  const bytes = new Uint8Array(new ArrayBuffer(8));
  await until("the end", () => receive(other, bytes, 0, 8) === 0);
}

const learn = (frame: Frame) => testRun(intercept.kernel.learnProgram, build(frame).bytes).verdict;
const answer = (syn: Frame, flags = ACK) =>
  testRun(intercept.kernel.catchProgram, build({ ...answerTo(syn), flags }).bytes).verdict;

for (const [name, host] of [
  ["IPv4", Uint8Array.of(127, 0, 0, 1)],
  ["IPv6", Uint8Array.of(...Array(15).fill(0), 1)],
] as const) {
  test(`${name}: a marked SYN to a client's connection is dropped, and the connection goes on`, async () => {
    begin(host);
    const { near, far, syn } = await visit();
    expect(learn(syn)).toBe(DROP);
    expect(intercept.counted()).toEqual({ refused: 1 });
    expect(intercept.learned.isEmpty).toBe(true);
    expect(answer(syn)).toBe(PASS);
    expect([await carries(near, far), await carries(far, near)]).toEqual([true, true]);
    // Half closed, it is still a connection.
    await end(near, far);
    expect(learn(syn)).toBe(DROP);
    expect(intercept.counted()).toEqual({ refused: 1 });
  });
}

test("a connection of a client that waits for its first data is one: of a service that defers accepting", async () => {
  begin(Uint8Array.of(127, 0, 0, 1));
  const seconds = Int32Array.of(60);
  expect(libc.setsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, address(seconds), 4)).toBe(0);
  const near = connect({ address: local, port });
  open.push(near);
  const text = formatAddress(local);
  const ends = { source: text, destination: text, destinationPort: port };
  const syn = {
    ...ends,
    sourcePort: localEndpoint(near).port,
    flags: SYN,
    seq: 77,
    options: cookieOption(COOKIE),
  };
  expect(accept(listener)).toBe(-EAGAIN);
  expect(learn(syn)).toBe(DROP);
  expect(intercept.counted()).toEqual({ refused: 1 });
  send(near, new Uint8Array(new ArrayBuffer(1)), 0, 1);
  const far = await until("the connection", () => {
    const accepted = accept(listener);
    return typeof accepted === "number" ? undefined : accepted.fd;
  });
  open.push(far);
  expect(await carries(far, near)).toBe(true);
});

test("a service that listens, and what is left of a connection that is over, are no obstacle", async () => {
  begin(Uint8Array.of(127, 0, 0, 1));
  const { near, far, syn } = await visit();
  expect(learn({ ...syn, sourcePort: 9 })).toBe(PASS);
  expect(learn(syn)).toBe(DROP);
  await end(far, near);
  await end(near, -1);
  // The side that closed first waits (TIME_WAIT), and its TCP takes a new SYN.
  await until("the end of the connection", () => learn(syn) === PASS);
  expect(answer(syn)).toBe(GONE);
});

test("a connection of a copy is no obstacle: learned before, or registered with the numbers that it has", async () => {
  begin(Uint8Array.of(127, 0, 0, 1));
  const { near, far, syn } = await visit();
  intercept.learned.add(flowOf(syn), SLOT + 1024);
  expect(learn(syn)).toBe(PASS);
  intercept.learned.remove(flowOf(syn));
  const numberOf = (queue: number) => {
    const value = new Int32Array(new ArrayBuffer(8));
    const option = (name: number, set: number) => {
      value[0] = set;
      expect(libc.setsockopt(far, IPPROTO_TCP, name, address(value), 4)).toBe(0);
    };
    option(TCP_REPAIR, 1);
    option(TCP_REPAIR_QUEUE, queue);
    value[1] = 4;
    expect(libc.getsockopt(far, IPPROTO_TCP, TCP_QUEUE_SEQ, address(value), address(value) + 4)).toBe(0);
    const found = value[0]!;
    option(TCP_REPAIR, NOT_ANY_MORE);
    return found;
  };
  const [rcv, una] = [numberOf(SEND_QUEUE), numberOf(RECEIVE_QUEUE)];
  const register = (una: number, rcv: number) => {
    intercept.registered.add(flowOf(syn), 0, SLOT, una, una, rcv, OPEN);
    intercept.registered.flush();
    intercept.setRegisters();
  };
  register(una, rcv ^ 0x40000000);
  expect(learn(syn)).toBe(DROP);
  register(una + 1000, rcv);
  expect(learn(syn)).toBe(DROP);
  register(una, rcv);
  expect(learn(syn)).toBe(PASS);
  expect(testRun(intercept.kernel.catchProgram, build({ ...answerTo(syn), flags: ACK }).bytes).verdict).toBe(
    GONE,
  );
  expect([await carries(near, far), await carries(far, near)]).toEqual([true, true]);
});

describe("what a copy had that is gone for good", () => {
  const NEXT = SLOT + 1024;
  const unmarked = (syn: Frame) => ({ ...syn, options: Array(20).fill(1) });
  /** The copy is withdrawn, and another one has its slot. */
  const withdraw = () => {
    intercept.owners.set(NEXT);
    intercept.cookies.set(COOKIE, NEXT);
  };

  test("its responses pass, and a SYN of a copy gets to its connection", async () => {
    begin(Uint8Array.of(127, 0, 0, 1));
    const { syn } = await visit();
    intercept.learned.add(flowOf(syn), SLOT);
    expect(answer(syn)).toBe(GONE);
    withdraw();
    expect(answer(syn)).toBe(PASS);
    expect(intercept.learned.isEmpty).toBe(true);
    intercept.take();
    expect(learn(syn)).toBe(PASS);
    expect(answer(syn)).toBe(GONE);
    expect(intercept.take().map(({ index }) => index)).toEqual([NEXT]);
    expect(intercept.counted()).toMatchObject({ learned: 1 });
  });

  test("flows of an earlier intercept are dropped until they are over, and then the same", async () => {
    begin(Uint8Array.of(127, 0, 0, 1));
    const { syn } = await visit();
    intercept.learned.add(flowOf(syn), FORMER);
    expect(answer(syn)).toBe(GONE);
    intercept.owners.endFormer();
    expect(answer(syn)).toBe(PASS);
    expect(learn(syn)).toBe(PASS);
    expect(answer(syn)).toBe(GONE);
  });

  test("where a real client began the connection since, no SYN of a copy gets to it", async () => {
    begin(Uint8Array.of(127, 0, 0, 1));
    const { near, far, syn } = await visit();
    intercept.learned.add(flowOf(syn), SLOT);
    withdraw();
    expect(learn(unmarked(syn))).toBe(PASS);
    expect(learn(syn)).toBe(DROP);
    // It was nobody's: no flow of a copy was forgotten.
    expect(intercept.counted()).toEqual({ refused: 1 });
    expect(answer(syn)).toBe(PASS);
    expect([await carries(near, far), await carries(far, near)]).toEqual([true, true]);
  });

  test("a tcpcopy's flow, which a real client may have begun, is no reason to let a SYN to it", async () => {
    begin(Uint8Array.of(127, 0, 0, 1));
    const { syn } = await visit();
    intercept.registered.add(flowOf(syn), 0, SLOT, 0, 0, 0, UNNUMBERED);
    intercept.registered.flush();
    intercept.setRegisters();
    expect(answer(syn, SYN | ACK)).toBe(GONE);
    expect(intercept.take().map(({ index }) => index)).toEqual([SLOT]);
    expect(learn(unmarked(syn))).toBe(PASS);
    intercept.registered.remove(flowOf(syn), 0);
    intercept.registered.flush();
    withdraw();
    expect(answer(syn)).toBe(PASS);
    expect(learn(syn)).toBe(DROP);
    // An intercept after this one knows it as well.
    intercept.learned.add(flowOf(syn), FORMER + UNPROVED);
    expect(answer(syn)).toBe(GONE);
    intercept.owners.endFormer();
    expect([answer(syn), learn(syn)]).toEqual([PASS, DROP]);
  });
});
