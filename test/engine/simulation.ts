/**
 * The engine against model servers in virtual time: clients whose packets are captured, a lossy network, a target that
 * speaks TCP and answers requests. Everything follows from one seed.
 */
import { createHash } from "node:crypto";
import { Engine, type EngineConfig } from "../../src/engine/engine.ts";
import { COUNTER, ENGINE_COUNTERS } from "../../src/engine/sessions/counters.ts";
import { PacketBatch } from "../../src/wire/batch.ts";
import { ipPair } from "../../src/wire/ip.ts";
import type { Packet } from "../../src/wire/packet.ts";
import { ACK, distance, FIN, PSH, RST, SYN } from "../../src/wire/tcp.ts";
import { packet, type Segment, segmentsOf } from "./packets.ts";

export interface Conditions {
  seed: number;
  /** Share of packets lost, each way. */
  loss?: number;
  /** Share of packets delivered twice, and late. */
  duplication?: number;
  reordering?: number;
  /** us one way. */
  delay?: number;
  mss?: number;
  /** The target's receive window, bytes. */
  window?: number;
  windowScale?: number;
  /** us the target takes for an answer. */
  serviceTime?: number;
  memory?: number;
  maxSessions?: number;
  sessionTimeout?: number;
  config?: Partial<EngineConfig>;
  /** Targets 10.0.1.2 and so on, a path to each. */
  targets?: number;
}

/** mulberry32. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Every option of the engine at what is usual. */
export const BASIC = {
  replicas: 1,
  jitter: 0,
  waitsForAnswers: true,
  pace: "clock",
  turnTimeout: 5_000_000,
  quiet: 0,
  takesMidstream: true,
  turnLimit: 0,
  proxyProtocol: 0,
  sha256: (bytes: Uint8Array) => createHash("sha256").update(bytes).digest(),
} as const;

interface Event {
  at: number;
  order: number;
  run: () => void;
}

const TARGET_PORT = 8080;

/** What a server of the model has got on one connection. */
export interface Received {
  /** The target's address, and our port. */
  target: string;
  port: number;
  bytes: number[];
  /** How it ended, "" while it is open. */
  end: "" | "fin" | "rst";
}

export class Simulation {
  now = 1_000_000_000;
  readonly engine: Engine;
  readonly counters = new Float64Array(ENGINE_COUNTERS.length);
  readonly random: () => number;
  /** Everything the target's application read, by connection in order of their opening. */
  readonly received: Received[] = [];
  /** Segments of the engine as they left, for assertions. */
  readonly sent: { at: number; segment: Segment }[] = [];
  /** What the target does with a SYN: see `refuse`, `silent`. */
  mode: "accept" | "refuse" | "silent" = "accept";
  /** What the target answers a request with, or how many bytes; a request ends with `delimiter`. */
  answer: (request: string) => number | Uint8Array = () => 100;
  delimiter = "\n";
  /** Bytes that are captured of each segment's payload, in answers. */
  prefix = Number.POSITIVE_INFINITY;
  /** us the target takes for it, where it is not the serviceTime of the conditions. */
  timeOf: ((request: string) => number) | null = null;
  /** After how many answers the target closes, 0 for never. */
  closeAfter = 0;
  /** Bytes the target says first. */
  greeting = 0;
  /** Larger packets are lost on the way to the target. */
  mtu = 65535;
  private readonly conditions: Required<
    Omit<Conditions, "memory" | "maxSessions" | "sessionTimeout" | "config" | "targets">
  >;
  private readonly batch = new PacketBatch();
  private readonly events: Event[] = [];
  private order = 0;
  private readonly servers = new Map<string, Server>();
  private readonly targets: string[];
  private wakeAt = Number.POSITIVE_INFINITY;

  constructor(conditions: Conditions) {
    this.random = randomFrom(conditions.seed);
    this.conditions = {
      loss: 0,
      duplication: 0,
      reordering: 0,
      delay: 100,
      mss: 1460,
      window: 65535,
      windowScale: 0,
      serviceTime: 200,
      ...conditions,
    };
    this.targets = Array.from({ length: conditions.targets ?? 1 }, (_, i) => `10.0.1.${i + 2}`);
    this.engine = new Engine(
      {
        services: [[[{ weight: 1, paths: [0] }]]],
        ...BASIC,
        ...conditions.config,
        paths: this.targets.map((target) => ({
          pair: ipPair(Uint8Array.of(10, 0, 1, 1), Uint8Array.from(target.split("."), Number)),
          targetPort: TARGET_PORT,
          egress: 0,
          mtu: 1500,
        })),
        ports: conditions.config?.ports ?? [[1024, 32767]],
        maxSessions: conditions.maxSessions ?? 1024,
        memory: conditions.memory ?? 16 << 20,
        sessionBytes: (conditions.memory ?? 16 << 20) / 4,
        sessionTimeout: conditions.sessionTimeout ?? 60_000_000,
        idleTimeout: conditions.config?.idleTimeout ?? 180_000_000,
        counters: this.counters,
        openFlow: () => {},
        random: this.random,
      },
      [this.batch],
      this.now,
    );
  }

  count(name: keyof typeof COUNTER): number {
    return this.counters[COUNTER[name]]!;
  }

  at(time: number, run: () => void): void {
    this.events.push({ at: time, order: this.order++, run });
  }

  /** A packet of a client is captured now. */
  capture(fields: Parameters<typeof packet>[0]): void {
    this.engine.request(packet({ ...fields, time: this.now }), this.now);
  }

  /** Runs until nothing happens any more or `until` (us from the start of the call) has passed. */
  run(span: number): void {
    const until = this.now + span;
    for (;;) {
      this.poll();
      let next: Event | undefined;
      for (const event of this.events) {
        if (next === undefined || event.at < next.at || (event.at === next.at && event.order < next.order)) {
          next = event;
        }
      }
      const at = Math.min(next?.at ?? Number.POSITIVE_INFINITY, this.wakeAt);
      if (at > until || (next === undefined && at === Number.POSITIVE_INFINITY)) break;
      this.now = Math.max(this.now, at);
      if (next !== undefined && next.at <= this.now) {
        this.events.splice(this.events.indexOf(next), 1);
        next.run();
      }
    }
    this.now = until;
    this.poll();
  }

  /** The fields of a reset that the target could send to the last flow now. */
  lastReset(): { target: string; port: number; seq: number; ack: number; flags: number } {
    const { segment } = this.sent.at(-1)!;
    return {
      target: segment.destination,
      port: segment.sourcePort,
      seq: segment.ack,
      ack: segment.seq,
      flags: RST,
    };
  }

  private poll(): void {
    this.engine.advance(this.now);
    while (!this.engine.dispatch(this.now)) this.flush();
    this.flush();
    const wait = this.engine.wait(this.now, 1_000_000);
    this.wakeAt = this.now + Math.max(1, wait);
  }

  flush(): void {
    const { batch } = this;
    for (let row = 0; row < batch.count; row++) {
      const at = batch.offset[row]!;
      const bytes = batch.bytes.subarray(at, at + batch.length[row]!);
      for (const segment of segmentsOf(bytes, batch.segmentSize[row]!)) {
        this.sent.push({ at: this.now, segment });
        this.cross(() => this.deliver(segment));
      }
    }
    batch.clear();
  }

  /** One packet on its way. */
  private cross(arrive: () => void): void {
    const { loss, duplication, reordering, delay } = this.conditions;
    if (this.random() < loss) return;
    const late = this.random() < reordering ? delay * 3 * this.random() : 0;
    this.at(this.now + delay + late, arrive);
    if (this.random() < duplication) this.at(this.now + delay * (1 + this.random() * 5), arrive);
  }

  private deliver(segment: Segment): void {
    if (this.mode === "silent" || segment.payload.length + 52 > this.mtu) return;
    const key = `${segment.destination} ${segment.sourcePort}`;
    let server = this.servers.get(key);
    if (segment.flags & SYN && (server === undefined || server.isClosed)) {
      if (this.mode === "refuse") {
        this.respond({
          target: segment.destination,
          port: segment.sourcePort,
          seq: 0,
          ack: segment.seq + 1,
          flags: RST | ACK,
          payload: new Uint8Array(0),
          options: [],
          window: 0,
        });
        return;
      }
      const received: Received = {
        target: segment.destination,
        port: segment.sourcePort,
        bytes: [],
        end: "",
      };
      this.received.push(received);
      server = new Server(this, this.conditions, received);
      this.servers.set(key, server);
    }
    if (server === undefined) return;
    server.take(segment);
  }

  private cut(packet: Packet): Packet {
    packet.end = Math.min(packet.end, packet.payload + this.prefix);
    return packet;
  }

  /** Production's server has sent a segment to a client. */
  produce(fields: Parameters<typeof packet>[0]): void {
    this.engine.production(this.cut(packet({ ...fields, time: this.now })), this.now);
  }

  /** A packet of the target comes back. */
  respond(r: {
    target: string;
    port: number;
    seq: number;
    ack: number;
    flags: number;
    payload: Uint8Array;
    options: number[];
    window: number;
  }): void {
    this.cross(() => {
      const response = packet({
        source: r.target,
        index: this.targets.indexOf(r.target),
        destination: "10.0.1.1",
        sourcePort: TARGET_PORT,
        destinationPort: r.port,
        seq: r.seq,
        ack: r.ack,
        flags: r.flags,
        window: r.window,
        options: r.options,
        payload: r.payload,
        time: this.now,
      });
      this.engine.response(this.cut(response), this.now);
    });
  }
}

const RTO = 250_000;

/** A TCP server, as simple as it can be and still right: cumulative ACKs, reassembly, retransmission by timer. */
class Server {
  isClosed = false;
  private rcvNxt = 0;
  private readonly iss: number;
  private sndUna: number;
  private readonly out: number[] = [];
  private finQueued = false;
  private finAcked = false;
  private peerFin = -1;
  private readonly held = new Map<number, Uint8Array>();
  private established = false;
  private timer = 0;
  private line = "";
  private answers = 0;
  private peerMss = 536;
  private peerTimestamps = false;
  private tsRecent = 0;

  constructor(
    private readonly net: Simulation,
    private readonly conditions: { mss: number; window: number; windowScale: number; serviceTime: number },
    private readonly received: Received,
  ) {
    this.iss = Math.floor(net.random() * 4294967296);
    this.sndUna = this.iss;
  }

  take(segment: Segment): void {
    if (segment.flags & RST) {
      if (distance(segment.seq, this.rcvNxt) === 0 || !this.established) this.close("rst");
      return;
    }
    if (this.isClosed) return;
    if (segment.flags & SYN) {
      if (this.established) {
        this.sendAck(); // a late copy of it
        return;
      }
      this.rcvNxt = (segment.seq + 1) >>> 0;
      this.peerMss = segment.options.mss;
      this.peerTimestamps = segment.options.hasTimestamps;
      this.tsRecent = segment.options.tsval;
      this.sendSynAck();
      return;
    }
    if (segment.options.hasTimestamps) this.tsRecent = segment.options.tsval;
    if (!this.established && this.net.greeting > 0) {
      for (let i = 0; i < this.net.greeting; i++) this.out.push(0x67);
      this.established = true;
      this.sndUna = (this.iss + 1) >>> 0;
      this.net.at(this.net.now + this.conditions.serviceTime, () => this.sendFrom(0));
    }
    this.established = true;
    if (distance(segment.ack, this.sndUna) > 0) {
      let acked = distance(segment.ack, this.sndUna);
      if (this.sndUna === this.iss) acked--;
      if (acked > this.out.length) this.finAcked = true;
      this.out.splice(0, acked);
      this.sndUna = segment.ack;
      this.timer++;
      if (this.out.length > 0) this.armTimer();
    }
    if (segment.payload.length > 0) this.held.set(segment.seq, segment.payload);
    if (segment.flags & FIN) this.peerFin = (segment.seq + segment.payload.length) >>> 0;
    this.readHeld();
    if (this.peerFin === this.rcvNxt) {
      this.rcvNxt = (this.rcvNxt + 1) >>> 0;
      this.peerFin = -2;
      this.queueFin();
    }
    if (segment.payload.length > 0 || segment.flags & FIN) this.sendAck();
    if (this.peerFin === -2 && this.finAcked) this.close("fin");
  }

  private readHeld(): void {
    for (let progress = true; progress; ) {
      progress = false;
      for (const [seq, payload] of this.held) {
        const behind = -distance(seq, this.rcvNxt);
        if (behind < 0) continue;
        this.held.delete(seq);
        if (behind >= payload.length) continue;
        const fresh = payload.subarray(behind);
        this.rcvNxt = (this.rcvNxt + fresh.length) >>> 0;
        this.read(fresh);
        progress = true;
      }
    }
  }

  private read(bytes: Uint8Array): void {
    for (const byte of bytes) {
      this.received.bytes.push(byte);
      this.line += String.fromCharCode(byte);
      if (!this.line.endsWith(this.net.delimiter)) continue;
      this.line = this.line.slice(0, -this.net.delimiter.length);
      const answer = this.net.answer(this.line);
      const content = typeof answer === "number" ? new Uint8Array(answer).fill(0x61) : answer;
      const { length } = content;
      const time = this.net.timeOf?.(this.line) ?? this.conditions.serviceTime;
      this.line = "";
      this.net.at(this.net.now + time, () => {
        if (this.isClosed) return;
        for (const one of content) this.out.push(one);
        this.sendFrom(this.out.length - length);
        if (length > 0 && ++this.answers === this.net.closeAfter) this.queueFin();
      });
    }
  }

  private queueFin(): void {
    if (this.finQueued) return;
    this.finQueued = true;
    this.sendFrom(this.out.length);
  }

  private sendFrom(from: number): void {
    const first = this.sndUna === this.iss ? (this.iss + 1) >>> 0 : this.sndUna;
    const mss = Math.min(this.peerMss, this.conditions.mss) - 12;
    let at = from;
    for (; at < this.out.length; at += mss) {
      const payload = Uint8Array.from(this.out.slice(at, at + mss));
      const isLast = at + mss >= this.out.length;
      this.send((first + at) >>> 0, isLast ? ACK | PSH : ACK, payload);
    }
    if (this.finQueued && !this.finAcked)
      this.send((first + this.out.length) >>> 0, ACK | FIN, new Uint8Array(0));
    this.armTimer();
  }

  private armTimer(): void {
    const timer = ++this.timer;
    this.net.at(this.net.now + RTO, () => {
      if (timer !== this.timer || this.isClosed) return;
      if (!this.established) this.sendSynAck();
      else if (this.out.length > 0 || (this.finQueued && !this.finAcked)) this.sendFrom(0);
    });
  }

  private sendSynAck(): void {
    const { mss, windowScale } = this.conditions;
    const options = [2, 4, mss >> 8, mss & 255, 1, 3, 3, windowScale];
    if (this.peerTimestamps) options.push(1, 1, 8, 10, ...this.timestamps());
    this.net.respond({
      target: this.received.target,
      port: this.received.port,
      seq: this.iss,
      ack: this.rcvNxt,
      flags: SYN | ACK,
      payload: new Uint8Array(0),
      options,
      window: Math.min(65535, this.conditions.window),
    });
    this.armTimer();
  }

  private timestamps(): number[] {
    const words = new Uint8Array(8);
    const view = new DataView(words.buffer);
    view.setUint32(0, Math.floor(this.net.now / 1000));
    view.setUint32(4, this.tsRecent);
    return [...words];
  }

  private sendAck(): void {
    const first = this.sndUna === this.iss ? (this.iss + 1) >>> 0 : this.sndUna;
    this.send((first + this.out.length) >>> 0, ACK, new Uint8Array(0));
  }

  private send(seq: number, flags: number, payload: Uint8Array): void {
    this.net.respond({
      target: this.received.target,
      port: this.received.port,
      seq,
      ack: this.rcvNxt,
      flags,
      payload,
      options: this.peerTimestamps ? [1, 1, 8, 10, ...this.timestamps()] : [],
      window: Math.min(65535, this.conditions.window >> this.conditions.windowScale),
    });
  }

  private close(how: "fin" | "rst"): void {
    this.isClosed = true;
    this.received.end = how;
  }
}

export interface ClientOptions {
  port: number;
  /** Requests, each ended by a newline. */
  requests: string[];
  /** us between two requests. */
  pace?: number;
  isn?: number;
  /** Whether the SYN is captured. */
  syn?: boolean;
  end?: "fin" | "rst" | "none";
  /** Bytes of production's answer. */
  answer?: number;
  /** Bytes per captured segment. */
  segment?: number;
  address?: string;
  /** Bytes of production's greeting; the client's handshake is captured then. */
  greeting?: number;
  /** The bytes of a request; absent: UTF-8. */
  encode?: (text: string) => Uint8Array;
  /** How many of the first requests production does not answer. */
  unanswered?: number;
}

/** Schedules the captured packets of a client whose production service answers at once. */
export function client(net: Simulation, options: ClientOptions): void {
  const { port, requests, pace = 1000, syn = true, end = "fin", answer = 100, segment = 1460 } = options;
  let seq = options.isn ?? 4294967296 - 150;
  let ack = 4294967296 - 50;
  let { unanswered = 0 } = options;
  const base = { sourcePort: port, destinationPort: 80, source: options.address ?? "10.0.0.9" };
  let at = net.now;
  const isn = seq;
  const first = { seq: (isn + 1) >>> 0, ack };
  const synOptions = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
  if (syn) net.at(at, () => net.capture({ ...base, seq: isn, flags: SYN, options: synOptions }));
  if (syn || options.greeting !== undefined) net.at(at, () => net.capture({ ...base, ...first, flags: ACK }));
  seq = first.seq;
  ack = (ack + (options.greeting ?? 0)) >>> 0;
  for (const request of requests) {
    at += pace;
    const bytes = (options.encode ?? ((text) => new TextEncoder().encode(text)))(request);
    for (let from = 0; from < bytes.length; from += segment) {
      const payload = bytes.subarray(from, from + segment);
      const isLast = from + segment >= bytes.length;
      const [s, a] = [seq, ack];
      net.at(at, () => net.capture({ ...base, seq: s, ack: a, flags: ACK | (isLast ? PSH : 0), payload }));
      seq = (seq + payload.length) >>> 0;
    }
    if (unanswered-- <= 0) ack = (ack + answer) >>> 0;
  }
  at += pace;
  const [s, a] = [seq, ack];
  if (end === "fin") net.at(at, () => net.capture({ ...base, seq: s, ack: a, flags: FIN | ACK }));
  if (end === "rst") net.at(at, () => net.capture({ ...base, seq: s, flags: RST }));
}

/** What the target's applications read, as text, by connection. */
export function texts(net: Simulation): string[] {
  return net.received.map(({ bytes }) => new TextDecoder().decode(Uint8Array.from(bytes)));
}
