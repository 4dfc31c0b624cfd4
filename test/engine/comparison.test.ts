/** HTTP copied and compared: what the engine does with answers of which only the beginning was captured, and with other protocols. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Pair } from "../../src/pairs/pair.ts";
import { createHttp } from "../../src/protocol/http/http.ts";
import { Requests } from "../../src/protocol/http/requests.ts";
import { ACK, FIN, PSH, SYN } from "../../src/wire/tcp.ts";
import { faultOfBooks } from "./books.ts";
import { type Conditions, client, Simulation, texts } from "./simulation.ts";

interface Compared {
  net: Simulation;
  pairs: Pair[];
  requests: Requests;
}

const latin1 = (text: string) => Uint8Array.from(Buffer.from(text, "latin1"));
const CONFIG = { body: false, fields: [], memory: 1 << 22 };

function compared(conditions: Partial<Conditions> = {}): Compared {
  const pairs: Pair[] = [];
  const sink = { take: (pair: Pair) => void pairs.push(structuredClone(pair)) };
  const requests = new Requests(CONFIG, sink, () => {});
  const { config, ...rest } = conditions;
  const net = new Simulation({
    seed: 1,
    ...rest,
    config: { modules: [createHttp(requests)], ...config },
  });
  net.delimiter = "\r\n\r\n";
  return { net, pairs, requests };
}

/** The answer to the request with this number, in chunks if it is odd. */
function answerOf(id: number, size: number): Uint8Array {
  const content = "x".repeat(size);
  const head = `HTTP/1.1 ${id % 5 === 0 ? 404 : 200} X\r\nX-Id: ${id}\r\n`;
  return latin1(
    id % 2 === 0
      ? `${head}Content-Length: ${size}\r\n\r\n${content}`
      : `${head}Transfer-Encoding: chunked\r\n\r\n${size.toString(16)}\r\n${content}\r\n0\r\n\r\n`,
  );
}

interface Visit {
  port: number;
  count: number;
  /** us between an answer of production and the next request; us that production takes. */
  pace?: number;
  serviceTime?: number;
  size?: (id: number) => number;
  /** Whether a segment of production is captured. */
  isCaptured?: () => boolean;
  first?: number;
}

/** A client that asks production for one thing after the other, all captured. */
function visit(net: Simulation, visit: Visit): void {
  const { port, count, pace = 1000, serviceTime = 300, size = () => 500, first = 0 } = visit;
  const { isCaptured = () => true } = visit;
  const base = { sourcePort: port, destinationPort: 80, source: "10.0.0.9" };
  const back = { sourcePort: 80, destinationPort: port, source: "10.0.0.1", destination: "10.0.0.9" };
  let seq = 4294967296 - 100;
  let ack = 4294967296 - 1000;
  let at = net.now;
  const isn = seq++;
  const iss = ack++;
  net.at(at, () => net.capture({ ...base, seq: isn, flags: SYN }));
  net.at(at, () => net.produce({ ...back, seq: iss, ack: isn + 1, flags: SYN | ACK }));
  net.at(at, () => net.capture({ ...base, seq: isn + 1, ack: iss + 1, flags: ACK }));
  for (let id = first; id < first + count; id++) {
    at += pace;
    const payload = latin1(`GET /${id} HTTP/1.1\r\nX-Id: ${id}\r\n\r\n`);
    const [s, a] = [seq >>> 0, ack >>> 0];
    net.at(at, () => net.capture({ ...base, seq: s, ack: a, flags: ACK | PSH, payload }));
    seq += payload.length;
    at += serviceTime;
    const answer = answerOf(id, size(id));
    const acknowledged = seq >>> 0;
    for (let from = 0; from < answer.length; from += 1448) {
      const place = (ack + from) >>> 0;
      const part = answer.slice(from, from + 1448);
      if (isCaptured())
        net.at(at, () => net.produce({ ...back, seq: place, ack: acknowledged, flags: ACK, payload: part }));
    }
    ack += answer.length;
  }
  at += pace;
  net.at(at, () => net.capture({ ...base, seq: seq >>> 0, ack: ack >>> 0, flags: FIN | ACK }));
}

const idOf = (request: string) => Number(/\/([0-9]+) HTTP/.exec(request)![1]);

/** Checks that each request is exactly one pair, and that answers are those to it. */
function expectPairs({ net, pairs, requests }: Compared, names: string[]): void {
  expect(pairs.map(({ name }) => name).sort()).toEqual(names.sort());
  for (const { name, production, target } of pairs) {
    for (const answer of [production, target]) {
      if (answer?.isHeadWhole)
        expect([name, Buffer.from(answer.head).toString()]).toEqual([
          name,
          expect.stringContaining(`X-Id: ${name.slice(1)}\r\n`),
        ]);
    }
  }
  expect(requests.count).toBe(0);
  expect(faultOfBooks(net.counters)).toBe("");
}

const numbers = (count: number) => Array.from({ length: count }, (_, id) => `/${id}`);

describe("of responses only the beginnings of segments are captured", () => {
  test("the next request waits until the response before has ended, and each is compared", () => {
    const { net, ...rest } = compared({ serviceTime: 700 });
    net.prefix = 120;
    const size = (id: number) => (id * 977) % 9000;
    net.answer = (request) => answerOf(idOf(request), size(idOf(request)));
    visit(net, { port: 40000, count: 30, pace: 20_000, size });
    net.run(3_000_000);
    expectPairs({ net, ...rest }, numbers(30));
    expect(new Set(rest.pairs.map(({ outcome }) => outcome))).toEqual(new Set(["compared"]));
    expect(net.received.length).toBe(1);
    for (const { name, production, target } of rest.pairs) {
      const id = Number(name.slice(1));
      // Of chunks that go on in what was not captured the end is not seen.
      if (id % 2 === 0) expect([target!.end, production!.end]).toEqual(["complete", "complete"]);
      if (id % 2 === 0) expect([target!.bytes, production!.bytes]).toEqual([size(id), size(id)]);
    }
  });

  test("a target that answers slower than production gets one request at a time all the same", () => {
    const { net, ...rest } = compared({ serviceTime: 30_000 });
    net.prefix = 120;
    let open = 0;
    let most = 0;
    net.answer = (request) => {
      most = Math.max(most, ++open);
      net.at(net.now + 30_000, () => open--);
      return answerOf(idOf(request), 3000);
    };
    visit(net, { port: 40000, count: 20, pace: 1000, size: () => 3000 });
    net.run(5_000_000);
    expectPairs({ net, ...rest }, numbers(20));
    expect(most).toBe(1);
    expect(new Set(rest.pairs.map(({ outcome }) => outcome))).toEqual(new Set(["compared"]));
  });

  test("the connection is closed when the last response has come", () => {
    const { net } = compared({ serviceTime: 50_000 });
    net.prefix = 120;
    net.answer = () => answerOf(1, 3000);
    visit(net, { port: 40000, count: 2, size: () => 3000 });
    net.run(2_000_000);
    expect(net.received.map(({ end }) => end)).toEqual(["fin"]);
    expect(net.count("turnsAnswered")).toBe(2);
  });
});

test("late requests that go over other connections are paired with their own responses", () => {
  const config = { late: { after: 50_000, spreads: true } };
  for (const prefix of [120, 1e9]) {
    const { net, ...rest } = compared({ serviceTime: 200_000, config: {} });
    const spread = compared({ serviceTime: 200_000, config });
    for (const one of [{ net, ...rest }, spread]) {
      one.net.prefix = prefix;
      one.net.answer = (request) => answerOf(idOf(request), 3000);
      visit(one.net, { port: 40000, count: 40, pace: 20_000, size: () => 3000 });
      one.net.run(30_000_000);
      expectPairs(one, numbers(40));
      expect(new Set(one.pairs.map(({ outcome }) => outcome))).toEqual(new Set(["compared"]));
    }
    expect(spread.net.count("turnsSpread")).toBeGreaterThan(20);
  }
});

test("a target that closes after some answers gets the others on new connections", () => {
  const { net, ...rest } = compared();
  net.closeAfter = 3;
  net.answer = (request) => answerOf(idOf(request), 100);
  visit(net, { port: 40000, count: 20 });
  net.run(5_000_000);
  expectPairs({ net, ...rest }, numbers(20));
  expect(net.count("reconnected")).toBeGreaterThan(4);
  expect(new Set(rest.pairs.map(({ outcome }) => outcome))).toEqual(new Set(["compared"]));
});

test("every copy has its pairs: replicas, several targets", () => {
  const services = [[[{ weight: 1, paths: [0] }], [{ weight: 1, paths: [1] }]]];
  const { net, ...rest } = compared({ targets: 2, config: { services, replicas: 2 } });
  net.answer = (request) => answerOf(idOf(request), 100);
  visit(net, { port: 40000, count: 5 });
  net.run(5_000_000);
  expectPairs({ net, ...rest }, Array(4).fill(numbers(5)).flat());
  const copies = rest.pairs.map(({ copy, path }) => `${copy} ${path}`);
  expect(
    Object.entries(Object.groupBy(copies, (one) => one))
      .map(([one, all]) => [one, all!.length])
      .sort(),
  ).toEqual([
    ["0 0", 5],
    ["1 0", 5],
    ["2 1", 5],
    ["3 1", 5],
  ]);
});

test("a target that refuses connections: what was dropped was not sent", () => {
  const { net, ...rest } = compared();
  net.mode = "refuse";
  visit(net, { port: 40000, count: 3 });
  net.run(5_000_000);
  expectPairs({ net, ...rest }, numbers(3));
  expect(rest.pairs.map(({ outcome }) => outcome)).toEqual(["notSent", "notSent", "notSent"]);
});

test("the run ends with requests on their way", () => {
  const { net, ...rest } = compared({ serviceTime: 10_000_000 });
  net.answer = (request) => answerOf(idOf(request), 100);
  visit(net, { port: 40000, count: 3 });
  net.run(1_000_000);
  while (!net.engine.end(net.now)) net.flush();
  expectPairs({ net, ...rest }, numbers(3));
  expect(rest.pairs.map(({ outcome }) => outcome).sort()).toEqual(["ended", "notSent", "notSent"]);
});

test("the run ends with a request that the target has not acknowledged", () => {
  const { net, ...rest } = compared();
  net.answer = (request) => answerOf(idOf(request), 100);
  visit(net, { port: 40000, count: 2, pace: 50_000 });
  net.run(80_000);
  net.mode = "silent";
  net.run(200_000);
  while (!net.engine.end(net.now)) net.flush();
  expectPairs({ net, ...rest }, numbers(2));
  expect(rest.pairs.map(({ outcome }) => outcome)).toEqual(["compared", "ended"]);
});

test("on networks that lose, each request is one pair, with its own responses", () => {
  fc.assert(
    fc.property(
      fc.record({
        seed: fc.integer(),
        loss: fc.constantFrom(0, 0.02),
        duplication: fc.constantFrom(0, 0.05),
        reordering: fc.constantFrom(0, 0.05),
      }),
      fc.constantFrom(0, 0.02),
      fc.constantFrom(60, 120, 500, 1e9),
      fc.constantFrom(0, 3),
      fc.constantFrom(null, { after: 20_000, spreads: true }),
      (conditions, lost, prefix, closeAfter, late) => {
        const { net, ...rest } = compared({ ...conditions, config: { late } });
        net.prefix = prefix;
        net.closeAfter = closeAfter;
        const size = (id: number) => (id * 977) % 5000;
        net.answer = (request) => answerOf(idOf(request), size(idOf(request)));
        for (let one = 0; one < 3; one++) {
          const isCaptured = () => net.random() >= lost;
          visit(net, { port: 40000 + one, count: 10, first: one * 10, pace: 3000, size, isCaptured });
        }
        net.run(20_000_000);
        while (!net.engine.end(net.now)) net.flush();
        expectPairs({ net, ...rest }, numbers(30));
      },
    ),
    { numRuns: 12 },
  );
});

describe("a session that is not HTTP is copied as one that nobody compares", () => {
  const both = (play: (net: Simulation) => void) =>
    [true, false].map((isCompared) => {
      const net = isCompared ? compared().net : new Simulation({ seed: 1 });
      net.delimiter = "\n";
      play(net);
      net.run(5_000_000);
      expect(faultOfBooks(net.counters)).toBe("");
      return [
        texts(net),
        net.sent.map(({ at, segment }) => [at, segment.flags, segment.payload.length]),
        net.count("turnsCaptured"),
        net.count("turnsAnswered"),
      ];
    });
  const lines = (count: number) => Array.from({ length: count }, (_, id) => `request ${id}\n`);

  test("one after the other", () => {
    const [one, other] = both((net) => client(net, { port: 40000, requests: lines(10) }));
    expect(one).toEqual(other!);
  });

  test("its first request waits for the target's greeting, if the client had waited for production's", () => {
    const [one, other] = both((net) => {
      net.greeting = 40;
      client(net, { port: 40000, requests: lines(3), greeting: 40 });
    });
    expect(one).toEqual(other!);
  });

  test("HTTP/2 is told by its preface", () => {
    const requests = ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n frames\n", ...lines(6)];
    const [one, other] = both((net) => {
      net.answer = () => 70;
      client(net, { port: 40000, requests, answer: 100 });
    });
    expect(one).toEqual(other!);
  });
});
