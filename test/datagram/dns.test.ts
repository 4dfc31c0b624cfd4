/** Pairs of DNS over UDP: which datagrams are queries, and which answers are whose. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { DatagramConfig } from "../../src/datagram/config.ts";
import { DATAGRAM_COUNTERS } from "../../src/datagram/counters.ts";
import { rcodeOf, readQuery } from "../../src/datagram/dns.ts";
import { DatagramReplay } from "../../src/datagram/replay.ts";
import type { Pair } from "../../src/pairs/pair.ts";
import { PacketBatch } from "../../src/wire/batch.ts";
import { ipPair } from "../../src/wire/ip.ts";
import { Packet } from "../../src/wire/packet.ts";
import { bytesOf } from "../bpf/build.ts";
import { seeded } from "../support/seed.ts";

const nameOf = (labels: (string | number[])[]) =>
  labels.flatMap((label) => [label.length, ...(typeof label === "string" ? Buffer.from(label) : label)]);

interface Message {
  id?: number;
  flags?: number;
  labels?: (string | number[])[];
  type?: number;
  questions?: number;
  answers?: number;
  rest?: number[];
}

/** A message with this question, as it would be of a query; an answer has 0x8000 in its flags. */
function message({
  id = 7,
  flags = 0x0100,
  labels = ["www", "example"],
  type = 1,
  questions = 1,
  answers = 0,
  rest = [],
}: Message = {}) {
  const word = (value: number) => [value >> 8, value & 0xff];
  const additional = rest.length > 0 ? 1 : 0;
  const question = questions === 1 ? [...nameOf(labels), 0, ...word(type), 0, 1] : [];
  return Uint8Array.from([
    ...word(id),
    ...word(flags),
    ...word(questions),
    ...word(answers),
    0,
    0,
    0,
    additional,
    ...question,
    ...rest,
  ]);
}

const reply = (changes: Message = {}) => message({ ...changes, flags: 0x8180 | (changes.flags ?? 0) });
const OPT = (upper: number) => [0, 0, 41, 4, 208, upper, 0, 0, 0, 0, 0];

describe("a query", () => {
  const read = (bytes: Uint8Array) => {
    const placed = Uint8Array.from([0xff, ...bytes, 0, 0, 0]);
    return readQuery(placed, 1, bytes.length);
  };

  test.each([
    [message(), "A", "www.example"],
    [message({ type: 28, labels: ["WwW", "Example"] }), "AAAA", "WwW.Example"],
    [message({ type: 65, labels: [] }), "HTTPS", "."],
    [message({ type: 65280 }), "TYPE65280", "www.example"],
    [message({ labels: ["a.b", 'c"\\', [0, 32, 200, 0x7f]] }), "A", 'a\\.b.c\\"\\\\.\\000\\032\\200\\127'],
    [message({ rest: OPT(0) }), "A", "www.example"],
  ])("is read: %#", (bytes, type, name) => expect(read(bytes)).toMatchObject({ id: 7, type, name }));

  test.each([
    ["a response", reply()],
    ["a notification", message({ flags: 0x2000 })],
    ["no question", message({ questions: 0 })],
    ["a response in a query", message({ answers: 1 })],
    [
      "a pointer in the question",
      Uint8Array.from([
        ...message({ questions: 0 }).subarray(0, 5),
        1,
        ...new Uint8Array(6),
        0xc0,
        12,
        0,
        1,
        0,
        1,
      ]),
    ],
    ["a label that is too long", message({ labels: ["x".repeat(64)] })],
    ["a name that is too long", message({ labels: Array(5).fill("x".repeat(60)) })],
    ["a question that is cut", message().subarray(0, -2)],
    ["another class", Uint8Array.from([...message().subarray(0, -1), 77])],
    ["a header alone", message().subarray(0, 12)],
    ["nothing", new Uint8Array(0)],
  ])("is not %s", (_, bytes) => expect(read(bytes)).toBeNull());

  test("any bytes are read without reading beyond them, and names say all of them", () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 63 }), { maxLength: 3 }),
        fc.uint8Array({ maxLength: 600 }),
        (labels, bytes) => {
          const query = read(message({ labels: labels.map((label) => [...label]) }));
          const parts = query!.name === "." ? [] : query!.name.match(/(\\\d\d\d|\\.|[^.\\])+/g)!;
          const read1 = parts.map((part) =>
            [...part.matchAll(/\\(\d\d\d)|\\(.)|(.)/g)].map(([, code, escaped, plain]) =>
              code ? Number(code) : (escaped ?? plain)!.charCodeAt(0),
            ),
          );
          expect(read1).toEqual(labels.map((label) => [...label]));
          read(bytes);
          rcodeOf(bytes, 0, bytes.length);
        },
      ),
      seeded(300),
    );
  });

  test("the RCODE has its upper bits in EDNS's record, behind others", () => {
    const bytes = reply({
      answers: 1,
      flags: 3,
      rest: [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4, ...OPT(1)],
    });
    expect(rcodeOf(bytes, 0, bytes.length)).toBe(19);
    expect(rcodeOf(bytes, 0, bytes.length - 12)).toBe(3);
  });
});

const SECOND = 1_000_000;

/** A packet from `from` to `to`, of whose payload `captured` bytes are there. */
function packetOf(
  from: [string, number],
  to: [string, number],
  payload: Uint8Array,
  time: number,
  captured = payload.length,
): Packet {
  const bytes = new Uint8Array(28 + captured);
  const view = new DataView(bytes.buffer);
  bytes[0] = 0x45;
  bytes[8] = 64;
  bytes.set(bytesOf(from[0]), 12);
  bytes.set(bytesOf(to[0]), 16);
  view.setUint16(20, from[1]);
  view.setUint16(22, to[1]);
  view.setUint16(24, 8 + payload.length);
  bytes.set(payload.subarray(0, captured), 28);
  const packet = new Packet(bytes);
  packet.tcp = 20;
  packet.payload = 28;
  packet.end = bytes.length;
  packet.length = payload.length;
  packet.time = time;
  packet.think = -1;
  return packet;
}

const ONLINE: [string, number] = ["10.1.0.100", 53];

function create(changes: Partial<DatagramConfig> = {}) {
  const batch = new PacketBatch();
  const pairs: Pair[] = [];
  const ports: number[] = [];
  const clear = () => {
    for (let row = 0; row < batch.count; row++) ports.push(batch.view.getUint16(batch.offset[row]! + 20));
    batch.clear();
  };
  const path = (last: number) => ({
    pair: ipPair(bytesOf("10.0.0.1"), bytesOf(`10.0.0.${last}`)),
    targetPort: 53,
    egress: 0,
    mtu: 1500,
    fromClient: false,
  });
  const replay = new DatagramReplay(
    {
      services: [{ routes: [[{ weight: 1, paths: [0] }]], mayBeQuic: false }],
      paths: [path(2), path(3)],
      replicas: 1,
      worker: 0,
      workers: 1,
      ports: [[20_000, 20_099]],
      keepsClientPorts: false,
      maxFlows: 100,
      timeout: 5 * SECOND,
      idleTimeout: 120 * SECOND,
      noFragment: false,
      counters: new Float64Array(DATAGRAM_COUNTERS.length),
      allow: () => true,
      openFlow: () => {},
      isHeld: () => false,
      pairs: { take: (pair) => pairs.push(structuredClone(pair)) },
      flush: clear,
      onLatency: () => {},
      random: () => 0,
      ...changes,
    },
    [batch],
  );
  return {
    replay,
    pairs,
    ports,
    /** A client asks; returns the ports from which the copies are sent. */
    ask: (payload: Uint8Array, time = 0, port = 40_000) => {
      ports.length = 0;
      replay.request(packetOf(["10.1.0.1", port], ONLINE, payload, time), 0, true, time);
      clear();
      return [...ports];
    },
    online: (payload: Uint8Array, time = 0, port = 40_000, captured = payload.length) =>
      replay.production(packetOf(ONLINE, ["10.1.0.1", port], payload, time, captured), 0),
    target: (port: number, payload: Uint8Array, time = 0, path = 0, captured = payload.length) => {
      const packet = packetOf([`10.0.0.${2 + path}`, 53], ["10.0.0.1", port], payload, time, captured);
      packet.index = path;
      replay.response(packet, time);
    },
  };
}

const brief = ({ outcome, method, name, production, target }: Pair) => [
  outcome,
  method,
  name,
  production && [production.status, production.count, production.bytes, production.end, production.lastByte],
  target && [target.status, target.count, target.bytes, target.end, target.lastByte],
];

describe("answers", () => {
  test("of both sides: code, records, size, time; a truncated one is cut short", () => {
    const { ask, online, target, pairs } = create();
    const [port] = ask(message(), 1000);
    online(reply({ answers: 2 }), 1300);
    target(port!, reply({ flags: 0x0203 }), 1900);
    const { length } = reply();
    expect(pairs.map(brief)).toEqual([
      ["compared", "A", "www.example", [0, 2, length, "complete", 300], [3, 0, length, "closed", 900]],
    ]);
    expect(pairs[0]!.target!.head).toEqual(reply({ flags: 0x0203 }));
    expect(pairs[0]).toMatchObject({ protocol: "dns", service: 0, copy: 0, path: 0, at: 1000 });
  });

  test("of which only the beginning was captured", () => {
    const { ask, online, target, pairs } = create();
    const [port] = ask(message());
    const long = reply({ answers: 9, rest: Array(400).fill(0) });
    online(long, 0, 40_000, 30);
    target(port!, long, 0, 0, 14);
    expect(
      pairs.map(({ production, target }) => [
        production!.bytes,
        production!.isHeadWhole,
        target!.count,
        target!.head.length,
      ]),
    ).toEqual([[long.length, false, 9, 14]]);
  });

  test("belong to the query with their number and question; without a question to the oldest with their number", () => {
    const { ask, online, target, pairs } = create();
    const [port] = ask(message({ labels: ["a"] }));
    ask(message({ labels: ["b"] }));
    ask(message({ labels: ["b"], id: 8 }));
    online(reply({ labels: ["b"], flags: 2 }));
    online(reply({ labels: ["c"], flags: 5 }));
    online(reply({ questions: 0, flags: 1 }));
    for (const [labels, id] of [
      ["a", 7],
      ["b", 7],
      ["b", 8],
    ] as const)
      target(port!, reply({ labels: [labels], id }));
    online(reply({ labels: ["b"], id: 8 }));
    expect(pairs.map(({ outcome, name, production }) => [outcome, name, production!.status])).toEqual([
      ["compared", "a", 1],
      ["compared", "b", 2],
      ["compared", "b", 0],
    ]);
  });

  test("to a query that was sent again are one for each, the oldest first", () => {
    const { ask, online, target, replay, pairs } = create();
    const [port] = ask(message(), 0);
    ask(message(), SECOND);
    online(reply(), SECOND + 100);
    target(port!, reply(), SECOND + 200);
    target(port!, reply(), SECOND + 300);
    replay.advance(10 * SECOND);
    expect(pairs.map(({ outcome, target }) => [outcome, target!.lastByte])).toEqual([
      ["compared", SECOND + 200],
      ["target only", 300],
    ]);
  });

  test("of production that are read before their query", () => {
    const { ask, online, target, pairs } = create();
    online(reply({ labels: ["before"] }), 900);
    online(reply(), 1200);
    const [port] = ask(message(), 1000);
    target(port!, reply(), 1500);
    expect(
      pairs.map(brief).map(([outcome, , , production]) => [outcome, (production as number[])[4]]),
    ).toEqual([["compared", 200]]);
  });

  test("that do not come in time, or when the flow is forgotten, or the run is over", () => {
    const { ask, online, target, replay, pairs } = create({ idleTimeout: 8 * SECOND });
    const [port] = ask(message({ labels: ["a"] }), 0);
    ask(message({ labels: ["b"] }), SECOND);
    ask(message({ labels: ["c"] }), 2 * SECOND);
    target(port!, reply({ labels: ["a"] }));
    online(reply({ labels: ["b"] }), 2 * SECOND);
    expect(replay.wait(2 * SECOND, 10 * SECOND)).toBe(3 * SECOND);
    replay.advance(5 * SECOND);
    replay.advance(6 * SECOND);
    replay.end();
    expect(pairs.map(({ outcome, name }) => [outcome, name])).toEqual([
      ["target only", "a"],
      ["production only", "b"],
      ["ended", "c"],
    ]);
  });

  test("each copy has a pair of its own", () => {
    const services = [
      { routes: [[{ weight: 1, paths: [0] }], [{ weight: 1, paths: [1] }]], mayBeQuic: false },
    ];
    const { ask, online, target, pairs } = create({ services });
    const [one, other] = ask(message());
    online(reply());
    target(other!, reply({ flags: 2 }), 0, 1);
    target(one!, reply(), 0, 0);
    expect(pairs.map(({ copy, path, target }) => [copy, path, target!.status])).toEqual([
      [1, 1, 2],
      [0, 0, 0],
    ]);
  });

  test("a query that is not sent has one too; what is no query has none", () => {
    const { ask, pairs } = create({ allow: () => false });
    ask(message());
    ask(Uint8Array.of(1, 2, 3));
    ask(reply());
    expect(pairs.map(({ outcome, name }) => [outcome, name])).toEqual([["notSent", "www.example"]]);
  });
});

test("every query ends as one pair for each copy, and its responses are its own", () => {
  const step = fc.record({
    client: fc.nat(2),
    id: fc.nat(2),
    label: fc.constantFrom("a", "b", "c"),
    online: fc.constantFrom("none", "once", "twice"),
    target: fc.constantFrom("none", "once", "twice"),
    wait: fc.constantFrom(0, 1000, 3 * SECOND),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.boolean(), (steps, isTight) => {
      const { ask, online, target, replay, pairs } = create(
        isTight ? { maxFlows: 2, ports: [[20_000, 20_001]] } : {},
      );
      let now = 0;
      let asked = 0;
      for (const one of steps) {
        now += one.wait;
        replay.advance(now);
        const labels = [one.label];
        const [port] = ask(message({ id: one.id, labels }), now, 40_000 + one.client);
        asked++;
        // Answers say whose they are.
        const answer = reply({ id: one.id, labels, flags: one.label.charCodeAt(0) - 96 });
        for (let i = ["none", "once", "twice"].indexOf(one.online); i > 0; i--)
          online(answer, now, 40_000 + one.client);
        for (let i = ["none", "once", "twice"].indexOf(one.target); i > 0 && port; i--)
          target(port, answer, now);
      }
      replay.end();
      expect(pairs.length).toBe(asked);
      for (const { name, production, target } of pairs) {
        for (const side of [production, target]) if (side) expect(side.status).toBe(name.charCodeAt(0) - 96);
      }
    }),
    seeded(300),
  );
});
