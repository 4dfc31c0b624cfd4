/** Late turns: how far the engine says that it is behind, and requests that go over other connections of their client. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { GO, type Outlet, type ProtocolModule, type ProtocolSession } from "../../src/protocol/module.ts";
import { seeded } from "../support/seed.ts";
import { faultOfBooks } from "./books.ts";
import { type Conditions, client, Simulation, texts } from "./simulation.ts";

const lines = (n: number, from = 0): string[] => Array.from({ length: n }, (_, i) => `request ${from + i}\n`);

/** Requests are lines, answers have 100 bytes. A line with "bound" belongs to its connection. */
class Lines implements ProtocolSession {
  private owed = 0;
  private isWhole = true;

  constructor(private readonly outlet: Outlet) {}

  request(bytes: Uint8Array, from: number, to: number): void {
    for (let at = from; at < to; ) {
      const newline = bytes.indexOf(10, at);
      const end = newline < 0 || newline >= to ? to : newline + 1;
      const isBound = new TextDecoder().decode(bytes.subarray(at, end)).includes("bound");
      if (this.isWhole) this.outlet.begin(isBound ? 1 : 0);
      this.outlet.write(bytes, at, end);
      this.isWhole = bytes[end - 1] === 10;
      at = end;
    }
  }

  response(_bytes: Uint8Array, from: number, to: number): void {
    this.owed -= to - from;
    if (this.owed === 0) this.outlet.wake();
  }

  mayBegin(): boolean {
    return this.owed === 0;
  }

  standsAlone(tag: number, isLast: boolean): boolean {
    return tag === 0 && (!isLast || this.isWhole);
  }

  begin(): typeof GO {
    this.owed += 100;
    return GO;
  }

  skipped(): void {}

  isAnswered(): boolean {
    return this.owed === 0;
  }

  connected(): void {}

  disconnected(): void {
    this.owed = 0;
  }

  close(): void {}
}

const LINES: ProtocolModule = {
  name: "lines",
  waitsForever: false,
  keptFor: 0,
  open: (outlet) => new Lines(outlet),
};
const SPREAD = { late: { after: 100_000, spreads: true }, modules: [LINES] };

function spreading(conditions: Partial<Conditions> = {}): Simulation {
  const { config, ...rest } = conditions;
  return new Simulation({ seed: 1, ...rest, config: { ...SPREAD, ...config } });
}

/** Every request that the targets got, in any order. */
const requestsAt = (net: Simulation): string[] =>
  texts(net)
    .join("")
    .split(/(?<=\n)/)
    .sort();

describe("what waits", () => {
  test("is counted, with the age of the oldest, and told apart by what it waits for", () => {
    const net = new Simulation({ seed: 1, serviceTime: 5_000_000 });
    client(net, { port: 40000, requests: lines(4), pace: 500_000, end: "none" });
    net.run(3_000_000);
    net.engine.look(net.now);
    expect([net.count("waiting"), net.count("waitingForConnection")]).toEqual([3, 0]);
    // The first request was captured after 500 ms.
    expect(net.count("behind")).toBe(2_000_000);
    net.run(60_000_000);
    net.engine.look(net.now);
    expect([net.count("waiting"), net.count("behind"), net.count("turnsAnswered")]).toEqual([0, 0, 4]);
  });

  test("waits for a connection while the target does not answer the SYN", () => {
    const net = new Simulation({ seed: 1 });
    net.mode = "silent";
    client(net, { port: 40000, requests: lines(2), pace: 100_000, end: "none" });
    net.run(1_000_000);
    net.engine.look(net.now);
    expect([net.count("waiting"), net.count("waitingForConnection")]).toEqual([2, 2]);
  });
});

describe("spread", () => {
  test("a target that takes half a second gets the offered rate, over as many connections as that needs", () => {
    const net = spreading({ serviceTime: 500_000 });
    client(net, { port: 40000, requests: lines(100), pace: 100_000 });
    net.run(11_500_000);
    expect(requestsAt(net)).toEqual(lines(100).sort());
    expect(net.count("turnsSpread")).toBeGreaterThan(70);
    // 10 requests/s of 500 ms each, and what is late by 100 ms.
    expect(net.received.length).toBeGreaterThanOrEqual(5);
    expect(net.received.length).toBeLessThanOrEqual(7);
    expect([net.count("opened"), net.count("turnsAnswered"), net.count("turnsPending")]).toEqual([1, 100, 0]);
    expect(faultOfBooks(net.counters)).toBe("");
    net.run(30_000_000);
    expect(net.received.map(({ end }) => end).filter((end) => end !== "fin")).toEqual([]);
    expect([net.count("active"), net.count("closed"), net.count("memory")]).toEqual([0, 1, 0]);
  });

  test("a request that belongs to its connection waits, and what follows it goes after it", () => {
    const net = spreading({ serviceTime: 500_000 });
    client(net, { port: 40000, requests: ["one\n", "bound\n", "three\n"], pace: 10_000, end: "none" });
    net.run(450_000);
    expect(texts(net)).toEqual(["one\n"]);
    net.run(100_000);
    expect(texts(net)).toEqual(["one\nbound\n", "three\n"]);
  });

  test("a request that is not whole yet waits for its rest", () => {
    const net = spreading({ serviceTime: 1_000_000 });
    const base = { sourcePort: 40000, destinationPort: 80, flags: 0x18 };
    const bytes = (text: string) => new TextEncoder().encode(text);
    net.capture({ ...base, seq: 99, flags: 2 });
    net.capture({ ...base, seq: 100, ack: 1, payload: bytes("one\n") });
    net.capture({ ...base, seq: 104, ack: 101, payload: bytes("tw") });
    net.at(net.now + 300_000, () => net.capture({ ...base, seq: 106, ack: 101, payload: bytes("o\n") }));
    net.run(299_000);
    expect(texts(net)).toEqual(["one\n"]);
    net.run(500_000);
    expect(texts(net)).toEqual(["one\n", "two\n"]);
  });

  test("no more connections than 64 beside its own are opened for a client", () => {
    const net = spreading({
      serviceTime: 100_000_000,
      sessionTimeout: 600_000_000,
      config: { turnTimeout: 600_000_000 },
    });
    client(net, { port: 40000, requests: lines(90), pace: 10_000, end: "none" });
    net.run(20_000_000);
    expect(net.received.length).toBe(65);
  });

  test("every request is sent once or counted as dropped, whatever the target and the network do", () => {
    fc.assert(
      fc.property(
        fc.record({
          seed: fc.nat(),
          loss: fc.constantFrom(0, 0.02),
          delay: fc.constantFrom(100, 20_000),
          serviceTime: fc.constantFrom(10_000, 150_000, 700_000),
        }),
        fc.constantFrom(0, 1, 3),
        fc.constantFrom("fin" as const, "rst" as const, "none" as const),
        fc.integer({ min: 1, max: 30 }),
        (conditions, closeAfter, end, count) => {
          const net = spreading(conditions);
          net.closeAfter = closeAfter;
          for (let i = 0; i < 3; i++)
            client(net, { port: 40000 + i, requests: lines(count, i * 100), pace: 40_000, end });
          net.run(900_000_000);
          const got = requestsAt(net);
          expect(new Set(got).size).toBe(got.length);
          expect(net.count("turnsCaptured")).toBe(3 * count);
          expect(net.count("turnsPending")).toBe(0);
          expect(faultOfBooks(net.counters)).toBe("");
          // A connection that is reset may have delivered what counts as dropped.
          expect(got.length).toBeGreaterThanOrEqual(net.count("turnsSent"));
          expect([net.count("memory"), net.count("active")]).toEqual([0, 0]);
        },
      ),
      seeded(60),
    );
  });
});

describe("by production's clock", () => {
  const load = fc.record({
    /** us between two requests, us for an answer: at most 80 % busy. */
    gaps: fc.array(fc.integer({ min: 5000, max: 80_000 }), { minLength: 2, maxLength: 40 }),
    busy: fc.double({ min: 0.05, max: 0.8, noNaN: true }),
    answer: fc.constantFrom(100, 12_000),
    delay: fc.constantFrom(20, 1000),
  });

  test("no turn goes before it is due or before the response to the one before, and the lag of a target that keeps up is bounded", () => {
    fc.assert(
      fc.property(load, fc.constantFrom(0, 60_000), ({ gaps, busy, answer, delay }, jitter) => {
        const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
        const took = Math.round(mean * busy);
        const replicas = jitter > 0 ? 2 : 1;
        const net = new Simulation({ seed: 1, delay, serviceTime: took, config: { jitter, replicas } });
        net.answer = () => answer;
        const due = captureAt(net, gaps, answer);
        net.run(60_000_000);
        // Each connection of the target serves one request after the other: what a queue with this service time would do.
        const served = took + 4 * delay + 45_000 / 100;
        for (const { port } of net.received) {
          const sent = net.sent.filter(
            ({ segment }) => segment.sourcePort === port && segment.payload.length > 0,
          );
          const shift = jitter > 0 ? sent[0]!.at - due[0]! : 0;
          expect(sent.length).toBe(gaps.length);
          let free = 0;
          for (const [i, { at }] of sent.entries()) {
            const ideal = Math.max(due[i]! + shift, free);
            expect(at).toBeGreaterThanOrEqual(due[i]!);
            if (i > 0) expect(at).toBeGreaterThanOrEqual(sent[i - 1]!.at + took);
            // Timers are in slots of 1 ms, and the first request waits for the connection.
            expect(at).toBeLessThanOrEqual(ideal + 2 * delay + 3000);
            free = at + served + 2000;
          }
        }
        expect(net.count("turnsAnswered")).toBe(gaps.length * replicas);
        expect(faultOfBooks(net.counters)).toBe("");
      }),
      seeded(80),
    );
  });
});

/** Captures requests of a client whose production answers at once, `gaps` us apart; returns when each is captured. */
function captureAt(net: Simulation, gaps: number[], answer: number): number[] {
  const base = { sourcePort: 40000, destinationPort: 80, flags: 0x18 };
  const options = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
  net.capture({ ...base, seq: 999, flags: 2, options });
  let time = net.now;
  return gaps.map((gap, i) => {
    time += gap;
    const payload = new TextEncoder().encode(`${1000 + i}\n`);
    net.at(time, () => net.capture({ ...base, seq: 1000 + i * 5, ack: 1 + i * answer, payload }));
    return time;
  });
}
