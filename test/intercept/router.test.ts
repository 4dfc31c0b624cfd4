/** Which copy gets a response, and that every response is counted once. */

import { describe, expect, test } from "bun:test";
import { OPEN, OPENING, REGISTRATION_BYTES, UNNUMBERED } from "../../src/channel/registration.ts";
import { parseAddress } from "../../src/config/address.ts";
import { Copies, type Receiver, SLOTS } from "../../src/intercept/data-plane/copies.ts";
import { HOLD_SPAN } from "../../src/intercept/data-plane/hold.ts";
import { AHEAD, MOST_IN_FLIGHT, NEAR } from "../../src/intercept/data-plane/proof.ts";
import { MOST_RANGES } from "../../src/intercept/data-plane/ranges.ts";
import {
  DATAGRAM_SPAN,
  PENDING_SPAN,
  Router,
  type RouterOptions,
} from "../../src/intercept/data-plane/router.ts";
import type { Packet } from "../../src/wire/packet.ts";
import { type Prefix, WHOLE } from "../../src/wire/prefix.ts";
import { ACK, RST, SYN } from "../../src/wire/tcp.ts";
import { datagramOf, flowBytes, responseOf, rowOf } from "./response.ts";

/** State, una, max, rcv of a registration. */
type Proof = [state?: number, una?: number, max?: number, rcv?: number];

const FLOW = { client: "10.1.0.5", clientPort: 4000, server: "10.0.0.2", serverPort: 80 };

class Copy implements Receiver {
  readonly got: { from: string; to: string; port: number }[] = [];
  /** Payload of each. */
  readonly read: string[] = [];

  constructor(
    readonly readsPayload = false,
    readonly prefix: Prefix = WHOLE,
  ) {}

  response(packet: Packet): boolean {
    const at = (offset: number) =>
      [...packet.bytes.slice(packet.ip + offset, packet.ip + offset + 4)].join(".");
    this.got.push({ from: at(12), to: at(16), port: packet.destinationPort });
    this.read.push(Buffer.from(packet.bytes.subarray(packet.payload, packet.end)).toString("latin1"));
    return true;
  }
}

function setUp(options: Partial<RouterOptions> = {}) {
  const copies = new Copies<Copy>();
  const router = new Router(
    {
      maxFlows: 1024,
      translations: [],
      dnat: false,
      pass: [],
      single: -1,
      holds: true,
      servesClients: true,
      passesDatagrams: false,
      seed: 1,
      ...options,
    },
    copies,
  );
  const join = (id: string, readsPayload = false, prefix = WHOLE) => {
    const copy = new Copy(readsPayload, prefix);
    return { copy, slot: copies.join(id, copy)!.slot };
  };
  const register = (owner: number, flow = FLOW, ...proof: Proof) =>
    router.register(owner, rowOf(flow, ...proof), 0, REGISTRATION_BYTES, 0);
  /** The copy in a slot does not come back. */
  const withdraw = (slot: number) => {
    const owner = copies.ownerOf(slot);
    copies.forget(slot);
    router.withdraw(owner);
    while (!router.sweep(64, 0));
  };
  const counts = () => {
    const { packets, routed, unrouted, passed, held } = router;
    expect(routed + unrouted + passed + held).toBe(packets);
    return { routed, unrouted, passed, held };
  };
  return { copies, router, join, register, withdraw, counts };
}

describe("registered flows", () => {
  test("go to the copy that registered them, others to no copy", () => {
    const { router, join, register, counts } = setUp();
    const [one, other] = [join("a"), join("b")];
    register(one.slot);
    register(other.slot, { ...FLOW, clientPort: 4001 });
    expect(router.response(responseOf(FLOW), 0)).toBe(true);
    router.response(responseOf({ ...FLOW, clientPort: 4001 }, ACK), 0);
    router.response(responseOf({ ...FLOW, clientPort: 4002 }, ACK), 0);
    router.response(responseOf({ ...FLOW, server: "10.0.0.3" }, ACK), 0);
    expect(one.copy.got).toEqual([{ from: FLOW.server, to: FLOW.client, port: 4000 }]);
    expect(other.copy.got).toEqual([{ from: FLOW.server, to: FLOW.client, port: 4001 }]);
    expect(counts()).toEqual({ routed: 2, unrouted: 2, passed: 0, held: 0 });
  });

  test("of a copy that is gone belong to no copy, and to it again when it is back", () => {
    const { copies, router, join, register, withdraw, counts } = setUp();
    const { copy, slot } = join("a");
    register(slot);
    router.response(responseOf(FLOW), 0);
    expect(copy.got).toHaveLength(1);
    expect(copies.leave(slot, copy, 1)).toBe(true);
    router.response(responseOf(FLOW, ACK), 2);
    expect(counts().unrouted).toBe(1);
    const back = join("a");
    expect(back.slot).toBe(slot);
    router.response(responseOf(FLOW, ACK), 3);
    expect(back.copy.got).toHaveLength(1);
    copies.leave(slot, back.copy, 4);
    withdraw(slot);
    expect([router.flows.count, router.withdrawn]).toEqual([0, 1]);
    router.response(responseOf(FLOW, ACK), 4);
    expect(counts()).toMatchObject({ routed: 2, unrouted: 2 });
  });
});

describe("a registration", () => {
  const at = (seq: number, ack: number) => ({ seq, ack });
  /** State, una, max, rcv; flags and numbers of a response; whether it is to the copy. */
  const cases: [
    name: string,
    proof: Proof,
    flags: number,
    numbers: { seq: number; ack: number },
    is: boolean,
  ][] = [
    ["of a SYN: its SYN-ACK", [OPENING, 1001], SYN | ACK, at(7, 1001), true],
    ["of a SYN: what refuses it", [OPENING, 1001], RST | ACK, at(0, 1001), true],
    ["of a SYN: the SYN-ACK to a real client", [OPENING, 1001], SYN | ACK, at(7, 1002), false],
    ["of a SYN: data to a real client", [OPENING, 1001], ACK, at(7, 1000), false],
    ["of a SYN: a RST without ACK", [OPENING, 1001], RST, at(1001, 1001), false],
    ["of a SYN of the last number", [OPENING, 0], SYN | ACK, at(7, 0), true],
    ["open: an ACK of all", [OPEN, 5000, 6000, 90], ACK, at(90, 6000), true],
    ["open: an ACK of nothing new", [OPEN, 5000, 6000, 90], ACK, at(90, 5000), true],
    ["open: an ACK of what is sent later", [OPEN, 5000, 5000, 90], ACK, at(90, 5700), true],
    ["open: data sent again", [OPEN, 5000, 5000, 90_000], ACK, at(50_000, 5000), true],
    ["open: numbers that go round", [OPEN, -200, 100, 20], ACK, at(-30, 50), true],
    ["open: an ACK of what is long acknowledged", [OPEN, 5000, 6000, 90], ACK, at(90, 4999), false],
    ["open: an ACK of what was never sent", [OPEN, 5000, 6000, 90], ACK, at(90, 6001 + AHEAD), false],
    ["open: data of another connection", [OPEN, 5000, 6000, 90], ACK, at(91 + NEAR, 6000), false],
    [
      "open: any number, as if all were in flight",
      [OPEN, 5000, 4999, 90],
      ACK,
      at(90, 5001 + MOST_IN_FLIGHT + AHEAD),
      false,
    ],
    ["open: a RST of a target that knows no such connection", [OPEN, 5000, 6000, 90], RST, at(90, 0), true],
    ["open: another RST", [OPEN, 5000, 6000, 90], RST, at(91, 0), false],
    ["of a tcpcopy: a SYN-ACK", [UNNUMBERED, 0], SYN | ACK, at(7, 1001), true],
    ["of a tcpcopy: what refuses a SYN", [UNNUMBERED, 0], RST | ACK, at(0, 1001), true],
    ["of a tcpcopy: data of an open connection", [UNNUMBERED, 0], ACK, at(7, 1001), false],
    ["of a tcpcopy: the end of an open connection", [UNNUMBERED, 0], RST | ACK, at(7, 1001), false],
    ["of a state that there is not", [9, 1001], SYN | ACK, at(7, 1001), false],
  ];
  test.each(cases)("%s", (_, proof, flags, numbers, is) => {
    const { router, join, register } = setUp();
    const { copy, slot } = join("a");
    register(slot, FLOW, ...proof);
    const response = responseOf(FLOW, flags, undefined, "", 0, numbers);
    router.response(response, 0);
    expect(copy.got.length).toBe(is ? 1 : 0);
    expect(router.confirmed).toBe(is ? 1 : 0);
    // From then on all of the flow is the copy's; before, nothing.
    router.response(responseOf(FLOW, ACK, undefined, "", 0, at(1 << 30, 1 << 30)), 0);
    expect(copy.got.length).toBe(is ? 2 : 0);
  });

  test("that says whose a response is that waits takes it; another does not", () => {
    const { router, join, register, counts } = setUp();
    const [one, other] = [join("a"), join("b")];
    router.response(responseOf(FLOW), 0);
    register(other.slot, FLOW, OPENING, 77);
    expect(counts().held).toBe(1);
    register(one.slot);
    expect([one.copy.got.length, other.copy.got.length]).toEqual([1, 0]);
  });

  test("takes no flow of another copy that is connected, unless it is a new connection", () => {
    const { copies, router, join, register } = setUp();
    const [one, other] = [join("a"), join("b")];
    const got = () => [one.copy.got.length, other.copy.got.length];
    register(one.slot);
    router.response(responseOf(FLOW), 0);
    register(other.slot, FLOW, OPEN, 2, 2, 1);
    router.response(responseOf(FLOW, ACK), 0);
    expect(got()).toEqual([2, 0]);
    register(other.slot, FLOW, OPENING, 99);
    router.response(responseOf(FLOW, ACK), 0);
    expect(got()).toEqual([3, 0]);
    router.response(responseOf(FLOW, SYN | ACK, undefined, "", 0, at(7, 99)), 0);
    router.response(responseOf(FLOW, ACK), 0);
    expect(got()).toEqual([3, 2]);
    expect(router.flows.count).toBe(1);
    // One that has come again, by another name, goes on with what was its own.
    copies.leave(other.slot, other.copy, 1);
    register(one.slot, FLOW, OPEN, 2, 2, 1);
    router.response(responseOf(FLOW, ACK), 0);
    expect(got()).toEqual([4, 2]);
  });

  test("gets the bare ACK of a connection that a copy before has left, where no client is served", () => {
    const { copies, router, join, register } = setUp({ servesClients: false });
    const [former, next] = [join("a"), join("b")];
    const got = () => [former.copy.got.length, next.copy.got.length];
    register(former.slot, FLOW, OPENING, 1001);
    router.response(responseOf(FLOW, SYN | ACK, undefined, "", 0, at(7, 1001)), 0);
    register(next.slot, FLOW, OPENING, 5001);
    const bare = responseOf(FLOW, ACK, undefined, "", 0, at(8, 1500));
    // The connection of a copy that is there is its own.
    router.response(bare, 0);
    expect(got()).toEqual([2, 0]);
    copies.leave(former.slot, former.copy, 0);
    router.response(bare, 0);
    router.response(responseOf(FLOW, ACK, undefined, "secret", 6, at(8, 1500)), 0);
    expect([...got(), router.confirmed]).toEqual([2, 1, 1]);
    router.response(responseOf(FLOW, SYN | ACK, undefined, "", 0, at(9, 5001)), 0);
    expect([...got(), router.confirmed]).toEqual([2, 2, 2]);
    expect(router.flows.count).toBe(1);
  });

  test("that no response proves is over after a minute; of an open connection it stays", () => {
    const { router, join, register } = setUp();
    const { slot } = join("a");
    register(slot);
    register(slot, { ...FLOW, clientPort: 1 }, OPEN, 5000, 5000, 90);
    register(slot, { ...FLOW, clientPort: 2 });
    router.response(responseOf({ ...FLOW, clientPort: 2 }), 0);
    router.sweep(5000, PENDING_SPAN - 1);
    expect([router.flows.count, router.expired]).toEqual([3, 0]);
    router.sweep(5000, PENDING_SPAN);
    expect([router.flows.count, router.expired]).toEqual([2, 1]);
  });

  test("of UDP is refused where another copy that is connected has the flow", () => {
    const { copies, router, join } = setUp();
    const [one, other] = [join("a"), join("b")];
    const rows = new Uint8Array([...flowBytes(FLOW), ...flowBytes({ ...FLOW, clientPort: 1 })]);
    const taken: number[][] = [];
    const take = (slot: number) =>
      router.registerDatagrams(slot, rows, 0, 72, 0, (from, to) => taken.push([from, to]));
    router.registerDatagrams(one.slot, rows, 0, 36, 0);
    take(other.slot);
    router.response(datagramOf(FLOW), 0);
    router.response(datagramOf({ ...FLOW, clientPort: 1 }), 0);
    expect([one.copy.got.length, other.copy.got.length, router.refused]).toEqual([1, 1, 1]);
    copies.leave(one.slot, one.copy, 1);
    take(other.slot);
    router.response(datagramOf(FLOW), 0);
    expect([one.copy.got.length, other.copy.got.length]).toEqual([1, 2]);
    expect(taken).toEqual([
      [36, 72],
      [0, 72],
    ]);
    router.sweep(5000, DATAGRAM_SPAN);
    expect([router.datagramFlows.count, router.expired]).toEqual([0, 2]);
  });
});

test("100,000 flows of a stranger, and all that it guesses of open connections: the client's responses are not its", () => {
  const { router, join, register, counts } = setUp({ maxFlows: 1 << 17, holds: false });
  const [stranger, own] = [join("stranger"), join("own")];
  for (let port = 1024; port < 65_536; port++)
    register(stranger.slot, { ...FLOW, clientPort: port }, port & 1 ? OPEN : OPENING, port * 65_536);
  for (let port = 1024; port < 65_536; port += 97) {
    const flow = { ...FLOW, clientPort: port };
    const numbers = { seq: port * 777, ack: port * 65_537 + 0x40000000 };
    for (const flags of [SYN | ACK, ACK, RST])
      router.response(responseOf(flow, flags, undefined, "", 0, numbers), 0);
    // And a copy of the same flow has its own.
    register(own.slot, flow, OPENING, numbers.ack);
    router.response(responseOf(flow, SYN | ACK, undefined, "", 0, numbers), 0);
  }
  expect(stranger.copy.got).toEqual([]);
  expect(own.copy.got.length).toBe(counts().routed);
  expect(own.copy.got.length).toBe(Math.ceil(64_512 / 97));
});

describe("a response before its registration", () => {
  test.each([
    ["SYN-ACK", undefined],
    ["RST", RST | ACK],
  ])("%s is held until then", (_, flags) => {
    const { router, join, register, counts } = setUp();
    const { copy, slot } = join("a");
    router.response(responseOf(FLOW, flags), 0);
    expect(counts()).toEqual({ routed: 0, unrouted: 0, passed: 0, held: 1 });
    register(slot);
    expect(copy.got).toHaveLength(1);
    expect(counts()).toEqual({ routed: 1, unrouted: 0, passed: 0, held: 0 });
    expect(router.released).toBe(1);
  });

  test("is held until its client is in a registered pool", () => {
    const { router, join, counts } = setUp();
    const { copy, slot } = join("a");
    router.response(responseOf(FLOW), 0);
    router.response(responseOf({ ...FLOW, client: "10.1.0.99" }), 0);
    router.addRanges(slot, [range("10.1.0.1", "10.1.0.9")]);
    expect(copy.got).toHaveLength(1);
    expect(counts()).toMatchObject({ routed: 1, held: 1 });
  });

  test("is dropped after 3 s; of several of a flow the newest is kept", () => {
    const { router, counts } = setUp();
    router.response(responseOf(FLOW), 0);
    router.response(responseOf(FLOW), 1000);
    router.response(responseOf({ ...FLOW, clientPort: 1 }), 2000);
    expect(counts()).toMatchObject({ unrouted: 1, held: 2 });
    router.expire(HOLD_SPAN);
    expect(counts()).toMatchObject({ unrouted: 2, held: 1 });
    router.expire(HOLD_SPAN + 2000);
    expect(counts()).toMatchObject({ unrouted: 3, held: 0 });
  });

  test("100,000 of them take no more memory than a few", () => {
    const { router, join, register, counts } = setUp();
    for (let number = 0; number < 100_000; number++) {
      const client = `10.2.${(number >> 8) & 255}.${number & 255}`;
      router.response(responseOf({ ...FLOW, client, clientPort: 1 + (number >> 16) }), number);
    }
    expect(counts()).toMatchObject({ held: 32768, unrouted: 100_000 - 32768 });
    const { copy, slot } = join("a");
    register(slot, { ...FLOW, client: "10.2.134.159", clientPort: 2 });
    expect(copy.got).toHaveLength(1);
  });

  test("belongs to no copy where the kernel learns flows", () => {
    const { router, counts } = setUp({ holds: false });
    router.response(responseOf(FLOW), 0);
    expect(counts()).toMatchObject({ unrouted: 1 });
  });
});

function range(first: string, last: string) {
  const [from, to] = [parseAddress(first)!, parseAddress(last)!];
  return { family: from.family, first: from.bytes, last: to.bytes };
}

test("a response to a client in the pools of two copies goes to both, and counts once", () => {
  const { router, join, counts } = setUp();
  const [one, other] = [join("a"), join("b")];
  router.addRanges(one.slot, [range("10.1.0.0", "10.1.0.5"), range("fd00::1", "fd00::f")]);
  router.addRanges(other.slot, [range("10.1.0.5", "10.1.1.0"), range("10.1.0.5", "10.1.0.6")]);
  router.response(responseOf(FLOW, ACK), 0);
  router.response(responseOf({ ...FLOW, client: "10.1.0.6" }, ACK), 0);
  router.response(responseOf({ ...FLOW, client: "fd00::5", server: "fd00::2:2" }, ACK), 0);
  router.response(responseOf({ ...FLOW, client: "10.1.1.1" }, ACK), 0);
  expect([one.copy.got.length, other.copy.got.length]).toEqual([2, 2]);
  expect(counts()).toEqual({ routed: 3, unrouted: 1, passed: 0, held: 0 });
});

test("pools grow, hold each address once, and end with their copy", () => {
  const { copies, router, join, withdraw } = setUp();
  const { slot, copy } = join("a");
  for (let times = 0; times < 2; times++) router.addRanges(slot, [range("10.1.0.1", "10.1.0.9")]);
  router.addRanges(slot, [range("10.2.0.1", "10.2.0.9")]);
  expect(router.ranges.count).toBe(2);
  const many = Array.from({ length: MOST_RANGES }, (_, index) => {
    const address = `10.3.${index >> 8}.${index & 255}`;
    return range(address, address);
  });
  expect(router.addRanges(slot, many)).toBe(2);
  copies.leave(slot, copy, 0);
  withdraw(slot);
  expect(router.ranges.count).toBe(0);
});

test("the slot that the kernel gives decides", () => {
  const { router, join, counts } = setUp({ holds: false });
  const [, other] = [join("a"), join("b")];
  router.response(responseOf(FLOW, ACK, other.slot), 0);
  router.response(responseOf(FLOW, ACK, 77), 0);
  expect(other.copy.got).toHaveLength(1);
  expect(counts()).toMatchObject({ routed: 1, unrouted: 1 });
});

test("responses to clients of the pass list pass", () => {
  const { router, join, register, counts } = setUp({ pass: [parseAddress("10.1.0.9")!.bytes] });
  register(join("a").slot);
  expect(router.response(responseOf({ ...FLOW, client: "10.1.0.9" }), 0)).toBe(false);
  expect(router.response(responseOf(FLOW), 0)).toBe(true);
  expect(counts()).toMatchObject({ routed: 1, passed: 1 });
});

test("with translations a response is found, and shown, as one to the other address", () => {
  const pair = { from: parseAddress("172.17.0.1")!.bytes, to: parseAddress(FLOW.client)!.bytes };
  const { router, join, register } = setUp({ translations: [pair] });
  const { copy, slot } = join("a");
  register(slot);
  const packet = responseOf({ ...FLOW, client: "172.17.0.1" });
  const before = packet.bytes.slice();
  router.response(packet, 0);
  expect(copy.got).toEqual([{ from: FLOW.server, to: FLOW.client, port: 4000 }]);
  expect(packet.bytes).toEqual(before);
});

test("behind a DNAT the server's address is the registered one", () => {
  const { router, join, register } = setUp({ dnat: true });
  const { copy, slot } = join("a");
  register(slot);
  router.response(responseOf({ ...FLOW, server: "192.168.7.7" }), 0);
  expect(copy.got).toEqual([{ from: FLOW.server, to: FLOW.client, port: 4000 }]);
});

describe("payload", () => {
  const TEXT = "greeting ".repeat(3000);
  const data = (captured?: number, flow = FLOW) => responseOf(flow, ACK, undefined, TEXT, captured);

  test.each([
    ["as it is", {}, {}],
    ["with a translation", { client: "172.17.0.1" }, {}],
    ["behind a DNAT", { server: "192.168.7.7" }, { dnat: true }],
  ])("goes to a copy that reads it, %s", (_, other, options) => {
    const pair = { from: parseAddress("172.17.0.1")!.bytes, to: parseAddress(FLOW.client)!.bytes };
    const { router, join, register } = setUp({ translations: [pair], ...options });
    const { copy, slot } = join("a", true);
    register(slot);
    router.response(data(undefined, { ...FLOW, ...other }), 0);
    expect(copy.got).toEqual([{ from: FLOW.server, to: FLOW.client, port: 4000 }]);
    expect(copy.read).toEqual([TEXT]);
  });

  test("that was not captured whole is not sent, and counted; the retransmission is sent", () => {
    const { copies, router, join, register, counts } = setUp();
    const [reader, other] = [join("a", true), join("b")];
    register(reader.slot);
    register(other.slot, { ...FLOW, clientPort: 1 });
    for (const captured of [0, 140, TEXT.length - 1]) router.response(data(captured), 0);
    expect(reader.copy.got).toEqual([]);
    expect(copies.cut).toBe(3);
    router.response(data(), 0);
    expect(reader.copy.read).toEqual([TEXT]);
    router.response(data(0, { ...FLOW, clientPort: 1 }), 0);
    expect(other.copy.got).toHaveLength(1);
    expect(copies.cut).toBe(3);
    expect(counts()).toEqual({ routed: 5, unrouted: 0, passed: 0, held: 0 });
  });

  test("that was captured as far as its copy reads it is sent", () => {
    const { copies, router, join, register } = setUp();
    const { copy, slot } = join("a", true, { bytes: 100, takesHeads: false });
    register(slot);
    for (const captured of [99, 100, TEXT.length]) router.response(data(captured), 0);
    expect(copy.got).toHaveLength(2);
    expect(copies.cut).toBe(1);
  });

  test("of a server that speaks first follows the SYN-ACK that waited for its registration", () => {
    const { copies, router, join, register, counts } = setUp();
    router.response(responseOf(FLOW), 0);
    const { copy, slot } = join("a", true);
    register(slot);
    router.response(data(), 1);
    expect(copy.read).toEqual(["", TEXT]);
    expect(copies.cut).toBe(0);
    expect(counts()).toEqual({ routed: 2, unrouted: 0, passed: 0, held: 0 });
  });
});

describe("copies", () => {
  test("have one slot for all their connections; a flow stays with one of them", () => {
    const { copies, router, join, register } = setUp();
    const connections = [join("a"), join("a"), join("a")];
    const { slot } = connections[0]!;
    expect(connections.map((one) => one.slot)).toEqual([slot, slot, slot]);
    expect(copies.count).toBe(1);
    for (let port = 1; port <= 300; port++) {
      register(slot, { ...FLOW, clientPort: port });
      for (let times = 0; times < 2; times++)
        router.response(responseOf({ ...FLOW, clientPort: port }, ACK), 0);
    }
    for (const { copy } of connections) {
      expect(copy.got.length).toBeGreaterThan(100);
      expect(copy.got.filter(({ port }) => port === copy.got[0]!.port)).toHaveLength(2);
    }
  });

  test("get the slot that was unused for longest; the end of a copy's last connection is reported", () => {
    const { copies } = setUp();
    const joined = Array.from({ length: SLOTS }, (_, index) => {
      const copy = new Copy();
      return { copy, slot: copies.join(`${index}`, copy)!.slot };
    });
    expect(new Set(joined.map(({ slot }) => slot)).size).toBe(SLOTS);
    expect(copies.join("more", new Copy())).toBeNull();
    copies.leave(joined[7]!.slot, joined[7]!.copy, 200);
    copies.leave(joined[5]!.slot, joined[5]!.copy, 100);
    expect(copies.join("more", new Copy())).toEqual({
      slot: joined[5]!.slot,
      before: { id: "5", owner: joined[5]!.slot },
    });
    expect(copies.join("7", new Copy())).toEqual({ slot: joined[7]!.slot, before: null });
    expect(copies.count).toBe(SLOTS);
  });
});

describe("datagrams", () => {
  const ANSWER = { from: FLOW.server, to: FLOW.client, port: FLOW.clientPort };

  test("have flows of their own", () => {
    const { copies, router, join, register, withdraw, counts } = setUp();
    const [one, other] = [join("a"), join("b")];
    register(one.slot);
    router.registerDatagrams(other.slot, flowBytes(FLOW), 0, 36, 0);
    router.response(datagramOf(FLOW), 0);
    router.response(datagramOf({ ...FLOW, clientPort: 1 }), 0);
    expect([one.copy.got, other.copy.got]).toEqual([[], [ANSWER]]);
    expect(counts()).toEqual({ routed: 1, unrouted: 1, passed: 0, held: 0 });
    copies.leave(other.slot, other.copy, 0);
    withdraw(other.slot);
    expect(router.datagramFlows.count).toBe(0);
    router.response(datagramOf(FLOW), 0);
    expect(counts().unrouted).toBe(2);
  });

  test("of flows that were not registered pass where they may be for real clients", () => {
    const { router, join, counts } = setUp({ passesDatagrams: true });
    const { copy, slot } = join("a");
    router.registerDatagrams(slot, flowBytes(FLOW), 0, 36, 0);
    expect(router.response(datagramOf(FLOW), 0)).toBe(true);
    expect(router.response(datagramOf({ ...FLOW, clientPort: 1 }), 0)).toBe(false);
    expect(copy.got).toEqual([ANSWER]);
    expect(counts()).toEqual({ routed: 1, unrouted: 0, passed: 1, held: 0 });
  });

  test("that were refused (ICMP) belong to a copy if it registered the flow", () => {
    const { router, join, register } = setUp();
    const { slot } = join("a");
    const swap = ({ client, clientPort, server, serverPort }: typeof FLOW) =>
      datagramOf({ client: server, clientPort: serverPort, server: client, serverPort: clientPort });
    register(slot);
    expect(router.isAboutCopy(swap(FLOW))).toBe(false);
    router.registerDatagrams(slot, flowBytes(FLOW), 0, 36, 0);
    expect(router.isAboutCopy(swap(FLOW))).toBe(true);
    expect(router.isAboutCopy(swap({ ...FLOW, clientPort: 1 }))).toBe(false);
  });
});
