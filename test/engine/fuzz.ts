/** Arbitrary packets for the engine, and what must hold of it whatever comes. */
import { Engine, type EngineConfig } from "../../src/engine/engine.ts";
import { COUNTER, ENGINE_COUNTERS, type EngineCounter } from "../../src/engine/sessions/counters.ts";
import { PacketBatch } from "../../src/wire/batch.ts";
import { ipPair } from "../../src/wire/ip.ts";
import { Packet } from "../../src/wire/packet.ts";
import { ACK, distance, FIN, PSH, RST, SYN } from "../../src/wire/tcp.ts";
import { faultOfBooks } from "./books.ts";
import { packet, type Segment, segmentsOf } from "./packets.ts";
import { PeerWindow } from "./peer-window.ts";
import { BASIC, randomFrom } from "./simulation.ts";

/** A number near where the conversation is, or anywhere. */
export type Near = { by: number } | { anywhere: number };

export type Step =
  | {
      kind: "request";
      flow: number;
      flags: number;
      seq: Near;
      ack: Near;
      length: number;
      think: number;
      options: number[];
    }
  | {
      kind: "response";
      port: number;
      flags: number;
      seq: Near;
      ack: Near;
      length: number;
      window: number;
      options: number[];
    }
  /** What a client does: opens a connection, sends in order, as a turn of its own or not, closes. */
  | { kind: "open"; flow: number }
  | { kind: "send"; flow: number; length: number; isTurn: boolean }
  | { kind: "close"; flow: number; isReset: boolean }
  /** What a target does on each connection: acknowledges all, answers with `length` bytes, closes or not. */
  | { kind: "answer"; length: number; window: number; fin: boolean }
  | { kind: "tooBig"; port: number; seq: Near; mtu: number }
  | { kind: "pass"; time: number };

export type FuzzConfig = Partial<EngineConfig>;

const FIRST_PORT = 1024;
const PORTS = 12;
const SESSIONS = 20;
const MEMORY = 32 << 20;
const FLOWS = 4;
const MTU = 1500;
const CLIENT_ISN = 2 ** 32 - 700;
const ONLINE_ISN = 2 ** 32 - 500;
/** us; the data plane looks at the engine at least this often. */
const LOOK = 500_000;
const SESSION_TIMEOUT = 20_000_000;
const IDLE_TIMEOUT = 60_000_000;
/** Rounds of the engine in one run: many times what the timers of all sessions ask for. */
const MOST_ROUNDS = 20_000;

/** Where a client is. */
interface Client {
  seq: number;
  ack: number;
}

/** What is known of one of our ports. */
interface Port {
  /** Behind the last byte that the engine sent. */
  end: number;
  /** The last acknowledgement number that it sent. */
  ack: number;
  isSyn: boolean;
  /** Sequence number of our FIN, -1 before it. */
  fin: number;
  /** Bytes by sequence number, since the last SYN. */
  bytes: Map<number, number>;
  window: PeerWindow | null;
}

export class Fuzz {
  private readonly engine: Engine;
  private readonly batch = new PacketBatch();
  private readonly counters = new Float64Array(ENGINE_COUNTERS.length);
  private readonly ports = new Map<number, Port>();
  private readonly clients: Client[] = Array.from({ length: FLOWS }, () => ({
    seq: CLIENT_ISN,
    ack: ONLINE_ISN,
  }));
  private readonly memory: number;
  private now = 10_000_000_000;
  private rounds = 0;

  constructor(private readonly config: FuzzConfig) {
    this.memory = config.memory ?? MEMORY;
    this.engine = new Engine(
      {
        services: [[[{ weight: 1, paths: [0] }]]],
        ...BASIC,
        paths: [
          {
            pair: ipPair(Uint8Array.of(10, 0, 1, 1), Uint8Array.of(10, 0, 1, 2)),
            targetPort: 8080,
            egress: 0,
            mtu: MTU,
          },
        ],
        ports: [[FIRST_PORT, FIRST_PORT + PORTS - 1]],
        maxSessions: SESSIONS,
        memory: this.memory,
        sessionBytes: this.memory / 4,
        sessionTimeout: SESSION_TIMEOUT,
        idleTimeout: IDLE_TIMEOUT,
        counters: this.counters,
        openFlow: () => {},
        random: randomFrom(1),
        ...config,
      },
      [this.batch],
      this.now,
    );
  }

  /** Takes a step; the engine works on it unless `isBatched`: then together with the next one. */
  take(step: Step, isBatched: boolean): void {
    if (step.kind === "request") this.request(step);
    else if (step.kind === "open") this.open(step.flow % FLOWS);
    else if (step.kind === "send") this.send(step.flow % FLOWS, step.length, step.isTurn);
    else if (step.kind === "close") this.close(step.flow % FLOWS, step.isReset);
    else if (step.kind === "response") this.response(step);
    else if (step.kind === "answer") this.answer(step);
    else if (step.kind === "tooBig") this.tooBig(step);
    else this.pass(step.time);
    if (!isBatched) this.work();
    this.check();
  }

  /** Nobody says anything any more: every session ends by itself, and nothing is kept. */
  leaveAlone(): void {
    this.pass(10 * (SESSION_TIMEOUT + IDLE_TIMEOUT));
    this.expectNothingLeft("left alone");
  }

  /** The end of the run: nothing is kept, and every port and row can be used again. */
  end(): void {
    while (!this.engine.end(this.now)) this.collect();
    this.collect();
    this.work();
    this.expectNothingLeft("after the end");
    this.ports.clear();
    for (let flow = 0; flow < PORTS; flow++) {
      const fields = { sourcePort: 50_000 + flow, destinationPort: 80, seq: 1, flags: SYN };
      this.engine.request(packet({ ...fields, time: this.now }), this.now);
      const data = { ...fields, seq: 2, flags: ACK | PSH, ack: 1, payload: new Uint8Array(10) };
      this.engine.request(packet({ ...data, time: this.now }), this.now);
    }
    this.pass(LOOK);
    const { maxSessions = SESSIONS, turnLimit = 0 } = this.config;
    const free = turnLimit > 0 ? 0 : Math.min(PORTS, maxSessions);
    if (this.ports.size < free)
      throw new Error(`Only ${this.ports.size} of ${free} connections can be opened`);
  }

  private request(step: Extract<Step, { kind: "request" }>): void {
    const client = this.clients[step.flow % FLOWS]!;
    const seq = numberNear(step.seq, client.seq);
    const ack = numberNear(step.ack, client.ack);
    this.capture(step.flow % FLOWS, { ...step, seq, ack });
  }

  private open(flow: number): void {
    const client = this.clients[flow]!;
    client.seq += 100_000;
    client.ack += 100_000;
    this.capture(flow, { seq: client.seq++, ack: 0, flags: SYN, length: 0, options: [2, 4, 5, 0xb4] });
    client.ack++;
    this.capture(flow, { ...client, flags: ACK, length: 0, options: [] });
  }

  private send(flow: number, length: number, isTurn: boolean): void {
    const client = this.clients[flow]!;
    if (isTurn) client.ack += 200;
    this.capture(flow, { ...client, flags: ACK | PSH, length, options: [] });
    client.seq += length;
  }

  private close(flow: number, isReset: boolean): void {
    const client = this.clients[flow]!;
    this.capture(flow, { ...client, flags: isReset ? RST | ACK : FIN | ACK, length: 0, options: [] });
  }

  private capture(
    flow: number,
    fields: { seq: number; ack: number; flags: number; length: number; options: number[]; think?: number },
  ): void {
    const seq = fields.seq >>> 0;
    const request = packet({
      ...fields,
      sourcePort: 40_000 + flow,
      destinationPort: 80,
      seq,
      ack: fields.ack >>> 0,
      payload: Uint8Array.from({ length: fields.length }, (_, i) => ((seq + i) * 7) >>> 3),
      time: this.now,
    });
    this.engine.request(request, this.now);
  }

  private response(step: Extract<Step, { kind: "response" }>): void {
    const number = FIRST_PORT + (step.port % (PORTS + 1));
    const port = this.ports.get(number);
    port?.window?.doubt();
    this.respond(number, {
      seq: numberNear(step.seq, port?.ack ?? 0),
      ack: numberNear(step.ack, port?.end ?? 0),
      flags: step.flags,
      window: step.window,
      length: step.length,
      options: step.options,
    });
  }

  private answer({ window, length, fin }: Extract<Step, { kind: "answer" }>): void {
    const syn = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
    for (const [number, port] of [...this.ports]) {
      const ack = port.end;
      if (port.isSyn) {
        port.window?.open(window, 7);
        this.respond(number, { seq: ack - 77, ack, flags: SYN | ACK, window, length: 0, options: syn });
      } else {
        port.window?.update(ack, window);
        const flags = ACK | PSH | (fin ? FIN : 0);
        this.respond(number, { seq: port.ack, ack, flags, window, length, options: [] });
      }
    }
  }

  private respond(
    port: number,
    fields: { seq: number; ack: number; flags: number; window: number; length: number; options: number[] },
  ): void {
    const response = packet({
      source: "10.0.1.2",
      destination: "10.0.1.1",
      sourcePort: 8080,
      destinationPort: port,
      ...fields,
      time: this.now,
    });
    response.length = fields.length;
    this.engine.response(response, this.now);
  }

  private tooBig(step: Extract<Step, { kind: "tooBig" }>): void {
    const message = new Packet(new Uint8Array(56));
    message.bytes[0] = 0x45;
    message.bytes[28] = 0x45;
    message.view.setUint16(26, step.mtu);
    message.view.setUint16(48, FIRST_PORT + (step.port % PORTS));
    message.view.setUint32(
      52,
      numberNear(step.seq, this.ports.get(FIRST_PORT + (step.port % PORTS))?.end ?? 0),
    );
    message.end = 56;
    this.engine.tooBig(message, this.now);
  }

  private pass(time: number): void {
    const until = this.now + time;
    for (;;) {
      this.work();
      if (this.now >= until) return;
      this.now += Math.max(1, Math.ceil(this.engine.wait(this.now, Math.min(until - this.now, LOOK))));
    }
  }

  private work(): void {
    this.engine.advance(this.now);
    while (!this.engine.dispatch(this.now)) this.collect();
    this.collect();
    if (++this.rounds > MOST_ROUNDS) throw new Error("The engine finds no rest");
  }

  private collect(): void {
    const { batch } = this;
    for (let row = 0; row < batch.count; row++) {
      const at = batch.offset[row]!;
      const bytes = batch.bytes.subarray(at, at + batch.length[row]!);
      checkRow(bytes, batch.segmentSize[row]!);
      for (const segment of segmentsOf(bytes, batch.segmentSize[row]!)) this.note(segment);
    }
    batch.clear();
  }

  /**
   * Remembers what was sent; what is sent again has the same bytes, nothing is behind the FIN, which has one place, and
   * nothing beyond the target's window.
   */
  private note(segment: Segment): void {
    const { sourcePort, seq, flags, payload } = segment;
    let port = this.ports.get(sourcePort);
    if (port === undefined || flags & SYN) {
      const window = flags & SYN ? new PeerWindow(segment) : null;
      port = { end: seq, ack: 0, isSyn: false, fin: -1, bytes: new Map(), window };
      this.ports.set(sourcePort, port);
    }
    for (const [i, byte] of payload.entries()) {
      const place = (seq + i) >>> 0;
      const before = port.bytes.get(place);
      if (before !== undefined && before !== byte) throw new Error(`Byte ${place} was ${before}, is ${byte}`);
      port.bytes.set(place, byte);
    }
    port.window?.take(segment, MTU);
    port.isSyn = (flags & SYN) !== 0;
    if (flags & RST) return;
    const behind = (seq + payload.length) >>> 0;
    if (port.fin >= 0 && distance(behind, port.fin) > (payload.length > 0 || flags & FIN ? 0 : 1))
      throw new Error(`FIN at ${port.fin}, then ${payload.length} bytes up to ${behind}`);
    if (flags & FIN) {
      if (port.fin >= 0 && port.fin !== behind) throw new Error(`FIN at ${port.fin}, then at ${behind}`);
      port.fin = behind;
    }
    port.end = (seq + payload.length + (flags & (SYN | FIN) ? 1 : 0)) >>> 0;
    if (flags & ACK) port.ack = segment.ack;
  }

  private check(): void {
    const memory = this.counters[COUNTER.memory]!;
    const fault = memory > this.memory ? `${memory} bytes kept` : faultOfBooks(this.counters);
    if (fault !== "") throw new Error(fault);
  }

  private expectNothingLeft(when: string): void {
    this.check();
    const left = (["turnsPending", "active", "memory"] as EngineCounter[])
      .filter((name) => this.counters[COUNTER[name]] !== 0)
      .map((name) => `${name} is ${this.counters[COUNTER[name]]}`);
    if (left.length > 0) throw new Error(`${when}: ${left.join(", ")}`);
  }
}

function numberNear(near: Near, base: number): number {
  return ("by" in near ? base + near.by : near.anywhere) >>> 0;
}

/** One's complement sum of big-endian words. */
function sum(bytes: Uint8Array): number {
  let total = 0;
  for (let i = 0; i < bytes.length; i += 2) total += bytes[i]! * 256 + (bytes[i + 1] ?? 0);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
}

/** What a row of a batch must be: a whole IPv4 packet with a right header checksum and the pseudo-header's sum in TCP's. */
function checkRow(bytes: Uint8Array, segmentSize: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const header = (bytes[32]! >> 4) * 4;
  const pseudo = sum(
    Uint8Array.from([...bytes.subarray(12, 20), 0, 6, (bytes.length - 20) >> 8, (bytes.length - 20) & 255]),
  );
  const faults = [
    bytes[0] !== 0x45 && "no IPv4 header",
    view.getUint16(2) !== bytes.length && "a wrong total length",
    sum(bytes.subarray(0, 20)) !== 0xffff && "a wrong IP checksum",
    (header < 20 || 20 + header > bytes.length) && "a wrong TCP header length",
    (bytes[32]! & 15) !== 0 && "reserved bits",
    view.getUint16(36) % 0xffff !== pseudo % 0xffff && "a wrong pseudo-header sum",
    segmentSize === 0 && bytes.length > 1500 && "more bytes than the MTU",
    segmentSize > 0 && segmentSize + 20 + header > 1500 && "larger segments than the MTU",
  ].filter((fault) => fault !== false);
  if (faults.length > 0) throw new Error(`A packet with ${faults.join(", ")}`);
}
