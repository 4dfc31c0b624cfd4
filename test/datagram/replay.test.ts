/** Replayed datagrams, without a clock and a network: flows, order, copies, answers, bounds; the account adds up. */
import { beforeEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { DatagramConfig } from "../../src/datagram/config.ts";
import { DATAGRAM, DATAGRAM_COUNTERS, type DatagramCounter } from "../../src/datagram/counters.ts";
import { DatagramReplay } from "../../src/datagram/replay.ts";
import { PacketBatch } from "../../src/wire/batch.ts";
import { ipPair } from "../../src/wire/ip.ts";
import { Packet } from "../../src/wire/packet.ts";
import { bytesOf } from "../bpf/build.ts";
import { seeded } from "../support/seed.ts";

const SECOND = 1_000_000;

interface Question {
  family?: 4 | 6;
  client?: number;
  port?: number;
  payload?: Uint8Array;
  ttl?: number;
  trafficClass?: number;
  destination?: string;
  time?: number;
  /** Payload bytes of each of several datagrams in one. */
  segment?: number;
  /** Bytes of the packet that were captured. */
  captured?: number;
  udpLength?: number;
}

/** A captured datagram to port 53. */
function question(q: Question = {}): Packet {
  const {
    family = 4,
    client = 1,
    port = 40_000,
    payload = Uint8Array.of(1, 2, 3),
    ttl = 64,
    trafficClass = 0,
  } = q;
  const header = family === 4 ? 20 : 40;
  const bytes = new Uint8Array(header + 8 + payload.length);
  const view = new DataView(bytes.buffer);
  if (family === 4) {
    bytes.set([0x45, trafficClass]);
    bytes[8] = ttl;
    bytes.set(bytesOf(`10.1.0.${client}`), 12);
    bytes.set(bytesOf(q.destination ?? "10.1.0.100"), 16);
  } else {
    view.setUint32(0, 0x60000000 | (trafficClass << 20));
    bytes[7] = ttl;
    bytes.set(bytesOf(`fd00:1::${client}`), 8);
    bytes.set(bytesOf(q.destination ?? "fd00:1::100"), 24);
  }
  view.setUint16(header, port);
  view.setUint16(header + 2, 53);
  view.setUint16(header + 4, q.udpLength ?? 8 + payload.length);
  view.setUint16(header + 6, 0x1234);
  bytes.set(payload, header + 8);
  const packet = new Packet(bytes);
  packet.tcp = header;
  packet.payload = header + 8;
  packet.end = q.captured ?? bytes.length;
  packet.length = payload.length;
  packet.time = q.time ?? 0;
  packet.think = q.segment ?? -1;
  return packet;
}

/** A target's answer to one of our ports on a path. */
function answer(path: number, port: number, time: number, to = "10.0.0.1"): Packet {
  const packet = question({ time, destination: to });
  packet.view.setUint16(packet.tcp, 5353);
  packet.view.setUint16(packet.tcp + 2, port);
  packet.index = path;
  return packet;
}

interface Sent {
  source: string;
  port: number;
  targetPort: number;
  payload: number[];
  ttl: number;
  trafficClass: number;
}

const target = (last: number, targetPort = 5353, fromClient = false) => ({
  pair: ipPair(bytesOf(fromClient ? "0.0.0.0" : "10.0.0.1"), bytesOf(`10.0.0.${last}`)),
  targetPort,
  egress: 0,
  mtu: 1500,
  fromClient,
});

let opened: string[];
let latencies: number[];

/** With one path unless told; ports 20000 to 20003. */
function create(changes: Partial<DatagramConfig> = {}) {
  const batch = new PacketBatch();
  const counters = new Float64Array(DATAGRAM_COUNTERS.length);
  const sent: Sent[] = [];
  const take = () => {
    for (let row = 0; row < batch.count; row++) {
      const at = batch.offset[row]!;
      const { bytes, view } = batch;
      sent.push({
        source: [...bytes.subarray(at + 12, at + 16)].join("."),
        port: view.getUint16(at + 20),
        targetPort: view.getUint16(at + 22),
        payload: [...bytes.subarray(at + 28, at + batch.length[row]!)],
        ttl: bytes[at + 8]!,
        trafficClass: bytes[at + 1]!,
      });
    }
    batch.clear();
  };
  const config: DatagramConfig = {
    services: [{ routes: [[{ weight: 1, paths: [0] }]], mayBeQuic: false }],
    paths: [target(2)],
    replicas: 1,
    worker: 0,
    workers: 1,
    ports: [[20_000, 20_003]],
    keepsClientPorts: false,
    maxFlows: 100,
    timeout: 5 * SECOND,
    idleTimeout: 120 * SECOND,
    noFragment: false,
    counters,
    allow: () => true,
    isHeld: () => false,
    pairs: null,
    openFlow: (path, port) => opened.push(`${path} ${port}`),
    flush: take,
    onLatency: (us) => latencies.push(us),
    random: () => 0,
    ...changes,
  };
  const replay = new DatagramReplay(config, [batch]);
  const count = (name: DatagramCounter) => counters[DATAGRAM[name]]!;
  return {
    replay,
    sent,
    count,
    ask: (q: Question, now = q.time ?? 0, isUnicast = true) => {
      replay.request(question({ time: now, ...q }), 0, isUnicast, now);
      take();
    },
    faults: () => {
      const dropped = DATAGRAM_COUNTERS.filter((name) => name.startsWith("dropped.")).reduce(
        (sum, name) => sum + count(name),
        0,
      );
      return [
        count("captured") - count("sent") - dropped,
        count("sent") - count("answered") - count("unanswered") - count("waiting"),
      ];
    },
  };
}

beforeEach(() => {
  opened = [];
  latencies = [];
});

describe("flows", () => {
  test("a client's flow has one source port of ours, and its datagrams stay in order", () => {
    const { ask, sent } = create();
    for (const [client, port] of [
      [1, 1],
      [2, 1],
      [1, 2],
      [1, 1],
      [2, 1],
    ]) {
      ask({ client: client!, port: port!, payload: Uint8Array.of(client!, port!) });
    }
    expect(sent.map(({ port, payload }) => [port, ...payload])).toEqual([
      [20_000, 1, 1],
      [20_001, 2, 1],
      [20_002, 1, 2],
      [20_000, 1, 1],
      [20_001, 2, 1],
    ]);
    expect(opened).toEqual(["0 20000", "0 20001", "0 20002"]);
  });

  test("TTL and traffic class are those of the client, for IPv4 and IPv6", () => {
    const { ask, sent } = create();
    ask({ ttl: 7, trafficClass: 0xb8 });
    ask({ family: 6, ttl: 9, trafficClass: 0x2e });
    expect(sent.map(({ ttl, trafficClass }) => [ttl, trafficClass])).toEqual([
      [7, 0xb8],
      [9, 0x2e],
    ]);
  });

  test("when no port is free the least recently used flow is evicted, if it was idle for a second", () => {
    const { ask, sent, count } = create();
    for (let port = 1; port <= 4; port++) ask({ port, time: port });
    ask({ port: 1, time: 5 });
    ask({ port: 5, time: 1000 });
    expect(count("dropped.ports")).toBe(1);
    ask({ port: 5, time: 2 * SECOND });
    expect(sent.at(-1)!.port).toBe(20_001);
    expect([count("flowsEvicted"), count("unanswered"), count("flowsActive")]).toEqual([1, 1, 4]);
  });

  test("an idle flow is removed, and its port is used again after all others", () => {
    const { ask, replay, sent, count } = create();
    ask({ port: 1 });
    replay.advance(119 * SECOND);
    expect(count("flowsActive")).toBe(1);
    expect(replay.wait(119 * SECOND, 10 * SECOND)).toBe(SECOND);
    replay.advance(120 * SECOND);
    expect(count("flowsActive")).toBe(0);
    ask({ port: 1, time: 121 * SECOND });
    expect(sent.map(({ port }) => port)).toEqual([20_000, 20_001]);
  });

  test("datagrams of flows over the bound are dropped", () => {
    const { ask, count } = create({ maxFlows: 2 });
    for (let port = 1; port <= 3; port++) ask({ port });
    expect([count("sent"), count("dropped.flows")]).toEqual([2, 1]);
  });

  test("after endClients the same client begins a new flow", () => {
    const { ask, replay, sent } = create();
    ask({});
    replay.endClients();
    ask({});
    expect(sent.map(({ port }) => port)).toEqual([20_000, 20_001]);
  });

  test("a worker uses ports of its own", () => {
    const { ask, sent } = create({ worker: 1, workers: 2 });
    ask({ port: 1 });
    ask({ port: 2 });
    expect(sent.map(({ port }) => port)).toEqual([20_001, 20_003]);
  });
});

describe("copies", () => {
  test("each flow is copied to each route as often as there are replicas, each copy on its own flow", () => {
    const { ask, sent, count } = create({
      services: [{ routes: [[{ weight: 1, paths: [0] }], [{ weight: 1, paths: [1] }]], mayBeQuic: false }],
      paths: [target(2, 1), target(3, 2)],
      replicas: 2,
    });
    ask({});
    ask({});
    expect(sent.map(({ targetPort, port }) => `${targetPort} ${port}`)).toEqual([
      ...["1 20000", "1 20001", "2 20000", "2 20001"],
      ...["1 20000", "1 20001", "2 20000", "2 20001"],
    ]);
    expect([count("captured"), count("sent")]).toEqual([8, 8]);
  });

  test("the targets of a route share the flows by weight", () => {
    const { ask, sent } = create({
      services: [
        {
          routes: [
            [
              { weight: 1, paths: [0] },
              { weight: 3, paths: [1] },
            ],
          ],
          mayBeQuic: false,
        },
      ],
      paths: [target(2, 1), target(3, 2)],
    });
    for (let port = 1; port <= 4; port++) ask({ port });
    expect(sent.map(({ targetPort }) => targetPort).toSorted()).toEqual([1, 2, 2, 2]);
  });

  test("the first copy keeps the client's address and port, other copies get other ports", () => {
    const { ask, sent } = create({
      paths: [target(2, 53, true)],
      keepsClientPorts: true,
      replicas: 2,
      random: () => 0.5,
    });
    ask({ client: 7, port: 1234 });
    expect(sent.map(({ source, port }) => `${source} ${port}`)).toEqual(["10.1.0.7 1234", "10.1.0.7 20002"]);
  });
});

describe("answers", () => {
  test("are counted for the oldest datagram of their flow, with the time since it", () => {
    const { ask, replay, count } = create();
    ask({ port: 1, time: 100 });
    ask({ port: 2, time: 200 });
    ask({ port: 1, time: 300 });
    replay.response(answer(0, 20_000, 1000), 1000);
    replay.response(answer(0, 20_000, 2000), 2000);
    replay.response(answer(0, 20_000, 2001), 2001);
    replay.response(answer(0, 20_003, 2002), 2002);
    expect(latencies).toEqual([900, 1700]);
    expect([count("answered"), count("waiting"), count("responses"), count("strayResponses")]).toEqual([
      2, 1, 4, 1,
    ]);
  });

  test("that do not come in time are counted as unanswered, also if they come later", () => {
    const { ask, replay, count } = create();
    ask({ time: SECOND });
    expect(replay.wait(SECOND, 10 * SECOND)).toBe(5 * SECOND);
    replay.advance(6 * SECOND);
    replay.response(answer(0, 20_000, 7 * SECOND), 7 * SECOND);
    expect([count("unanswered"), count("answered"), count("waiting")]).toEqual([1, 0, 0]);
  });

  test("are all counted when several come in one packet", () => {
    const { ask, replay, count } = create();
    for (let i = 0; i < 3; i++) ask({});
    const packet = answer(0, 20_000, 5);
    packet.length = 250;
    packet.think = 100;
    replay.response(packet, 5);
    expect([count("answered"), count("responses")]).toEqual([3, 3]);
  });
});

describe("captured packets", () => {
  test("several datagrams in one packet are sent one by one", () => {
    const { ask, sent, count } = create();
    ask({ payload: Uint8Array.of(1, 2, 3, 4, 5), segment: 2 });
    expect(sent.map(({ payload }) => payload)).toEqual([[1, 2], [3, 4], [5]]);
    expect(count("captured")).toBe(3);
  });

  test("an empty datagram is sent", () => {
    const { ask, sent } = create();
    ask({ payload: new Uint8Array(0) });
    expect(sent.map(({ payload }) => payload)).toEqual([[]]);
  });

  const cases: [name: string, q: Question, counter: DatagramCounter][] = [
    ["to a multicast address", { destination: "224.0.0.251" }, "dropped.group"],
    ["to the broadcast address", { destination: "255.255.255.255" }, "dropped.group"],
    ["to an IPv6 multicast address", { family: 6, destination: "ff02::fb" }, "dropped.group"],
    ["cut by the capture", { captured: 29 }, "dropped.cut"],
    ["shorter than its length field", { udpLength: 100 }, "dropped.malformed"],
    ["with a length field below its header's", { udpLength: 7 }, "dropped.malformed"],
  ];
  test.each(cases)("a datagram %s is dropped and counted for it", (_, q, counter) => {
    const { ask, sent, count } = create();
    ask(q);
    expect([count("captured"), count(counter), sent.length]).toEqual([1, 1, 0]);
  });

  test("datagrams in broadcast frames and over the limit are dropped", () => {
    let allowed = 1;
    const { ask, count } = create({ allow: () => allowed-- > 0 });
    ask({}, 0, false);
    ask({});
    ask({});
    const reasons = ["dropped.group", "dropped.limit", "sent"] as const;
    expect(reasons.map(count)).toEqual([1, 1, 1]);
  });

  test("on a held path datagrams wait in order, for at most three seconds", () => {
    let isHeld = true;
    const { ask, replay, sent, count, faults } = create({ isHeld: () => isHeld });
    ask({ payload: Uint8Array.of(1), time: 1 });
    ask({ payload: Uint8Array.of(2), time: SECOND });
    replay.advance(3 * SECOND + 1);
    expect([count("dropped.held"), count("captured")]).toEqual([1, 1]);
    isHeld = false;
    ask({ payload: Uint8Array.of(3), time: 3 * SECOND + 2 });
    expect(sent.map(({ payload }) => payload)).toEqual([[2], [3]]);
    isHeld = true;
    ask({ time: 4 * SECOND });
    replay.end();
    expect(count("dropped.held")).toBe(2);
    expect(faults()).toEqual([0, 0]);
  });

  test("--no-fragment drops what does not fit into one packet", () => {
    const { ask, count } = create({ noFragment: true });
    ask({ payload: new Uint8Array(1473) });
    ask({ payload: new Uint8Array(1472) });
    expect([count("dropped.oversize"), count("sent")]).toEqual([1, 1]);
  });

  test("QUIC is counted by its long header, if the service may be QUIC", () => {
    const initial = Uint8Array.of(0xc3, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0);
    const routes = [[{ weight: 1, paths: [0] }]];
    for (const [mayBeQuic, payload, expected] of [
      [true, initial, 1],
      [true, Uint8Array.of(0x43, ...initial.subarray(1)), 0],
      [true, initial.subarray(0, 5), 0],
      [false, initial, 0],
    ] as const) {
      const { ask, count } = create({ services: [{ routes, mayBeQuic }] });
      ask({ payload });
      expect(count("quic")).toBe(expected);
    }
  });
});

test("with any input the counters add up, and all ports are of the range", () => {
  const step = fc.record({
    kind: fc.constantFrom("ask", "answer", "wait"),
    client: fc.integer({ min: 1, max: 3 }),
    port: fc.integer({ min: 1, max: 4 }),
    own: fc.integer({ min: 19_999, max: 20_004 }),
    wait: fc.integer({ min: 0, max: 3 * SECOND }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const { ask, replay, faults, sent } = create({
        maxFlows: 6,
        timeout: 2 * SECOND,
        idleTimeout: 4 * SECOND,
      });
      let now = 0;
      for (const { kind, client, port, own, wait } of steps) {
        if (kind === "ask") ask({ client, port, payload: Uint8Array.of(client, port) }, now);
        else if (kind === "answer") replay.response(answer(0, own, now), now);
        else {
          now += wait;
          replay.advance(now);
        }
        expect(faults()).toEqual([0, 0]);
      }
      replay.advance(now + 10 * SECOND);
      expect(faults()).toEqual([0, 0]);
      expect(replay.unsettled).toBe(0);
      expect(sent.every(({ port }) => port >= 20_000 && port <= 20_003)).toBe(true);
    }),
    seeded(200),
  );
});
