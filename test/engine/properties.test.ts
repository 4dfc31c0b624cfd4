/** What holds of the engine for any client, any network and any packets. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ACK, FIN, PSH, RST, SYN } from "../../src/wire/tcp.ts";
import { seeded } from "../support/seed.ts";
import { faultOfBooks } from "./books.ts";
import { Fuzz, type FuzzConfig, type Near, type Step } from "./fuzz.ts";
import { type Conditions, Simulation, texts } from "./simulation.ts";

/** A packet of a client: bytes [from, to) of its stream, in the turn `turn`, captured `late` us after its turn began. */
interface Piece {
  turn: number;
  from: number;
  to: number;
  late: number;
}

/** us between two turns: longer than any piece is late. */
const PACE = 20_000;
/** us; less than what makes a hole of a piece that is missing (stream.ts). */
const MOST_LATE = 15_000;

const turns = fc.array(fc.integer({ min: 2, max: 6000 }), { minLength: 1, maxLength: 6 });

/** Any way to cut, repeat and mix the bytes of a turn that begins at `begin`. */
function piecesOf(turn: number, begin: number, length: number): fc.Arbitrary<Piece[]> {
  const cuts = fc.array(fc.nat(length), { maxLength: 5 });
  const repeats = fc.array(fc.tuple(fc.nat(length - 1), fc.nat(length - 1)), { maxLength: 3 });
  return fc.tuple(cuts, repeats).chain(([at, again]) => {
    const edges = [...new Set([0, ...at, length])].sort((a, b) => a - b);
    const cut = edges.slice(1).map((to, i) => [edges[i]!, to] as const);
    const repeated = again.map(([a, b]) => [Math.min(a, b), Math.max(a, b) + 1] as const);
    const pieces = [...cut, ...repeated];
    return fc
      .array(fc.nat(MOST_LATE), { minLength: pieces.length, maxLength: pieces.length })
      .map((late) =>
        pieces.map(([from, to], i) => ({ turn, from: begin + from, to: begin + to, late: late[i]! })),
      );
  });
}

const streams = turns.chain((lengths) => {
  const begins = lengths.map((_, i) => lengths.slice(0, i).reduce((sum, length) => sum + length, 0));
  return fc.record({
    lengths: fc.constant(lengths),
    pieces: fc.tuple(...lengths.map((length, i) => piecesOf(i, begins[i]!, length))).map((all) => all.flat()),
    isn: fc.oneof(fc.integer({ min: 2 ** 32 - 8000, max: 2 ** 32 - 1 }), fc.nat(2 ** 32 - 1)),
    online: fc.oneof(fc.integer({ min: 2 ** 32 - 500, max: 2 ** 32 - 1 }), fc.nat(2 ** 32 - 1)),
    answer: fc.integer({ min: 1, max: 4000 }),
    end: fc.constantFrom("fin" as const, "rst" as const, "none" as const),
  });
});
type Stream = typeof streams extends fc.Arbitrary<infer T> ? T : never;

/** Lines of the given lengths: requests as the model server reads them. */
function textOf({ lengths }: Stream): string {
  return lengths
    .map((length, i) => `${i}`.padEnd(length - 1, "abcdefghij").slice(0, length - 1) + "\n")
    .join("");
}

/** What the targets got, where it is not what they should have got, in any order; "" if it is. */
function difference(received: string[], expected: string[]): string {
  const got = [...received].sort();
  const wanted = [...expected].sort();
  if (got.length !== wanted.length)
    return `${got.length} connections of ${got.map((text) => text.length)} bytes`;
  const i = got.findIndex((text, index) => text !== wanted[index]);
  if (i < 0) return "";
  const at = [...got[i]!].findIndex((letter, index) => letter !== wanted[i]![index]);
  return `connection ${i}: ${got[i]!.length} bytes for ${wanted[i]!.length}, different from ${at} on`;
}

/** Schedules the packets of a client whose production answers every turn with `answer` bytes. */
function capture(net: Simulation, port: number, stream: Stream): void {
  const { lengths, pieces, isn, online, answer, end } = stream;
  const bytes = new TextEncoder().encode(textOf(stream));
  const base = { sourcePort: port, destinationPort: 80 };
  const begin = net.now;
  const options = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
  net.capture({ ...base, seq: isn, flags: SYN, options });
  const at = (turn: number): number => begin + turn * PACE;
  const ackOf = (turn: number): number => (online + 1 + turn * answer) >>> 0;
  for (const { turn, from, to, late } of pieces) {
    const seq = (isn + 1 + from) >>> 0;
    const payload = bytes.subarray(from, to);
    net.at(at(turn) + late, () => net.capture({ ...base, seq, ack: ackOf(turn), flags: ACK | PSH, payload }));
  }
  const seq = (isn + 1 + bytes.length) >>> 0;
  const last = { ...base, seq, ack: ackOf(lengths.length) };
  if (end !== "none")
    net.at(at(lengths.length), () => net.capture({ ...last, flags: end === "fin" ? FIN | ACK : RST | ACK }));
}

describe("a client's stream", () => {
  test("arrives whole, once and in order, with any segmentation, repetition and reordering", () => {
    fc.assert(
      fc.property(fc.array(streams, { minLength: 1, maxLength: 3 }), fc.boolean(), (all, waits) => {
        const net = new Simulation({ seed: 1, config: { waitsForAnswers: waits } });
        const answers = new Map(all.map((stream, i) => [i, stream.answer]));
        net.answer = () => Math.max(...answers.values());
        for (const [i, stream] of all.entries()) capture(net, 40_000 + i, stream);
        net.run(30_000_000);
        expect(difference(texts(net), all.map(textOf))).toBe("");
        const count = all.reduce((sum, { lengths }) => sum + lengths.length, 0);
        expect(net.count("turnsCaptured")).toBe(count);
        expect(net.count("turnsSent")).toBe(count);
        expect(net.count("turnsAnswered")).toBe(count);
        const ends = all.map(({ end }) => (end === "none" ? "" : end));
        expect(net.received.map(({ end }) => end).sort()).toEqual(ends.sort());
        expect(net.count("active")).toBe(ends.filter((end) => end === "").length);
        expect(net.count("memory")).toBe(0);
        expect(faultOfBooks(net.counters)).toBe("");
      }),
      seeded(150),
    );
  });

  test("continues on new connections when the target closes, with each turn once and in order", () => {
    fc.assert(
      fc.property(
        streams,
        fc.integer({ min: 1, max: 3 }),
        fc.constantFrom(20, 3000),
        (stream, most, delay) => {
          const net = new Simulation({ seed: 1, delay });
          net.answer = () => stream.answer;
          net.closeAfter = most;
          // A reset does not wait for what a target that has closed might still take.
          capture(net, 40_000, { ...stream, end: stream.end === "none" ? "none" : "fin" });
          net.run(60_000_000);
          expect(difference([texts(net).join("")], [textOf(stream)])).toBe("");
          const count = stream.lengths.length;
          // A turn that meets the target's FIN on its way is taken by the model all the same.
          expect(net.received.length).toBeLessThanOrEqual(Math.ceil(count / most));
          expect([net.count("turnsSent"), net.count("turnsAnswered")]).toEqual([count, count]);
          expect(net.count("memory")).toBe(0);
          expect(faultOfBooks(net.counters)).toBe("");
        },
      ),
      seeded(100),
    );
  });

  test("arrives whole, once and in order over any network", () => {
    const conditions: fc.Arbitrary<Conditions> = fc.record({
      seed: fc.nat(),
      loss: fc.constantFrom(0, 0.01, 0.05, 0.15),
      duplication: fc.constantFrom(0, 0.1),
      reordering: fc.constantFrom(0, 0.2),
      delay: fc.constantFrom(20, 1000, 40_000),
      mss: fc.constantFrom(200, 536, 1460, 8960),
      window: fc.constantFrom(1500, 8000, 65_535, 200_000),
      windowScale: fc.constantFrom(0, 2, 7),
      serviceTime: fc.constantFrom(10, 5000),
    });
    fc.assert(
      fc.property(conditions, streams, (network, stream) => {
        const net = new Simulation({ ...network, config: { turnTimeout: 600_000_000 } });
        net.answer = () => stream.answer;
        capture(net, 40_000, { ...stream, end: stream.end === "none" ? "none" : "fin" });
        net.run(900_000_000);
        // Many losses in a row, and the target counts as gone.
        const gone = net.count("dropped.unreachable") + net.count("dropped.unanswered");
        fc.pre(gone === 0 || network.loss === 0);
        expect(difference(texts(net), [textOf(stream)])).toBe("");
        expect(net.count("turnsCaptured")).toBe(stream.lengths.length);
        expect(net.count("turnsSent")).toBe(stream.lengths.length);
        expect(net.count("turnsAnswered")).toBe(stream.lengths.length);
        expect(net.count("memory")).toBe(0);
        expect(faultOfBooks(net.counters)).toBe("");
      }),
      seeded(150),
    );
  });
});

const near: fc.Arbitrary<Near> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ by: fc.constantFrom(0, 1, -1, 100, -100, 1000, 1460, 2000) }) },
  { weight: 4, arbitrary: fc.record({ by: fc.integer({ min: -3000, max: 3000 }) }) },
  { weight: 1, arbitrary: fc.record({ anywhere: fc.integer({ min: 0, max: 2 ** 32 - 1 }) }) },
);
const flags = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(SYN, ACK | PSH, ACK, ACK | FIN, RST, RST | ACK, SYN | ACK) },
  { weight: 1, arbitrary: fc.nat(255) },
);
const length = fc.oneof(fc.constantFrom(0, 1, 100, 1000), fc.nat(4000), fc.constant(40_000));
/** Options, right and malformed, in whole words. */
const options: fc.Arbitrary<number[]> = fc.oneof(
  { weight: 3, arbitrary: fc.constant<number[]>([]) },
  fc.constant<number[]>([2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7]),
  // MP_CAPABLE, MP_JOIN and mappings that differ (RFC 8684).
  fc.constant<number[]>([30, 4, 1, 0x81]),
  fc.constant<number[]>([30, 12, 0x10, 1, 1, 2, 3, 4, 5, 6, 7, 8]),
  fc.nat(2).map((shift) => [30, 16, 0x20, 4, 0, 0, 0, 1 + shift, 0, 0, 0, 1, 0, 1, 1, 1]),
  fc
    .array(fc.nat(255), { minLength: 40, maxLength: 40 })
    .chain((bytes) => fc.nat(10).map((words) => bytes.slice(0, words * 4))),
);
const window = fc.constantFrom(0, 1, 100, 5000, 65_535, 65_535, 65_535);
const port = fc.nat(15);
const flow = fc.nat(3);
const request = fc.record({
  kind: fc.constant("request" as const),
  flow,
  flags,
  seq: near,
  ack: near,
  length,
  think: fc.constantFrom(-1, 0, 5000),
  options,
});
const response = fc.record({
  kind: fc.constant("response" as const),
  port,
  flags,
  seq: near,
  ack: near,
  length,
  window,
  options,
});
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("open" as const), flow }) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("send" as const),
      flow,
      length: fc.constantFrom(1, 100, 1460, 5000, 40_000),
      isTurn: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("close" as const), flow, isReset: fc.boolean() }) },
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant("answer" as const),
      length: fc.constantFrom(0, 1, 200, 3000),
      window,
      fin: fc.constantFrom(false, false, false, true),
    }),
  },
  { weight: 2, arbitrary: request },
  { weight: 2, arbitrary: response },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("tooBig" as const), port, seq: near, mtu: fc.nat(2000) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("pass" as const),
      time: fc.constantFrom(1, 1000, 50_000, 300_000, 1_100_000, 5_000_000, 100_000_000),
    }),
  },
);
const config: fc.Arbitrary<FuzzConfig> = fc.record(
  {
    replicas: fc.constantFrom(1, 2, 3),
    jitter: fc.constantFrom(0, 100_000),
    waitsForAnswers: fc.boolean(),
    pace: fc.constantFrom("clock" as const, "think" as const, "fast" as const),
    late: fc.constantFrom(null, null, { after: 50_000, spreads: false }, { after: 1000, spreads: true }),
    takesMidstream: fc.boolean(),
    turnLimit: fc.constantFrom(0, 0, 0, 20),
    proxyProtocol: fc.constantFrom(0 as const, 0 as const, 1 as const, 2 as const, -1 as const),
    memory: fc.constantFrom(1 << 19, 4 << 20, 32 << 20),
    maxSessions: fc.constantFrom(3, 20, 20, 20),
  },
  { requiredKeys: [] },
);

describe("arbitrary packets", () => {
  test("more of a turn that was dropped undoes no count of the one before it", () => {
    const fuzz = new Fuzz({ turnLimit: 20 });
    const shut = { kind: "answer", length: 0, window: 0, fin: false } as const;
    const beyondGap = {
      kind: "request",
      flow: 0,
      flags: 24,
      seq: { anywhere: 99_303 },
      ack: { by: 0 },
    } as const;
    for (const one of [
      { kind: "open", flow: 0 },
      { kind: "send", flow: 0, length: 1, isTurn: true },
      shut,
      shut,
      { ...beyondGap, length: 1, think: -1, options: [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0] },
      { ...shut, fin: true },
    ] as Step[])
      fuzz.take(one, false);
    fuzz.end();
  });

  test("the turn behind a gap counts, though it acknowledges less than what came before it", () => {
    const fuzz = new Fuzz({ late: { after: 50_000, spreads: false } });
    const request = { kind: "request", flow: 1, think: -1, options: [] } as const;
    for (const one of [
      { ...request, flags: 2, seq: { by: 0 }, ack: { by: 0 }, length: 0 },
      { kind: "send", flow: 1, length: 1460, isTurn: false },
      { kind: "close", flow: 1, isReset: false },
      { kind: "send", flow: 1, length: 1, isTurn: false },
      { kind: "pass", time: 1 },
      { kind: "answer", length: 0, window: 0, fin: false },
      { ...request, flags: 17, seq: { by: 0 }, ack: { by: -1 }, length: 100 },
      { kind: "pass", time: 1_100_000 },
    ] as Step[])
      fuzz.take(one, false);
    fuzz.end();
  });

  test("never make the engine throw or its counters contradict each other, and all memory is freed", () => {
    fc.assert(
      fc.property(
        config,
        fc.array(fc.tuple(step, fc.boolean()), { maxLength: 120, size: "max" }),
        fc.boolean(),
        (options, steps, isLeftAlone) => {
          const fuzz = new Fuzz(options);
          for (const [one, isBatched] of steps) fuzz.take(one, isBatched);
          if (isLeftAlone) fuzz.leaveAlone();
          fuzz.end();
        },
      ),
      seeded(200),
    );
  });
});
