/** Sessions that have been idle longest make room where the table or the ports are used up. */
import { describe, expect, test } from "bun:test";
import { ACK, PSH, SYN } from "../../src/wire/tcp.ts";
import { Simulation } from "./simulation.ts";

const SECOND = 1_000_000;
const MINUTE = 60 * SECOND;

/** Ends of the connections of the target, by the client's port: a request says which it is. */
function open(net: Simulation, port: number, source = "10.0.0.9"): void {
  const client = { source, sourcePort: port, destinationPort: 80 };
  net.capture({ ...client, seq: 99, flags: SYN });
  net.capture({ ...client, seq: 100, ack: 1, flags: ACK });
  const payload = new TextEncoder().encode(`${port}\n`);
  net.capture({ ...client, seq: 100, ack: 1, flags: ACK | PSH, payload });
  net.run(SECOND);
}

/** A keep-alive of a client. */
function live(net: Simulation, port: number): void {
  net.capture({ sourcePort: port, destinationPort: 80, seq: 105, ack: 101, flags: ACK });
  net.run(SECOND);
}

const ended = (net: Simulation) =>
  net.received.flatMap(({ bytes, end }) => (end === "" ? [] : [Number(String.fromCharCode(...bytes))]));

describe.each([
  ["rows", { maxSessions: 3 }],
  ["ports", { config: { ports: [[5000, 5002]] as [number, number][] } }],
])("without free %s", (what, conditions) => {
  test("the one without a sign of life for longest goes", () => {
    const net = new Simulation({ seed: 1, ...conditions });
    for (const port of [40_001, 40_002, 40_003]) open(net, port);
    net.run(MINUTE);
    live(net, 40_001);
    net.run(MINUTE);
    open(net, 40_004);
    expect(ended(net)).toEqual([40_002]);
    expect([net.count("displaced"), net.count("active"), net.count("turnsAnswered")]).toEqual([1, 3, 4]);
  });

  test("none goes that has been active within a minute: the new one is not copied", () => {
    const net = new Simulation({ seed: 1, ...conditions });
    for (const port of [40_001, 40_002, 40_003]) open(net, port);
    net.run(MINUTE / 2);
    open(net, 40_004);
    expect(ended(net)).toEqual([]);
    expect([net.count("displaced"), net.count("turnsAnswered")]).toEqual([0, 3]);
    expect(net.count(what === "rows" ? "dropped.sessions" : "dropped.ports")).toBe(1);
  });
});

test("without the limit sessions stay open for days without a packet", () => {
  const net = new Simulation({ seed: 1, config: { idleTimeout: 7 * 86_400 * SECOND } });
  open(net, 40_001);
  net.run(6 * 86_400 * SECOND);
  expect([net.count("active"), net.count("idle")]).toEqual([1, 0]);
  net.run(2 * 86_400 * SECOND);
  expect([net.count("active"), net.count("idle"), ended(net)]).toEqual([0, 1, [40_001]]);
});
