/**
 * Measures the engine alone, without a kernel, on one core: the same work over 10 and over 100,000 sessions, against a
 * target that answers at once. Prints one table: what a segment and a session cost, bytes per idle session, the longest pauses.
 * usage: bun bench/engine.ts [--quick]
 */
import { Engine } from "../src/engine/engine.ts";
import { COUNTER, ENGINE_COUNTERS } from "../src/engine/sessions/counters.ts";
import { PacketBatch } from "../src/wire/batch.ts";
import { ipPair } from "../src/wire/ip.ts";
import { Packet } from "../src/wire/packet.ts";
import { ACK, FIN, PSH, SYN } from "../src/wire/tcp.ts";
import { type Figure, median, milliseconds, renderTable } from "./figures.ts";

const FEW = 10;
const MANY = 100_000;
/** Client packets between two rounds of the data plane; no more, so that few and many sessions have the same rounds. */
const ROUND = FEW;

const SERVER_ISN = 77;
const REQUEST = 100;
const RESPONSE = 300;
const PORTS = 30_000;
const MILLISECOND = 1000;

/** One packet whose fields are written anew for each use. */
function template(options: number, payload: number): Packet {
  const bytes = new Uint8Array(new ArrayBuffer(40 + options + payload));
  const packet = new Packet(bytes);
  bytes[0] = 0x45;
  packet.view.setUint32(16, 0x0a000001);
  bytes[32] = ((20 + options) / 4) << 4;
  packet.view.setUint16(34, 65535);
  packet.tcp = 20;
  packet.payload = 40 + options;
  packet.end = bytes.length;
  packet.length = payload;
  return packet;
}

const control = template(0, 0);
const data = template(0, REQUEST);
const synAck = template(4, 0);
synAck.bytes.set([2, 4, 5, 0xb4], 40);
const response = template(0, 0);

function createEngine(sessions: number, counters: Float64Array, batch: PacketBatch, now: number): Engine {
  // Each source address has PORTS ports.
  const paths = Array.from({ length: Math.ceil(sessions / PORTS) }, (_, index) => ({
    pair: ipPair(Uint8Array.of(10, 0, 1, 1 + index), Uint8Array.of(10, 0, 1, 200)),
    targetPort: 8080,
    egress: 0,
    mtu: 1500,
  }));
  return new Engine(
    {
      services: [[[{ weight: 1, paths: paths.map((_, index) => index) }]]],
      paths,
      replicas: 1,
      jitter: 0,
      waitsForAnswers: true,
      pace: "clock",
      turnTimeout: 5_000_000,
      quiet: 0,
      takesMidstream: true,
      turnLimit: 0,
      proxyProtocol: 0,
      ports: [[1024, 1024 + PORTS + 2000]],
      maxSessions: 262144,
      memory: 256 << 20,
      sessionBytes: 16 << 20,
      sessionTimeout: 600e6,
      idleTimeout: 720e6,
      counters,
      openFlow: () => {},
      random: () => 0,
    },
    [batch],
    now,
  );
}

/** Clients and a target around an engine. Nothing is kept here per session, so that many sessions cost only the engine. */
class Bench {
  readonly counters = new Float64Array(ENGINE_COUNTERS.length);
  /** Packets taken and sent. */
  packets = 0;
  /** ns of the longest round. */
  longest = 0;
  private now = 1e9;
  private readonly batch = new PacketBatch();
  private readonly engine: Engine;

  constructor(readonly sessions: number) {
    this.engine = createEngine(sessions, this.counters, this.batch, this.now);
  }

  open(session: number): void {
    this.fill(control, session, 0, 0, SYN);
    this.fill(control, session, 1, 1000, ACK);
  }

  /** The request number `index` of the session, from 0. */
  request(session: number, index: number): void {
    this.fill(data, session, 1 + index * REQUEST, 1000 + index * RESPONSE, ACK | PSH);
  }

  /** The end of a session that has sent `requests` requests. */
  close(session: number, requests: number): void {
    this.fill(control, session, 1 + requests * REQUEST, 1000 + requests * RESPONSE, ACK | FIN);
  }

  /** Does `step` for every session, in scattered order, with a round of the data plane after each ROUND of them. */
  each(step: (session: number) => void): void {
    // Has no factor in common with the number of sessions.
    const stride = 48_271;
    for (let count = 1; count <= this.sessions; count++) {
      step((count * stride) % this.sessions);
      if (count % ROUND === 0) this.round();
    }
    this.round();
  }

  /** Lets time pass, us. */
  pass(time: number): void {
    this.now += time;
    this.round();
  }

  /** Every session sends a request that nobody answers, until all are sent again: ns that this takes the engine. */
  retransmitAtOnce(index: number): number {
    for (let session = 0; session < this.sessions; session++) this.request(session, index);
    this.dispatch(() => this.batch.clear());
    this.now += 400 * MILLISECOND;
    const before = this.counters[COUNTER.retransmitted]!;
    const began = Bun.nanoseconds();
    this.engine.advance(this.now);
    this.dispatch(() => this.batch.clear());
    const took = Bun.nanoseconds() - began;
    const count = this.counters[COUNTER.retransmitted]! - before;
    if (count !== this.sessions) throw new Error(`Cannot measure: ${count} requests were sent again`);
    return took;
  }

  private round(): void {
    const began = Bun.nanoseconds();
    this.now += MILLISECOND;
    this.engine.advance(this.now);
    this.dispatch(() => this.answerBatch());
    this.dispatch(() => this.answerBatch());
    const took = Bun.nanoseconds() - began;
    if (took > this.longest) this.longest = took;
  }

  private dispatch(send: () => void): void {
    let done = false;
    while (!done) {
      done = this.engine.dispatch(this.now);
      send();
    }
  }

  /** The target answers every packet of the batch that asks for it. */
  private answerBatch(): void {
    const { batch, engine } = this;
    const { view } = batch;
    for (let row = 0; row < batch.count; row++) {
      const ip = batch.offset[row]!;
      const tcp = ip + 20;
      this.packets++;
      const flags = batch.bytes[tcp + 13]!;
      const length = batch.length[row]! - 20 - (batch.bytes[tcp + 12]! >> 4) * 4;
      if (!(flags & (SYN | FIN)) && length === 0) continue;
      const packet = flags & SYN ? synAck : response;
      const v = packet.view;
      v.setUint16(20, 8080);
      v.setUint16(22, view.getUint16(tcp));
      v.setUint32(24, flags & SYN ? SERVER_ISN : view.getUint32(tcp + 8));
      v.setUint32(28, view.getUint32(tcp + 4) + length + (flags & (SYN | FIN) ? 1 : 0));
      packet.bytes[33] = flags & SYN ? SYN | ACK : flags & FIN ? ACK | FIN : ACK | PSH;
      // Responses come as headers: the payload's length counts, its bytes do not.
      if (packet === response) packet.length = flags & FIN ? 0 : RESPONSE;
      packet.index = view.getUint8(ip + 15) - 1;
      packet.time = this.now;
      engine.response(packet, this.now);
      this.packets++;
    }
    batch.clear();
  }

  /** A packet of a client; `seq` counts from its initial sequence number. */
  private fill(packet: Packet, session: number, seq: number, ack: number, flags: number): void {
    const v = packet.view;
    v.setUint32(12, 0x0b000000 + (session >>> 4));
    v.setUint16(20, 20000 + (session & 15));
    v.setUint16(22, 80);
    v.setUint32(24, session * 7919 + seq);
    v.setUint32(28, ack);
    packet.bytes[33] = flags;
    packet.time = this.now;
    this.packets++;
    this.engine.request(packet, this.now);
  }
}

interface KeepAlive {
  /** ns of CPU per packet in or out, and of the longest round. */
  segment: number;
  longest: number;
}

/** Requests in turn over sessions that stay open, after a quarter as many that are not measured. */
function measureKeepAlive(sessions: number, requests: number): KeepAlive {
  const bench = new Bench(sessions);
  bench.each((session) => bench.open(session));
  const passes = Math.ceil(requests / sessions);
  const unmeasured = Math.ceil(passes / 4);
  let began = 0;
  for (let pass = 0; pass < unmeasured + passes; pass++) {
    if (pass === unmeasured) {
      bench.packets = 0;
      bench.longest = 0;
      began = Bun.nanoseconds();
    }
    bench.each((session) => bench.request(session, pass));
  }
  const took = Bun.nanoseconds() - began;
  const answered = bench.counters[COUNTER.turnsAnswered]!;
  if (answered !== (unmeasured + passes) * sessions) {
    throw new Error(`Cannot measure: ${answered} requests were answered`);
  }
  return { segment: took / bench.packets, longest: bench.longest };
}

/** ns per session that is opened, sends one request and is closed; `sessions` at a time. */
function measureSessions(sessions: number, count: number): number {
  const bench = new Bench(sessions);
  const passes = Math.ceil(count / sessions);
  const unmeasured = Math.ceil(passes / 4);
  let began = 0;
  for (let pass = 0; pass < unmeasured + passes; pass++) {
    if (pass === unmeasured) began = Bun.nanoseconds();
    bench.each((session) => bench.open(session));
    bench.each((session) => bench.request(session, 0));
    bench.each((session) => bench.close(session, 1));
    // Longer than TIME_WAIT.
    bench.pass(1100 * MILLISECOND);
  }
  const took = Bun.nanoseconds() - began;
  const closed = bench.counters[COUNTER.closed]!;
  if (closed !== (unmeasured + passes) * sessions)
    throw new Error(`Cannot measure: ${closed} sessions ended`);
  return took / (passes * sessions);
}

/** Resident bytes that an open session adds when its first request is answered. */
function measureIdle(sessions: number): number {
  measureKeepAlive(1000, 100_000);
  const bench = new Bench(sessions);
  Bun.gc(true);
  const before = process.memoryUsage.rss();
  bench.each((session) => bench.open(session));
  bench.each((session) => bench.request(session, 0));
  Bun.gc(true);
  return (process.memoryUsage.rss() - before) / sessions;
}

/** ns of the pause when every session retransmits at the same moment. */
function measureRetransmission(sessions: number): number {
  const bench = new Bench(sessions);
  bench.each((session) => bench.open(session));
  bench.each((session) => bench.request(session, 0));
  return bench.retransmitAtOnce(1);
}

function compare(
  name: string,
  few: number,
  many: number,
  show: (ns: number) => string,
  aim?: string,
): Figure {
  return { name, value: show(many), without: show(few), ratio: many / few, ...(aim ? { aim } : {}) };
}

const quick = process.argv.includes("--quick");
const runs = quick ? 1 : 5;
const requests = quick ? 400_000 : 2_000_000;

// First, as memory that later runs leave behind must not count.
const idle = measureIdle(MANY);
const samples = Array.from({ length: runs }, () => ({
  few: measureKeepAlive(FEW, requests),
  many: measureKeepAlive(MANY, requests),
  fewSessions: measureSessions(FEW, requests / 4),
  manySessions: measureSessions(MANY, requests / 4),
  retransmission: measureRetransmission(MANY),
}));
const of = (value: (sample: (typeof samples)[number]) => number) => median(samples.map(value));
const inNanoseconds = (ns: number) => `${ns.toFixed(0)} ns`;
const perSecond = (ns: number) => `${(1000 / ns).toFixed(2)} M/s`;
const [few, many] = [of((sample) => sample.few.segment), of((sample) => sample.many.segment)];
const [fewSessions, manySessions] = [
  of(({ fewSessions }) => fewSessions),
  of(({ manySessions }) => manySessions),
];
const figures: Figure[] = [
  compare("a segment, in or out", few, many, inNanoseconds, "1.25"),
  { name: "  segments per second", value: perSecond(many), without: perSecond(few) },
  compare("a session of one request", fewSessions, manySessions, inNanoseconds),
  { name: "  sessions per second", value: perSecond(manySessions), without: perSecond(fewSessions) },
  {
    name: "longest pause",
    value: milliseconds(of((sample) => sample.many.longest) / 1000),
    without: milliseconds(of((sample) => sample.few.longest) / 1000),
    aim: "5 ms",
  },
  {
    name: "  when all retransmit at once",
    value: milliseconds(of(({ retransmission }) => retransmission) / 1000),
  },
  { name: "an idle session", value: `${idle.toFixed(0)} B`, aim: "512 B" },
];
const headings: [string, string] = ["100,000 sessions", "10 sessions"];
console.log(`the engine alone, one core, medians of ${runs} runs\n\n${renderTable(figures, headings)}`);
