/**
 * The engine alone, no kernel: keep-alive requests over few and over many sessions, and short sessions, against a target
 * that answers at once. Prints cost per packet, bytes per idle session, and the longest pause of a round.
 */
import { heapStats } from "bun:jsc";
import { COUNTER } from "../src/engine/counters.ts";
import { Engine } from "../src/engine/engine.ts";
import { PacketBatch } from "../src/wire/batch.ts";
import { ipPair } from "../src/wire/ip.ts";
import { Packet } from "../src/wire/packet.ts";
import { ACK, FIN, PSH, SYN } from "../src/wire/tcp.ts";

const SERVER_ISN = 77;
const REQUEST = 100;
const RESPONSE = 300;
const ROUND = 256;

/** Every option of the engine at what is usual. */
const BASIC = {
  replicas: 1,
  jitter: 0,
  waitsForAnswers: true,
  keepsThinkTime: true,
  turnTimeout: 5_000_000,
  quiet: 0,
  takesMidstream: true,
  turnLimit: 0,
  proxyProtocol: 0,
} as const;

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

const syn = template(0, 0);
const data = template(0, REQUEST);
const synAck = template(4, 0);
synAck.bytes.set([2, 4, 5, 0xb4], 40);
const response = template(0, 0);
/** Responses come as headers: the payload's length counts, its bytes do not. */
const setLength = (length: number): void => {
  response.length = length;
};

export class Bench {
  readonly counters = new Float64Array(64);
  readonly batch = new PacketBatch();
  readonly engine: Engine;
  now = 1e9;
  /** Packets taken and sent. */
  packets = 0;
  longest = 0;
  private readonly isn: Int32Array;
  private readonly requests: Int32Array;

  constructor(readonly sessions: number) {
    this.isn = new Int32Array(sessions);
    this.requests = new Int32Array(sessions);
    this.engine = new Engine(
      {
        services: [
          [[{ weight: 1, paths: Array.from({ length: Math.ceil(sessions / 30000) }, (_, i) => i) }]],
        ],
        ...BASIC,
        paths: Array.from({ length: Math.ceil(sessions / 30000) }, (_, i) => ({
          pair: ipPair(Uint8Array.of(10, 0, 1, 1 + i), Uint8Array.of(10, 0, 1, 200)),
          targetPort: 8080,
          egress: 0,
          mtu: 1500,
        })),
        ports: [[1024, 32767]],
        maxSessions: 262144,
        memory: 256 << 20,
        sessionBytes: 16 << 20,
        sessionTimeout: 600e6,
        idleTimeout: 720e6,
        counters: this.counters,
        openFlow: () => {},
        random: () => 0,
      },
      [this.batch],
      this.now,
    );
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
      if (packet === response) setLength(flags & FIN ? 0 : RESPONSE);
      packet.index = view.getUint8(ip + 15) - 1;
      packet.time = this.now;
      engine.response(packet, this.now);
      this.packets++;
    }
    batch.clear();
  }

  private round(): void {
    const began = Bun.nanoseconds();
    this.now += 1000;
    this.engine.advance(this.now);
    let done = false;
    while (!done) {
      done = this.engine.dispatch(this.now);
      this.answerBatch();
    }
    this.engine.dispatch(this.now);
    this.answerBatch();
    const took = Bun.nanoseconds() - began;
    if (took > this.longest) this.longest = took;
  }

  private fill(packet: Packet, session: number, seq: number, ack: number, flags: number): void {
    const v = packet.view;
    v.setUint32(12, 0x0b000000 + (session >>> 4));
    v.setUint16(20, 20000 + (session & 15));
    v.setUint16(22, 80);
    v.setUint32(24, seq);
    v.setUint32(28, ack);
    packet.bytes[33] = flags;
    packet.time = this.now;
    this.packets++;
    this.engine.request(packet, this.now);
  }

  open(session: number): void {
    this.isn[session] = (session * 7919) | 0;
    this.requests[session] = 0;
    this.fill(syn, session, this.isn[session]!, 0, SYN);
  }

  request(session: number): void {
    const n = this.requests[session]!++;
    this.fill(data, session, this.isn[session]! + 1 + n * REQUEST, 1000 + n * RESPONSE, ACK | PSH);
  }

  close(session: number): void {
    const n = this.requests[session]!;
    this.fill(syn, session, this.isn[session]! + 1 + n * REQUEST, 1000 + n * RESPONSE, ACK | FIN);
  }

  /** Does `step` for every session in turn, a round of the data plane after each ROUND of them. */
  each(step: (session: number) => void): void {
    for (let session = 0; session < this.sessions; session++) {
      step(session);
      if (session % ROUND === ROUND - 1) this.round();
    }
    this.round();
    this.round();
  }
}

function keepAlive(sessions: number, requests: number): void {
  const bench = new Bench(sessions);
  const before = process.memoryUsage.rss();
  bench.each((s) => bench.open(s));
  const idle = (process.memoryUsage.rss() - before) / sessions;
  const rounds = Math.ceil(requests / sessions);
  for (let i = 0; i < Math.ceil(rounds / 4); i++) bench.each((s) => bench.request(s));
  bench.packets = 0;
  bench.longest = 0;
  const heap = heapStats().heapSize;
  const began = Bun.nanoseconds();
  for (let i = 0; i < rounds; i++) bench.each((s) => bench.request(s));
  const ns = Bun.nanoseconds() - began;
  const grown = heapStats().heapSize - heap;
  const count = (name: keyof typeof COUNTER) => bench.counters[COUNTER[name]]!;
  console.log(
    `${sessions} sessions: ${(ns / bench.packets).toFixed(0)} ns/packet, ${((bench.packets / ns) * 1000).toFixed(2)} M packets/s, ` +
      `longest round ${(bench.longest / 1e6).toFixed(2)} ms, ${idle.toFixed(0)} B/session (RSS), heap +${grown} B over ${bench.packets} packets, ` +
      `answered ${count("turnsAnswered")} of ${count("turnsCaptured")}`,
  );
}

function short(sessions: number, rounds: number): void {
  const bench = new Bench(sessions);
  const run = () => {
    bench.each((s) => bench.open(s));
    bench.each((s) => bench.request(s));
    bench.each((s) => bench.close(s));
    bench.now += 1_100_000;
    bench.each(() => {});
  };
  for (let i = 0; i < Math.ceil(rounds / 4); i++) run();
  bench.packets = 0;
  const began = Bun.nanoseconds();
  for (let i = 0; i < rounds; i++) run();
  const ns = Bun.nanoseconds() - began;
  console.log(
    `short sessions, ${sessions} at a time: ${(ns / (rounds * sessions)).toFixed(0)} ns/session, ${(((rounds * sessions) / ns) * 1e9).toFixed(0)} sessions/s, closed ${bench.counters[COUNTER.closed]}`,
  );
}

keepAlive(10, 1_000_000);
keepAlive(1000, 1_000_000);
keepAlive(100_000, 2_000_000);
short(1000, 200);
