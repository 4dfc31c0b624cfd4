/** Which copy gets a response, and that every response is counted once. */
import { describe, expect, test } from "bun:test";
import { parseAddress } from "../../src/config/address.ts";
import { Copies, type Receiver, SLOTS } from "../../src/intercept/data-plane/copies.ts";
import { HOLD_SPAN } from "../../src/intercept/data-plane/hold.ts";
import { MOST_RANGES } from "../../src/intercept/data-plane/ranges.ts";
import { Router, type RouterOptions } from "../../src/intercept/data-plane/router.ts";
import type { Packet } from "../../src/wire/packet.ts";
import { ACK, RST } from "../../src/wire/tcp.ts";
import { datagramOf, flowBytes, responseOf } from "./response.ts";

const FLOW = { client: "10.1.0.5", clientPort: 4000, server: "10.0.0.2", serverPort: 80 };

class Copy implements Receiver {
  readonly got: { from: string; to: string; port: number }[] = [];
  /** Payload of each. */
  readonly read: string[] = [];

  constructor(readonly readsPayload = false) {}

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
      passesDatagrams: false,
      seed: 1,
      ...options,
    },
    copies,
  );
  const join = (id: string, readsPayload = false) => {
    const copy = new Copy(readsPayload);
    return { copy, slot: copies.join(id, copy)!.slot };
  };
  const register = (slot: number, flow = FLOW) => router.register(slot, flowBytes(flow), 0, 36);
  const counts = () => {
    const { packets, routed, unrouted, passed, held } = router;
    expect(routed + unrouted + passed + held).toBe(packets);
    return { routed, unrouted, passed, held };
  };
  return { copies, router, join, register, counts };
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
    const { copies, router, join, register, counts } = setUp();
    const { copy, slot } = join("a");
    register(slot);
    expect(copies.leave(slot, copy, 1)).toBe(true);
    router.response(responseOf(FLOW, ACK), 2);
    expect(counts().unrouted).toBe(1);
    const back = join("a");
    expect(back.slot).toBe(slot);
    router.response(responseOf(FLOW, ACK), 3);
    expect(back.copy.got).toHaveLength(1);
    router.forget(slot);
    router.response(responseOf(FLOW, ACK), 4);
    expect(counts()).toMatchObject({ routed: 1, unrouted: 2 });
  });
});

describe("a response before its registration", () => {
  test.each([
    ["SYN-ACK", undefined],
    ["RST", RST],
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
  const { router, join } = setUp();
  const { slot } = join("a");
  for (let times = 0; times < 2; times++) router.addRanges(slot, [range("10.1.0.1", "10.1.0.9")]);
  router.addRanges(slot, [range("10.2.0.1", "10.2.0.9")]);
  expect(router.ranges.count).toBe(2);
  const many = Array.from({ length: MOST_RANGES }, (_, index) => {
    const address = `10.3.${index >> 8}.${index & 255}`;
    return range(address, address);
  });
  expect(router.addRanges(slot, many)).toBe(2);
  router.forget(slot);
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
    expect(copies.join("more", new Copy())).toEqual({ slot: joined[5]!.slot, before: "5" });
    expect(copies.join("7", new Copy())).toEqual({ slot: joined[7]!.slot, before: null });
    expect(copies.count).toBe(SLOTS);
  });
});

describe("datagrams", () => {
  const ANSWER = { from: FLOW.server, to: FLOW.client, port: FLOW.clientPort };

  test("have flows of their own", () => {
    const { router, join, register, counts } = setUp();
    const [one, other] = [join("a"), join("b")];
    register(one.slot);
    router.registerDatagrams(other.slot, flowBytes(FLOW), 0, 36);
    router.response(datagramOf(FLOW), 0);
    router.response(datagramOf({ ...FLOW, clientPort: 1 }), 0);
    expect([one.copy.got, other.copy.got]).toEqual([[], [ANSWER]]);
    expect(counts()).toEqual({ routed: 1, unrouted: 1, passed: 0, held: 0 });
    router.forget(other.slot);
    router.response(datagramOf(FLOW), 0);
    expect(counts().unrouted).toBe(2);
  });

  test("of flows that were not registered pass where they may be for real clients", () => {
    const { router, join, counts } = setUp({ passesDatagrams: true });
    const { copy, slot } = join("a");
    router.registerDatagrams(slot, flowBytes(FLOW), 0, 36);
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
    router.registerDatagrams(slot, flowBytes(FLOW), 0, 36);
    expect(router.isAboutCopy(swap(FLOW))).toBe(true);
    expect(router.isAboutCopy(swap({ ...FLOW, clientPort: 1 }))).toBe(false);
  });
});
