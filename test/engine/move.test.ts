/** A path that leads another way: what becomes of its connections. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { WAY_GONE } from "../../src/engine/sessions/hold.ts";
import { SYN } from "../../src/wire/tcp.ts";
import { faultOfBooks } from "./books.ts";
import { client, Simulation, texts } from "./simulation.ts";

const OTHER = Uint8Array.of(10, 0, 9, 9);
const SAME = Uint8Array.of(10, 0, 1, 1);
const lines = (count: number) =>
  Array.from({ length: count }, (_, i) => `request ${i} ${"x".repeat(i * 90)}\n`);
const way = (source: Uint8Array | null, mtu = 1500) => ({ source, egress: 0, mtu });

test("from the same address a connection goes on where it was, after any time without a way", () => {
  const net = new Simulation({ seed: 1 });
  client(net, { port: 40000, requests: lines(20), pace: 10_000 });
  net.run(95_000);
  net.mode = "silent";
  net.run(30_000);
  net.engine.hold(0, WAY_GONE, net.now);
  net.run(300_000_000);
  net.mode = "accept";
  expect(net.engine.move(0, way(SAME), net.now)).toEqual({ kept: 1, ended: 0 });
  net.engine.resume(0, WAY_GONE, net.now);
  net.run(10_000_000);
  expect(texts(net)).toEqual([lines(20).join("")]);
  expect([net.count("turnsDropped"), net.count("reconnected"), net.count("active")]).toEqual([0, 0, 0]);
  expect(faultOfBooks(net.counters)).toBe("");
});

test("from another address it connects anew at its next request, and nothing more comes from the address before", () => {
  const net = new Simulation({ seed: 2 });
  client(net, { port: 40000, requests: lines(10), pace: 10_000 });
  net.run(55_000);
  expect(net.engine.move(0, way(OTHER), net.now)).toEqual({ kept: 0, ended: 1 });
  const before = net.sent.length;
  net.run(10_000_000);
  expect(texts(net)).toEqual([lines(10).slice(0, 5).join(""), lines(10).slice(5).join("")]);
  expect(new Set(net.sent.slice(before).map(({ segment }) => segment.source))).toEqual(new Set(["10.0.9.9"]));
  expect([net.count("turnsDropped"), net.count("reconnected")]).toEqual([0, 1]);
  expect(faultOfBooks(net.counters)).toBe("");
});

test("connections that are given up are opened anew, by the next request, and by a SYN that waits at once", () => {
  const net = new Simulation({ seed: 7 });
  client(net, { port: 40000, requests: lines(10), pace: 10_000 });
  net.run(55_000);
  net.engine.endConnections(0, net.now);
  const before = net.sent.length;
  net.run(10_000_000);
  expect(texts(net)).toEqual([lines(10).slice(0, 5).join(""), lines(10).slice(5).join("")]);
  expect(net.sent[before]!.segment.flags & SYN).toBe(SYN);
  expect([net.count("turnsDropped"), net.count("reconnected")]).toEqual([0, 1]);
  expect(faultOfBooks(net.counters)).toBe("");

  const waiting = new Simulation({ seed: 8 });
  waiting.mode = "silent";
  client(waiting, { port: 40000, requests: lines(2), pace: 10 });
  waiting.run(100_000);
  waiting.mode = "accept";
  waiting.engine.endConnections(0, waiting.now);
  waiting.run(100_000);
  expect(waiting.sent.filter(({ segment }) => segment.flags & SYN)).toHaveLength(2);
  expect(texts(waiting)).toEqual([lines(2).join("")]);
});

test("a connection attempt is made again from the new address at once", () => {
  const net = new Simulation({ seed: 3 });
  net.mode = "silent";
  client(net, { port: 40000, requests: lines(2), pace: 10 });
  net.run(100_000);
  net.mode = "accept";
  expect(net.engine.move(0, way(OTHER), net.now)).toEqual({ kept: 1, ended: 0 });
  net.run(100_000);
  const syns = net.sent.filter(({ segment }) => segment.flags & SYN).map(({ segment }) => segment.source);
  expect(syns).toEqual(["10.0.1.1", "10.0.9.9"]);
  expect(texts(net)).toEqual([lines(2).join("")]);
});

test("a way with another MTU is used with it, wider or narrower", () => {
  const net = new Simulation({ seed: 4 });
  const requests = Array.from({ length: 12 }, () => `${"x".repeat(4000)}\n`);
  client(net, { port: 40000, requests, pace: 100_000, segment: 5000 });
  const longest = () => {
    const sizes = net.sent.splice(0).map(({ segment }) => segment.payload.length);
    return Math.max(...sizes);
  };
  net.run(350_000);
  expect(longest()).toBe(1448);
  net.engine.move(0, way(null, 700), net.now);
  net.run(400_000);
  expect(longest()).toBe(648);
  net.engine.move(0, way(null, 1500), net.now);
  net.run(10_000_000);
  expect(longest()).toBe(1448);
  expect(texts(net)).toEqual([requests.join("")]);
});

test("whenever the address changes, every request arrives or is counted as dropped, and the books balance", () => {
  const moments = fc.array(fc.integer({ min: 0, max: 400_000 }), { minLength: 1, maxLength: 4 });
  const conditions = fc.record({
    seed: fc.nat(),
    loss: fc.constantFrom(0, 0.05),
    delay: fc.integer({ min: 50, max: 20_000 }),
  });
  fc.assert(
    fc.property(conditions, moments, fc.boolean(), (given, times, isHeldFirst) => {
      const net = new Simulation(given);
      for (let i = 0; i < 4; i++)
        client(net, { port: 40000 + i, requests: lines(8).map((line) => `${i} ${line}`), pace: 30_000 });
      for (const [index, at] of times.entries()) {
        net.at(net.now + at, () => {
          if (isHeldFirst) net.engine.hold(0, WAY_GONE, net.now);
        });
        net.at(net.now + at + 20_000, () => {
          net.engine.move(0, way(Uint8Array.of(10, 0, 9, index)), net.now);
          net.engine.resume(0, WAY_GONE, net.now);
        });
      }
      net.run(400_000_000);
      expect(faultOfBooks(net.counters)).toBe("");
      expect([net.count("active"), net.count("turnsPending")]).toEqual([0, 0]);
      expect(net.count("turnsDropped")).toBe(net.count("dropped.moved") + net.count("dropped.gap"));
      const all = texts(net).join("");
      const arrived = Array.from({ length: 4 }, (_, i) => lines(8).map((line) => `${i} ${line}`))
        .flat()
        .filter((line) => all.includes(line));
      expect(arrived.length).toBeGreaterThanOrEqual(32 - net.count("turnsDropped"));
    }),
    { numRuns: 25 },
  );
});
