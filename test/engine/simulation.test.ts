/** Sessions from SYN to close against a simulated target, in virtual time. */
import { describe, expect, test } from "bun:test";
import { type Conditions, client, Simulation, texts } from "./simulation.ts";

/** Every turn, session and kept byte is accounted for. */
function expectBooksToBalance(net: Simulation): void {
  const count = net.count.bind(net);
  expect(count("turnsCaptured")).toBe(count("turnsSent") + count("turnsDropped") + count("turnsPending"));
  expect(count("opened") + count("midstream")).toBe(
    count("active") + count("closed") + count("resetSessions") + count("failed") + count("shed"),
  );
}

const requests = (n: number, size = 20): string[] =>
  Array.from({ length: n }, (_, i) => `request ${i} `.padEnd(size - 1, "x") + "\n");

describe("a session", () => {
  test("is replayed whole and closed as the client closed it", () => {
    const net = new Simulation({ seed: 1 });
    const lines = requests(5);
    client(net, { port: 40000, requests: lines });
    net.run(5_000_000);
    expect(texts(net)).toEqual([lines.join("")]);
    expect(net.received[0]!.end).toBe("fin");
    expect(net.count("turnsSent")).toBe(5);
    expect(net.count("turnsAnswered")).toBe(5);
    expect(net.count("closed")).toBe(1);
    expect(net.count("retransmitted")).toBe(0);
    expect(net.count("memory")).toBe(0);
    expectBooksToBalance(net);
  });

  test("one request per connection takes three packets", () => {
    const net = new Simulation({ seed: 1, delay: 20, serviceTime: 20 });
    net.closeAfter = 1;
    client(net, { port: 40000, requests: ["GET /\n"], pace: 500 });
    net.run(5_000_000);
    expect(net.sent.map(({ segment }) => segment.flags)).toEqual([0x02, 0x18, 0x11]);
    expect(net.count("closed")).toBe(1);
  });

  test("turns wait for the target's response", () => {
    const net = new Simulation({ seed: 1, serviceTime: 50_000 });
    client(net, { port: 40000, requests: requests(3), pace: 1000 });
    net.run(5_000_000);
    const data = net.sent.filter(({ segment }) => segment.payload.length > 0).map(({ at }) => at);
    expect(data.length).toBe(3);
    for (let i = 1; i < 3; i++) expect(data[i]! - data[i - 1]!).toBeGreaterThanOrEqual(50_000);
    expect(net.count("turnsAnswered")).toBe(3);
  });

  test("a shorter answer than production's is complete after a silence", () => {
    const net = new Simulation({ seed: 1 });
    net.answer = () => 10;
    client(net, { port: 40000, requests: requests(3) });
    net.run(5_000_000);
    expect(net.count("turnsAnswered")).toBe(3);
    expect(net.received[0]!.end).toBe("fin");
  });

  test("the client's reset is passed on once its requests are answered", () => {
    const net = new Simulation({ seed: 1 });
    client(net, { port: 40000, requests: requests(2), end: "rst" });
    net.run(5_000_000);
    expect(net.received[0]!.end).toBe("rst");
    expect(net.count("turnsAnswered")).toBe(2);
    expect(net.count("resetSessions")).toBe(1);
    expectBooksToBalance(net);
  });
});

describe("life cycle", () => {
  test("a session older than xcopy is picked up at its next turn", () => {
    const net = new Simulation({ seed: 1 });
    const lines = requests(4);
    client(net, { port: 40000, requests: lines, syn: false });
    net.run(5_000_000);
    expect(texts(net)).toEqual([lines.slice(1).join("")]);
    expect(net.count("midstream")).toBe(1);
    expect(net.count("dropped.midstream")).toBe(1);
    expect(net.count("turnsCaptured")).toBe(4);
    expectBooksToBalance(net);
  });

  test("a 4-tuple used again starts a new session at once", () => {
    const net = new Simulation({ seed: 1, serviceTime: 100_000 });
    client(net, { port: 40000, requests: ["one\n"], end: "none" });
    net.run(10_000);
    client(net, { port: 40000, requests: ["two\n"], isn: 5000 });
    net.run(5_000_000);
    expect(texts(net)).toEqual(["one\n", "two\n"]);
    expect(net.count("closed")).toBe(2);
    expectBooksToBalance(net);
  });

  test("a target that closes after each response gets each turn on a new connection", () => {
    const net = new Simulation({ seed: 1 });
    net.closeAfter = 1;
    const lines = requests(3);
    client(net, { port: 40000, requests: lines, pace: 20_000 });
    net.run(10_000_000);
    expect(texts(net)).toEqual(lines);
    expect(net.count("reconnected")).toBe(2);
    expect(net.count("turnsAnswered")).toBe(3);
    expectBooksToBalance(net);
  });

  test("while the target refuses connections turns are dropped; later ones are sent when it is back", () => {
    const net = new Simulation({ seed: 1 });
    net.mode = "refuse";
    client(net, { port: 40000, requests: requests(4), pace: 100_000 });
    net.run(250_000);
    net.mode = "accept";
    net.run(5_000_000);
    expect(texts(net)).toEqual([requests(4).slice(2).join("")]);
    expect(net.count("dropped.refused")).toBe(2);
    expect(net.count("turnsAnswered")).toBe(2);
    expectBooksToBalance(net);
  });

  test("a target that does not answer the SYN is given up after SYN retransmissions", () => {
    const net = new Simulation({ seed: 1 });
    net.mode = "silent";
    client(net, { port: 40000, requests: requests(2) });
    net.run(20_000_000);
    expect(net.sent.filter(({ segment }) => segment.flags === 0x02).length).toBe(4);
    expect(net.count("dropped.unreachable")).toBe(2);
    expect(net.count("failed")).toBe(1);
    expectBooksToBalance(net);
  });

  test("a target that never answers is given up after the session timeout", () => {
    const net = new Simulation({ seed: 1, sessionTimeout: 2_000_000 });
    net.answer = () => 0;
    client(net, { port: 40000, requests: ["one\n", "two\n"], end: "none" });
    net.run(1_000_000);
    expect(net.count("turnsPending")).toBe(2);
    net.run(10_000_000);
    expect(net.count("turnsPending")).toBe(0);
    expectBooksToBalance(net);
  });

  test("bytes lost by the capture end the connection; a later turn begins a new one", () => {
    const net = new Simulation({ seed: 1 });
    const base = { sourcePort: 40000, destinationPort: 80 };
    const payload = (text: string) => new TextEncoder().encode(text);
    net.capture({ ...base, seq: 999, flags: 2 });
    net.capture({ ...base, seq: 1000, ack: 1, flags: 0x18, payload: payload("one\n") });
    net.run(10_000);
    net.capture({ ...base, seq: 1010, ack: 101, flags: 0x18, payload: payload("three\n") });
    net.run(3_000_000);
    net.capture({ ...base, seq: 1016, ack: 201, flags: 0x18, payload: payload("four\n") });
    net.capture({ ...base, seq: 1021, ack: 301, flags: 0x11 });
    net.run(3_000_000);
    expect(texts(net)).toEqual(["one\n", "four\n"]);
    expect(net.count("dropped.gap")).toBe(1);
    expectBooksToBalance(net);
  });

  test("over the memory bound the session with the most kept bytes is given up, and the counters add up", () => {
    const net = new Simulation({ seed: 1, memory: 2 << 20, serviceTime: 10_000_000 });
    for (let i = 0; i < 20; i++) {
      client(net, { port: 40000 + i, requests: requests(40, 8000), pace: 1000, end: "none" });
    }
    net.run(1_000_000);
    expect(net.count("memory")).toBeLessThanOrEqual(2 << 20);
    expect(net.count("dropped.memory")).toBeGreaterThan(0);
    expectBooksToBalance(net);
    while (!net.engine.end(net.now)) net.flush();
    expect(net.count("turnsPending")).toBe(0);
    expect(net.count("active")).toBe(0);
    expect(net.count("turnsCaptured")).toBe(800);
    expectBooksToBalance(net);
  });
});

describe("a bad network", () => {
  const table: Conditions[] = [];
  for (const loss of [0, 0.01, 0.05, 0.2]) {
    for (const mss of [536, 1460]) {
      for (const window of [4000, 65535]) table.push({ seed: 7, loss, mss, window });
    }
  }
  table.push({ seed: 8, reordering: 0.3 }, { seed: 9, duplication: 0.3 });
  table.push({ seed: 10, loss: 0.1, reordering: 0.2, duplication: 0.1, delay: 20_000 });

  test.each(table)("delivers every byte once and in order: %j", (conditions) => {
    const net = new Simulation(conditions);
    const small = requests(10);
    const large = requests(3, 60_000);
    client(net, { port: 40001, requests: small, pace: 5000, answer: 5000 });
    client(net, { port: 40002, requests: large, pace: 5000, segment: 29_200 });
    client(net, { port: 40003, requests: small, pace: 5000, segment: 7 });
    net.answer = () => 5000;
    net.run(600_000_000);
    const sorted = (list: string[]) => [...list].sort();
    expect(sorted(texts(net))).toEqual(sorted([small.join(""), large.join(""), small.join("")]));
    expect(net.count("turnsSent")).toBe(23);
    expect(net.count("turnsDropped")).toBe(0);
    expect(net.count("memory")).toBe(0);
    if ((conditions.loss ?? 0) >= 0.05) expect(net.count("retransmitted")).toBeGreaterThan(0);
    expectBooksToBalance(net);
  });
});
