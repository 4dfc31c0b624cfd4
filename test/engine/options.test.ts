/** What the options of a run mean for the sessions, against model servers in virtual time. */
import { describe, expect, test } from "bun:test";
import { faultOfBooks } from "./books.ts";
import { client, Simulation, texts } from "./simulation.ts";

const lines = (n: number): string[] => Array.from({ length: n }, (_, i) => `request ${i}\n`);

/** When data left for the target, us since the start. */
const dataTimes = (net: Simulation, start: number): number[] =>
  net.sent.filter(({ segment }) => segment.payload.length > 0).map(({ at }) => at - start);

function expectBooksToBalance(net: Simulation): void {
  const count = net.count.bind(net);
  expect(count("turnsCaptured")).toBe(count("turnsSent") + count("turnsDropped") + count("turnsPending"));
}

describe("pace", () => {
  test("the client's think time is kept after a slower answer", () => {
    const net = new Simulation({ seed: 1, serviceTime: 50_000, config: { pace: "think" } });
    const start = net.now;
    const payload = (text: string) => new TextEncoder().encode(text);
    const base = { sourcePort: 40000, destinationPort: 80 };
    net.capture({ ...base, seq: 99, flags: 2 });
    net.capture({ ...base, seq: 100, ack: 1, flags: 0x18, payload: payload("one\n") });
    net.at(start + 20_000, () =>
      net.capture({ ...base, seq: 104, ack: 101, flags: 0x18, payload: payload("two\n"), think: 15_000 }),
    );
    net.run(1_000_000);
    const [first, second] = dataTimes(net, start);
    expect(second! - first!).toBeGreaterThanOrEqual(65_000);
    expect(second! - first!).toBeLessThan(68_000);
  });

  test("without think time the next turn is sent when the response has come", () => {
    const net = new Simulation({ seed: 1, serviceTime: 50_000, config: { pace: "fast" } });
    const start = net.now;
    const payload = (text: string) => new TextEncoder().encode(text);
    const base = { sourcePort: 40000, destinationPort: 80 };
    net.capture({ ...base, seq: 99, flags: 2 });
    net.capture({ ...base, seq: 100, ack: 1, flags: 0x18, payload: payload("one\n") });
    net.capture({ ...base, seq: 104, ack: 101, flags: 0x18, payload: payload("two\n"), think: 15_000 });
    net.run(1_000_000);
    const [first, second] = dataTimes(net, start);
    expect(second! - first!).toBeLessThan(52_000);
  });

  test("by the clock a user that waited for its place keeps the distances between its turns", () => {
    for (const pace of ["clock", "fast"] as const) {
      const net = new Simulation({ seed: 1, config: { users: 1, pace } });
      const start = net.now;
      client(net, { port: 40000, requests: lines(3), pace: 200_000 });
      client(net, { port: 40001, requests: lines(3), pace: 100_000 });
      net.run(3_000_000);
      expect(texts(net)).toEqual([lines(3).join(""), lines(3).join("")]);
      const [first, second, third] = dataTimes(net, start).slice(3) as [number, number, number];
      expect(first).toBeGreaterThan(800_000);
      for (const gap of [second - first, third - second]) {
        if (pace === "clock") expect(gap).toBeWithin(99_000, 102_000);
        else expect(gap).toBeLessThan(10_000);
      }
      expectBooksToBalance(net);
    }
  });

  test("without waiting for responses, turns are sent as captured", () => {
    const net = new Simulation({ seed: 1, serviceTime: 500_000, config: { waitsForAnswers: false } });
    const start = net.now;
    client(net, { port: 40000, requests: lines(3), pace: 1000 });
    net.run(5_000_000);
    expect(dataTimes(net, start).at(-1)).toBeLessThan(5000);
    expect(texts(net)).toEqual([lines(3).join("")]);
    expect(net.count("turnsSent")).toBe(3);
    expect(net.received[0]!.end).toBe("fin");
    expectBooksToBalance(net);
  });

  test("a turn without a response holds the next one until the turn timeout; after two in a row turns do not wait", () => {
    const net = new Simulation({ seed: 1, config: { turnTimeout: 100_000 } });
    net.answer = () => 0;
    const start = net.now;
    client(net, { port: 40000, requests: lines(6), pace: 1000, end: "none" });
    net.run(5_000_000);
    const times = dataTimes(net, start);
    expect(times.length).toBe(6);
    expect(times[1]! - times[0]!).toBeGreaterThanOrEqual(100_000);
    expect(times[5]! - times[2]!).toBeLessThan(1000);
    expect(net.count("turnsOverdue")).toBe(2);
    expectBooksToBalance(net);
  });

  test("after a reset, turns that did not wait and were not acknowledged are sent again", () => {
    const net = new Simulation({ seed: 1, delay: 50_000, config: { waitsForAnswers: false } });
    client(net, { port: 40000, requests: lines(3), pace: 1000, end: "none" });
    net.run(149_000); // the handshake took 100 ms: all turns are on their way
    expect(net.count("turnsPending")).toBe(1);
    net.mode = "silent";
    net.respond({ ...net.lastReset(), payload: new Uint8Array(0), options: [], window: 0 });
    net.run(60_000);
    net.mode = "accept";
    net.run(60_000_000);
    expect(texts(net).at(-1)).toBe(lines(3).join(""));
    expect(net.count("turnsSent")).toBe(3);
    expectBooksToBalance(net);
  });
});

describe("server-first protocols", () => {
  test("the first turn waits for the target's greeting", () => {
    const net = new Simulation({ seed: 1, serviceTime: 80_000 });
    net.greeting = 60;
    const start = net.now;
    client(net, { port: 40000, requests: lines(2), greeting: 60 });
    net.run(5_000_000);
    expect(dataTimes(net, start)[0]).toBeGreaterThanOrEqual(80_000);
    expect(texts(net)).toEqual([lines(2).join("")]);
    expect(net.count("turnsAnswered")).toBe(2);
    expect(net.count("turnsCaptured")).toBe(2);
    expectBooksToBalance(net);
  });

  test("a client that speaks first does not wait", () => {
    const net = new Simulation({ seed: 1 });
    client(net, { port: 40000, requests: lines(2), greeting: 0 });
    net.run(5_000_000);
    expect(net.count("turnsAnswered")).toBe(2);
  });
});

describe("copies", () => {
  test("every session is replayed n times, each replica delayed by the jitter", () => {
    const net = new Simulation({ seed: 1, config: { replicas: 3, jitter: 200_000 } });
    client(net, { port: 40000, requests: lines(4) });
    net.run(5_000_000);
    expect(texts(net)).toEqual([lines(4).join(""), lines(4).join(""), lines(4).join("")]);
    expect(new Set(net.received.map(({ port }) => port)).size).toBe(3);
    const starts = net.sent.filter(({ segment }) => segment.flags === 2).map(({ at }) => at);
    expect(starts[2]! - starts[0]!).toBeGreaterThan(10_000);
    expect(net.count("turnsSent")).toBe(12);
    expectBooksToBalance(net);
  });

  test("every session is copied to both routes", () => {
    const net = new Simulation({
      seed: 1,
      targets: 2,
      config: { services: [[[{ weight: 1, paths: [0] }], [{ weight: 1, paths: [1] }]]] },
    });
    client(net, { port: 40000, requests: lines(4) });
    net.run(5_000_000);
    expect(net.received.map(({ target }) => target).sort()).toEqual(["10.0.1.2", "10.0.1.3"]);
    expect(texts(net)).toEqual([lines(4).join(""), lines(4).join("")]);
  });

  test("the targets of a route share the sessions by weight, and a session keeps its target when it reconnects", () => {
    const net = new Simulation({
      seed: 1,
      targets: 2,
      config: {
        services: [
          [
            [
              { weight: 1, paths: [0] },
              { weight: 2, paths: [1] },
            ],
          ],
        ],
      },
    });
    net.closeAfter = 1;
    for (let i = 0; i < 30; i++) client(net, { port: 40000 + i, requests: lines(2), pace: 20_000 });
    net.run(5_000_000);
    const shares = net.received.filter(({ target }) => target === "10.0.1.2").length;
    expect(shares).toBe(20);
    expect(net.received.length).toBe(60);
  });
});

describe("what is left out", () => {
  test("turns over the limit of turns per second are dropped whole", () => {
    const net = new Simulation({ seed: 1, config: { turnLimit: 100 } });
    for (let i = 0; i < 10; i++) client(net, { port: 40000 + i, requests: lines(100), pace: 10_000 });
    net.run(5_000_000);
    expect(net.count("turnsCaptured")).toBe(1000);
    expect(net.count("turnsSent")).toBeGreaterThanOrEqual(95);
    expect(net.count("turnsSent")).toBeLessThanOrEqual(110);
    expect(net.count("dropped.limit")).toBe(1000 - net.count("turnsSent"));
    for (const text of texts(net)) expect(text).toMatch(/^(request \d+\n)*$/);
    expectBooksToBalance(net);
  });

  test("sessions whose SYN was not captured are not copied if so configured", () => {
    const net = new Simulation({ seed: 1, config: { takesMidstream: false } });
    client(net, { port: 40000, requests: lines(4), syn: false });
    client(net, { port: 40001, requests: lines(4) });
    net.run(5_000_000);
    expect(texts(net)).toEqual([lines(4).join("")]);
    expect(net.count("stray")).toBe(5);
  });
});

describe("PROXY protocol", () => {
  test("without memory for the header a connection is reset, and the turns are dropped", () => {
    // Under a limit connections are opened for data only; all memory is one page, for pieces of one size.
    const net = new Simulation({ seed: 1, memory: 1 << 19, config: { proxyProtocol: 1, turnLimit: 1000 } });
    const large = Array.from({ length: 2 }, () => `${"x".repeat(999)}\n`);
    client(net, { port: 40_000, requests: large, pace: 1000 });
    net.run(20_000);
    expect(net.received.map(({ bytes, end }) => [bytes.length, end])).toEqual([
      [0, "rst"],
      [0, "rst"],
    ]);
    expect(net.count("dropped.memory")).toBe(2);
    client(net, { port: 40_001, requests: ["one\n"] });
    net.run(5_000_000);
    expect(texts(net)).toEqual(["", "", "PROXY TCP4 10.0.0.9 10.0.0.1 40001 80\r\none\n"]);
    expect(net.count("active")).toBe(0);
    expect(faultOfBooks(net.counters)).toBe("");
  });

  test.each([1, 2] as const)("each connection begins with a header of version %d", (version) => {
    const net = new Simulation({ seed: 1, config: { proxyProtocol: version } });
    net.closeAfter = 1;
    net.answer = (request) => (request.includes("request") ? 100 : 0);
    const text = lines(2);
    client(net, { port: 40000, requests: text, pace: 20_000 });
    net.run(5_000_000);
    expect(net.received.length).toBe(2);
    for (const [i, { bytes }] of net.received.entries()) {
      const got = Buffer.from(bytes);
      if (version === 1) {
        expect(got.toString()).toBe(`PROXY TCP4 10.0.0.9 10.0.0.1 40000 80\r\n${text[i]}`);
      } else {
        expect(got.subarray(0, 28).toString("hex")).toBe(
          "0d0a0d0a000d0a515549540a2111000c0a0000090a0000019c400050",
        );
        expect(got.subarray(28).toString()).toBe(text[i]!);
      }
    }
    expect(net.count("turnsSent")).toBe(2);
    expect(net.count("memory")).toBe(0);
    expectBooksToBalance(net);
  });
});

describe("path MTU", () => {
  const large = "x".repeat(20_000) + "\n";

  test("after lowerMtu, what is in flight is sent again in smaller segments", () => {
    const net = new Simulation({ seed: 1 });
    client(net, { port: 40000, requests: [large], segment: 21_000 });
    net.mtu = 1300;
    net.at(net.now + 3000, () => net.engine.lowerMtu(0, 1300, net.now));
    net.run(150_000);
    expect(texts(net)).toEqual([large]);
  });

  test("ten minutes later large packets are tried again", () => {
    const net = new Simulation({ seed: 1 });
    const largest = () => Math.max(...net.sent.splice(0).map(({ segment }) => segment.payload.length));
    net.engine.lowerMtu(0, 1300, net.now);
    client(net, { port: 40000, requests: [large], segment: 21_000 });
    net.run(590_000_000);
    expect(largest()).toBe(1248);
    net.run(11_000_000);
    client(net, { port: 40001, requests: [large], segment: 21_000 });
    net.run(1_000_000);
    expect(largest()).toBe(1448);
  });

  test("a path that drops large packets without ICMP is found by retransmissions", () => {
    const net = new Simulation({ seed: 1 });
    net.mtu = 1300;
    client(net, { port: 40000, requests: [large], segment: 21_000 });
    net.run(60_000_000);
    expect(texts(net)).toEqual([large]);
  });

  test("an MTU that is too small for any path is ignored", () => {
    const net = new Simulation({ seed: 1 });
    net.engine.lowerMtu(0, 68, net.now);
    client(net, { port: 40000, requests: [large], segment: 21_000 });
    net.run(5_000_000);
    expect(Math.max(...net.sent.map(({ segment }) => segment.payload.length))).toBe(1448);
  });
});

describe("gaps in the capture", () => {
  const payload = (text: string) => new TextEncoder().encode(text);
  const base = { sourcePort: 40000, destinationPort: 80 };

  test("after a gap, a new connection begins with the first turn whose beginning is known", () => {
    const net = new Simulation({ seed: 1 });
    net.capture({ ...base, seq: 999, flags: 2 });
    net.capture({ ...base, seq: 1000, ack: 1, flags: 0x18, payload: payload("one\n") });
    net.run(10_000);
    net.capture({ ...base, seq: 1010, ack: 101, flags: 0x18, payload: payload("three\n") });
    net.capture({ ...base, seq: 1016, ack: 201, flags: 0x18, payload: payload("four\n") });
    net.capture({ ...base, seq: 1021, ack: 301, flags: 0x18, payload: payload("five\n") });
    net.capture({ ...base, seq: 1026, ack: 401, flags: 0x11 });
    net.run(5_000_000);
    expect(texts(net)).toEqual(["one\n", "four\nfive\n"]);
    expect(net.count("turnsCaptured")).toBe(4);
    expect(net.count("dropped.gap")).toBe(1);
    expect(net.count("closed")).toBe(1);
    expectBooksToBalance(net);
  });

  test("a late packet fills the gap", () => {
    const net = new Simulation({ seed: 1 });
    net.capture({ ...base, seq: 999, flags: 2 });
    net.capture({ ...base, seq: 1004, ack: 1, flags: 0x18, payload: payload("line\n") });
    net.run(50_000);
    net.capture({ ...base, seq: 1000, ack: 1, flags: 0x10, payload: payload("one ") });
    net.run(50_000);
    expect(texts(net)).toEqual(["one line\n"]);
  });
});
