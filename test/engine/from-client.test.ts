/** Connections that come from the clients' own addresses. */
import { expect, test } from "bun:test";
import { Engine } from "../../src/engine/engine.ts";
import { COUNTER, ENGINE_COUNTERS } from "../../src/engine/sessions/counters.ts";
import { INTERCEPT_AWAY } from "../../src/engine/sessions/hold.ts";
import { PacketBatch } from "../../src/wire/batch.ts";
import { ipPair } from "../../src/wire/ip.ts";
import { ACK, FIN, PSH, RST, SYN } from "../../src/wire/tcp.ts";
import { packet, type Segment, segmentsOf } from "./packets.ts";
import { BASIC } from "./simulation.ts";

const TARGET = "10.0.1.2";
const COOKIE = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
const REQUEST = new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n");

interface Sent extends Segment {
  source: string;
}

class Lab {
  now = 1_000_000_000;
  readonly counters = new Float64Array(ENGINE_COUNTERS.length);
  readonly opened: string[] = [];
  readonly engine: Engine;
  private readonly batch = new PacketBatch();

  constructor({ replicas = 1, keepsClientPorts = true, targets = [TARGET] } = {}) {
    this.engine = new Engine(
      {
        ...BASIC,
        services: [targets.map((_, path) => [{ weight: 1, paths: [path] }])],
        paths: targets.map((target) => ({
          pair: ipPair(new Uint8Array(4), Uint8Array.from(target.split("."), Number)),
          targetPort: 8080,
          egress: 0,
          mtu: 1500,
          fromClient: true,
        })),
        replicas,
        keepsClientPorts,
        ports: [[20000, 20009]],
        maxSessions: 64,
        memory: 8 << 20,
        sessionBytes: 4 << 20,
        sessionTimeout: 60_000_000,
        idleTimeout: 180_000_000,
        counters: this.counters,
        openFlow: (path, port, words, at) =>
          this.opened.push(`${path} ${port} ${(words[at + 3]! >>> 0).toString(16)}`),
        random: Math.random,
      },
      [this.batch],
      this.now,
    );
  }

  /** What the engine sends now. */
  sent(): Sent[] {
    this.engine.advance(this.now);
    const sent: Sent[] = [];
    while (!this.engine.dispatch(this.now)) this.take(sent);
    this.take(sent);
    return sent;
  }

  /** A client's SYN and its request. */
  request(source: string, sourcePort: number): void {
    const base = { source, sourcePort, destinationPort: 80, time: this.now };
    this.engine.request(packet({ ...base, seq: 99, flags: SYN }), this.now);
    this.engine.request(packet({ ...base, seq: 100, ack: 1, flags: ACK | PSH, payload: REQUEST }), this.now);
  }

  /** The target's SYN-ACK for a SYN. */
  answer(syn: Sent): void {
    this.respond(syn, { seq: 5000, ack: syn.seq + 1, flags: SYN | ACK });
  }

  respond(to: Sent, fields: { seq: number; ack: number; flags: number }): void {
    const response = packet({
      ...fields,
      source: to.destination,
      destination: to.source,
      sourcePort: to.destinationPort,
      destinationPort: to.sourcePort,
    });
    this.engine.response(response, this.now);
  }

  private take(into: Sent[]): void {
    const { batch } = this;
    for (let row = 0; row < batch.count; row++) {
      const at = batch.offset[row]!;
      const bytes = batch.bytes.subarray(at, at + batch.length[row]!);
      const source = bytes.subarray(12, 16).join(".");
      // The sum of a header with its checksum is zero (RFC 1071).
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      let sum = 0;
      for (let i = 0; i < 20; i += 2) sum += view.getUint16(i);
      expect((sum & 0xffff) + (sum >>> 16)).toBe(0xffff);
      for (const segment of segmentsOf(bytes, batch.segmentSize[row]!)) into.push({ ...segment, source });
    }
    batch.clear();
  }
}

const ends = (segments: Sent[]) => segments.map(({ source, sourcePort }) => `${source}:${sourcePort}`);

test("each connection has its client's address and port as source, and gets the responses sent to them", () => {
  const lab = new Lab();
  lab.request("192.168.0.7", 40000);
  lab.request("192.168.0.8", 40000);
  const syns = lab.sent();
  expect(ends(syns)).toEqual(["192.168.0.7:40000", "192.168.0.8:40000"]);
  lab.answer(syns[1]!);
  const data = lab.sent();
  expect(ends(data)).toEqual(["192.168.0.8:40000"]);
  expect(Buffer.from(data[0]!.payload).equals(Buffer.from(REQUEST))).toBe(true);
  expect(lab.counters[COUNTER.established]).toBe(1);
});

test("the pseudo-header checksum includes the client's address", () => {
  const sums = ["192.168.0.7", "10.255.1.2"].map((source) => {
    const lab = new Lab();
    lab.request("1.2.3.4", 1234);
    lab.request(source, 40000);
    lab.sent();
    const batch = (lab as unknown as { batch: PacketBatch }).batch;
    // The rows are still there after `clear`: the second SYN begins at the second offset.
    const at = batch.offset[1]!;
    const tcpLength = batch.length[1]! - 20;
    let sum = 6 + tcpLength;
    for (let i = 12; i < 20; i += 2) sum += batch.view.getUint16(at + i);
    sum = (sum & 0xffff) + (sum >>> 16);
    sum = (sum & 0xffff) + (sum >>> 16);
    return [batch.view.getUint16(at + 20 + 16), sum];
  });
  for (const [written, computed] of sums) expect(written).toBe(computed!);
});

test("the copies after the first use different other ports of the client's address", () => {
  const lab = new Lab({ replicas: 4 });
  lab.request("192.168.0.7", 40000);
  const syns = lab.sent();
  expect(syns.map(({ source }) => source)).toEqual(Array(4).fill("192.168.0.7"));
  const ports = syns.map(({ sourcePort }) => sourcePort);
  expect(new Set(ports).size).toBe(4);
  expect(ports[0]).toBe(40000);
  for (const port of ports.slice(1)) expect(port >= 20000 && port <= 20009).toBe(true);
});

test("a turn is dropped and counted when all ports of its client's address are in use", () => {
  const lab = new Lab({ replicas: 12 });
  lab.request("192.168.0.7", 40000);
  expect(lab.sent().length).toBe(11);
  expect(lab.counters[COUNTER["dropped.ports"]]).toBe(1);
});

test("source ports come from the configured range if the clients' ports are not kept", () => {
  const lab = new Lab({ keepsClientPorts: false });
  lab.request("192.168.0.7", 20001);
  const [syn] = lab.sent();
  expect(syn!.sourcePort >= 20000 && syn!.sourcePort <= 20009).toBe(true);
});

test("a client's port is used for connections to two targets at once", () => {
  const lab = new Lab({ targets: [TARGET, "10.0.1.3"] });
  lab.request("192.168.0.7", 40000);
  const syns = lab.sent();
  expect(ends(syns)).toEqual(["192.168.0.7:40000", "192.168.0.7:40000"]);
  expect(syns.map(({ destination }) => destination)).toEqual([TARGET, "10.0.1.3"]);
});

test("openFlow is called before the SYN of a flow, and forEachFlow lists the flow while it is open", () => {
  const lab = new Lab();
  lab.request("192.168.0.7", 40000);
  lab.sent();
  expect(lab.opened).toEqual(["0 40000 c0a80007"]);
  const listed: number[] = [];
  lab.engine.forEachFlow(0, (port) => listed.push(port));
  expect(listed).toEqual([40000]);
});

test("SYNs carry the cookie, other segments do not", () => {
  const lab = new Lab();
  lab.engine.setCookie(COOKIE);
  lab.request("192.168.0.7", 40000);
  const [syn] = lab.sent();
  const option = [253, 12, 0x78, 0x63, ...COOKIE];
  expect([...syn!.optionBytes.slice(-12)]).toEqual(option);
  lab.answer(syn!);
  for (const { optionBytes } of lab.sent()) expect([...optionBytes]).not.toContain(253);
});

test("while a path is held nothing is sent and timers stop; afterwards its sessions continue", () => {
  const lab = new Lab();
  lab.request("192.168.0.7", 40000);
  const [syn] = lab.sent();
  lab.answer(syn!);
  const [data] = lab.sent();
  lab.engine.hold(0, INTERCEPT_AWAY, lab.now);
  lab.request("192.168.0.8", 40001);
  for (let i = 0; i < 200; i++) {
    lab.now += 1_000_000;
    expect(lab.sent()).toEqual([]);
  }
  // A stranger is not answered either.
  lab.respond({ ...data!, sourcePort: 1 }, { seq: 1, ack: 1, flags: ACK });
  expect(lab.sent()).toEqual([]);
  lab.engine.resume(0, INTERCEPT_AWAY, lab.now);
  lab.now += 5000;
  const after = lab.sent();
  expect(ends(after.filter(({ flags }) => flags & SYN))).toEqual(["192.168.0.8:40001"]);
  const again = after.find(({ sourcePort, payload }) => sourcePort === 40000 && payload.length > 0);
  expect(again?.seq).toBe(data!.seq);
  expect(lab.counters[COUNTER.turnsDropped]).toBe(0);
});

test("a segment of no connection is answered with a RST from the address that it was sent to", () => {
  const lab = new Lab();
  lab.request("192.168.0.7", 40000);
  const [syn] = lab.sent();
  lab.respond({ ...syn!, source: "192.168.0.9" }, { seq: 7, ack: 77, flags: ACK | FIN });
  const [reset] = lab.sent();
  expect(ends([reset!])).toEqual(["192.168.0.9:40000"]);
  expect([reset!.flags, reset!.seq]).toEqual([RST, 77]);
});

test("a path is probed from the given address", () => {
  const lab = new Lab();
  const port = lab.engine.probe(0, lab.now, Uint8Array.of(192, 0, 2, 1));
  const [syn] = lab.sent();
  expect(ends([syn!])).toEqual([`192.0.2.1:${port}`]);
  lab.answer(syn!);
  expect(lab.engine.probeResults).toEqual(["answered"]);
  expect(lab.sent().map(({ flags }) => flags)).toEqual([RST]);
});
