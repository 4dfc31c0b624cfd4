/** The table of SYNs whose handshake was not seen: against a model, and in floods. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { COUNTER, ENGINE_COUNTERS } from "../../src/engine/sessions/counters.ts";
import { fillFlowKey } from "../../src/engine/sessions/flow-key.ts";
import { FLOW_WORDS } from "../../src/engine/sessions/flows.ts";
import { HalfOpen, MOST_HALF_OPEN } from "../../src/engine/sessions/half-open.ts";
import { Segments } from "../../src/engine/sessions/segments.ts";
import { ACK, emptyOptions, PSH, RST, SYN } from "../../src/wire/tcp.ts";
import { packet } from "./packets.ts";
import { Simulation } from "./simulation.ts";

const MEMORY = 1 << 20;
const SPAN = 75_000_000;

class Table {
  readonly counters = new Float64Array(ENGINE_COUNTERS.length);
  readonly segments = new Segments(MEMORY);
  readonly halfOpen = new HalfOpen(this.segments, this.counters, emptyOptions(), MEMORY, 12345);
  private readonly key = new Int32Array(FLOW_WORDS);

  keyOf(port: number): Int32Array {
    fillFlowKey(this.key, packet({ sourcePort: port, destinationPort: 80, seq: 0, flags: SYN }));
    return this.key;
  }

  add(port: number, seq: number, now: number, payload = new Uint8Array(0), options: number[] = []): void {
    const syn = packet({
      sourcePort: port,
      destinationPort: 80,
      seq,
      flags: SYN,
      payload,
      options,
      time: now - 5,
    });
    this.halfOpen.add(this.keyOf(port), syn, now);
  }

  get forgotten(): number {
    return this.counters[COUNTER.halfOpen]!;
  }
}

test("it finds, takes and forgets as a list of SYNs would", () => {
  const command = fc.record({
    kind: fc.constantFrom("syn", "syn", "ack", "reset", "pass"),
    port: fc.integer({ min: 1, max: 3 }),
    isn: fc.integer({ min: 0, max: 5 }).map((index) => (2 ** 32 - 2500 + index * 1000) >>> 0),
    data: fc.constantFrom(0, 0, 10),
    pass: fc.constantFrom(1, SPAN / 3, SPAN),
  });
  fc.assert(
    fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
      const table = new Table();
      const { halfOpen } = table;
      let model: { port: number; isn: number; data: number; at: number }[] = [];
      let [now, forgotten] = [1e9, 0];
      for (const { kind, port, isn, data, pass } of commands) {
        const known = model.find((one) => one.port === port && one.isn === isn);
        expect(halfOpen.has(table.keyOf(port), isn | 0)).toBe(known !== undefined);
        if (kind === "syn") {
          if (known) continue;
          const ofFlow = model.filter((one) => one.port === port);
          if (ofFlow.length === 4) {
            model.splice(model.indexOf(ofFlow[0]!), 1);
            forgotten++;
          }
          table.add(port, isn, now, new Uint8Array(data).fill(port));
          model.push({ port, isn, data, at: now });
        } else if (kind === "pass") {
          now += pass;
          halfOpen.expire(now);
          const left = model.filter((one) => one.at + SPAN > now);
          forgotten += model.length - left.length;
          model = left;
        } else {
          const row = halfOpen.find(table.keyOf(port), (isn + 1 + (known?.data ?? 0)) >>> 0, false);
          expect(row >= 0).toBe(known !== undefined);
          if (!known) continue;
          if (kind === "reset") {
            halfOpen.forget(row);
            forgotten++;
          } else {
            halfOpen.take(row);
            const { payload, end } = halfOpen.packet;
            expect([halfOpen.syn.isn, halfOpen.syn.time]).toEqual([isn | 0, known.at - 5]);
            expect([...halfOpen.packet.bytes.subarray(payload, end)]).toEqual(Array(known.data).fill(port));
          }
          model.splice(model.indexOf(known), 1);
        }
        expect([halfOpen.count, table.forgotten]).toEqual([model.length, forgotten]);
        expect(halfOpen.hasFlow(table.keyOf(port))).toBe(model.some((one) => one.port === port));
      }
      halfOpen.clear();
      expect([halfOpen.count, table.segments.used]).toEqual([0, 0]);
    }),
  );
});

test.each([
  [[2, 4, 5, 0xb4], { mss: 1460, windowScale: -1, sackPermitted: false, hasTimestamps: false }],
  [[3, 3, 0, 1], { mss: 0, windowScale: 0, sackPermitted: false, hasTimestamps: false }],
  [
    [2, 4, 255, 255, 3, 3, 14, 1],
    { mss: 65535, windowScale: 14, sackPermitted: false, hasTimestamps: false },
  ],
  [
    [4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0],
    { mss: 0, windowScale: -1, sackPermitted: true, hasTimestamps: true },
  ],
])("the options %j of a SYN are those of its connection", (options, expected) => {
  const table = new Table();
  table.add(1, 7, 1e9, new Uint8Array(0), options);
  table.halfOpen.take(table.halfOpen.find(table.keyOf(1), 8, false));
  expect(table.halfOpen.syn).toMatchObject(expected);
});

test("data in SYNs takes a small part of the memory: the oldest SYNs go", () => {
  const table = new Table();
  const payload = new Uint8Array(1000);
  for (let port = 1; port <= 500; port++) table.add(port, 7, 1e9, payload);
  expect(table.segments.used).toBeLessThan(MEMORY / 2);
  expect(table.halfOpen.count).toBeGreaterThan(50);
  expect(table.halfOpen.count + table.forgotten).toBe(500);
  expect([table.halfOpen.has(table.keyOf(1), 7), table.halfOpen.has(table.keyOf(500), 7)]).toEqual([
    false,
    true,
  ]);
});

test("a flood of SYNs opens nothing, and takes nothing from clients beside it", () => {
  const net = new Simulation({ seed: 1 });
  const flood = MOST_HALF_OPEN + 5000;
  for (let i = 0; i < flood; i++) {
    const source = `10.${50 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`;
    net.capture({ source, sourcePort: 1024 + (i % 60_000), destinationPort: 80, seq: i * 7919, flags: SYN });
    if (i % 1000 !== 0) continue;
    const client = { source: "10.0.0.9", sourcePort: 40_000 + i / 1000, destinationPort: 80 };
    net.capture({ ...client, seq: 99, flags: SYN });
    net.capture({ ...client, seq: 100, ack: 1, flags: ACK });
    net.capture({
      ...client,
      seq: 100,
      ack: 1,
      flags: ACK | PSH,
      payload: new TextEncoder().encode("hello\n"),
    });
    net.run(1000);
  }
  net.run(1_000_000);
  const clients = Math.ceil(flood / 1000);
  expect([net.count("opened"), net.count("turnsAnswered"), net.received.length]).toEqual(
    Array(3).fill(clients),
  );
  expect(net.count("halfOpen")).toBe(5000);
  net.run(80_000_000);
  expect(net.count("halfOpen")).toBe(flood);
});

test("each copy of a connection begins with its handshake, and a SYN alone ends none", () => {
  const config = { services: [[[{ weight: 1, paths: [0] }], [{ weight: 1, paths: [0] }]]], replicas: 2 };
  const net = new Simulation({ seed: 1, config });
  const client = { sourcePort: 40_000, destinationPort: 80 };
  const counts = () => [net.count("opened"), net.count("active"), net.count("halfOpen")];
  net.capture({ ...client, seq: 99, flags: SYN });
  net.capture({ ...client, seq: 100, ack: 1, flags: ACK });
  net.run(1000);
  expect(counts()).toEqual([4, 4, 0]);
  net.capture({ ...client, seq: 5_000_000, flags: SYN });
  net.capture({ ...client, seq: 5_000_000, flags: SYN });
  net.run(1000);
  expect([...counts(), net.count("repeated")]).toEqual([4, 4, 0, 1]);
  // A reset of the new handshake is none of the living connection.
  net.capture({ ...client, seq: 5_000_001, flags: RST });
  net.run(1000);
  expect(counts()).toEqual([4, 4, 1]);
  net.capture({ ...client, seq: 6_000_000, flags: SYN });
  net.capture({ ...client, seq: 6_000_001, ack: 1, flags: ACK });
  net.run(5_000_000);
  expect(counts()).toEqual([8, 4, 1]);
});
