/** Plays a script (script.ts) against the engine in virtual time. */
import { Engine } from "../../src/engine/engine.ts";
import { COUNTER, ENGINE_COUNTERS, type EngineCounter } from "../../src/engine/sessions/counters.ts";
import { PacketBatch } from "../../src/wire/batch.ts";
import { ipPair } from "../../src/wire/ip.ts";
import { Packet } from "../../src/wire/packet.ts";
import { ACK, SYN } from "../../src/wire/tcp.ts";
import { faultOfBooks } from "./books.ts";
import { packet, type Segment, segmentsOf } from "./packets.ts";
import {
  decodeOptions,
  encodeOptions,
  flagLetters,
  optionsMatch,
  parseScript,
  type Script,
  type ScriptLine,
  type ScriptSegment,
} from "./script.ts";
import { BASIC } from "./simulation.ts";

/** Initial sequence numbers of the four sides. */
export interface Numbers {
  client: number;
  online: number;
  target: number;
  /** Of the engine, on its first connection. */
  engine: number;
}

const CLIENT_PORT = 40000;
const TARGET_PORT = 8080;
/** Ports of connections that the engine never opened, by their number. */
const STRANGE_PORT = 60000;
const FIRST_STRANGE = 9;
/** A SYN with `new` begins this much later. */
const NEXT_CONNECTION = 1_000_000;
/** Timers are in slots of 1 ms. */
const TOLERANCE = 1100;
/** The data plane looks at the engine at least this often. */
const LONGEST_WAIT = 500_000;
const NO_LIMIT = 1 << 20;
const FEW_MILLISECONDS = 5000;
const MOST_WAKE_UPS = 20;

/** The byte that a client sends at a place of its stream. */
function byteAt(place: number): number {
  return Math.imul(place, 0x9e3779b1) >>> 24;
}

interface Connection {
  number: number;
  port: number;
  iss: number;
}

/** Plays `source` with these initial numbers; returns where the engine does not keep to it, and what it sent; "" if it does. */
export function playScript(name: string, source: string, numbers: Numbers): string {
  const script = parseScript(name, source);
  const early = 2 ** 34;
  const first = new Play(script, numbers, early).firstSequence();
  // The initial number grows by one in 4 us (RFC 6528).
  try {
    new Play(script, numbers, early + 4 * ((numbers.engine - first) >>> 0)).play();
  } catch (error) {
    return (error as Error).message;
  }
  return "";
}

class Play {
  private readonly engine: Engine;
  private readonly batch = new PacketBatch();
  private readonly counters = new Float64Array(ENGINE_COUNTERS.length);
  private readonly connections: Connection[] = [];
  /** How often a client began anew. */
  private readonly incarnations = new Map<number, number>();
  private readonly outbox: { at: number; segment: Segment }[] = [];
  /** When the event before happened. */
  private clock: number;

  constructor(
    private readonly script: Script,
    private readonly numbers: Numbers,
    private now: number,
  ) {
    this.clock = now;
    const { path_mtu, late, ...options } = script.options;
    this.engine = new Engine(
      {
        services: [[[{ weight: 1, paths: [0] }]]],
        ...BASIC,
        paths: [
          {
            pair: ipPair(Uint8Array.of(10, 0, 1, 1), Uint8Array.of(10, 0, 1, 2)),
            targetPort: TARGET_PORT,
            egress: 0,
            mtu: Number(path_mtu ?? 1500),
          },
        ],
        ports: [[1024, 32767]],
        maxSessions: 16,
        memory: 8 << 20,
        sessionBytes: 4 << 20,
        sessionTimeout: 60_000_000,
        idleTimeout: 180_000_000,
        counters: this.counters,
        openFlow: () => {},
        random: () => 0,
        ...(late !== undefined && { late: { after: Number(late), spreads: false } }),
        ...options,
      },
      [this.batch],
      now,
    );
  }

  /** The initial sequence number of a connection that is opened now. */
  firstSequence(): number {
    this.capture(1, { ...EMPTY, flags: SYN });
    this.capture(1, { ...EMPTY, flags: ACK, seq: 1, ack: 1 });
    // Under a limit of turns a connection is opened for data only.
    this.capture(1, { ...EMPTY, flags: ACK, seq: 1, length: 1, ack: 1 });
    this.poll();
    return this.outbox[0]!.segment.seq;
  }

  play(): void {
    for (const line of this.script.lines) {
      try {
        this.step(line);
        const fault = faultOfBooks(this.counters);
        if (fault !== "") throw new Error(fault);
      } catch (error) {
        throw new Error(`${this.script.name}:${line.number}: ${line.text}\n  ${(error as Error).message}`);
      }
    }
    this.poll();
    this.expectSilence("after the last line");
    this.end();
  }

  private step(line: ScriptLine): void {
    const { event } = line;
    if (event.kind === "expect") {
      this.expect(line, event.flow, event.segment);
      return;
    }
    this.clock += line.from;
    // At the same instant: one batch with the input before.
    if (line.from > 0 || event.kind === "count") this.pass(this.clock, NO_LIMIT);
    this.expectSilence("before it");
    if (event.kind === "capture") this.capture(event.flow || 1, event.segment);
    else if (event.kind === "respond") this.respond(event.flow, event.segment);
    else if (event.kind === "tooBig") this.tooBig(event.flow, event.seq, event.mtu);
    else if (event.kind === "count") this.compareCounters(event.counters);
  }

  private expectSilence(when: string): void {
    if (this.outbox.length === 0) return;
    throw new Error(
      `The engine sent ${when}:\n${this.outbox.map((one) => `    ${this.show(one)}`).join("\n")}`,
    );
  }

  /** Lets time pass, and the engine work, until `until` or until `most` segments have been sent. */
  private pass(until: number, most: number): void {
    for (let waits = 0; ; waits++) {
      this.poll();
      if (this.outbox.length >= most || this.now >= until) return;
      const wait = this.engine.wait(this.now, Math.min(until - this.now, LONGEST_WAIT));
      // Each session has a few timers.
      if (wait > FEW_MILLISECONDS) waits = 0;
      if (waits > MOST_WAKE_UPS) throw new Error(`The engine woke up ${waits} times for nothing`);
      this.now += Math.max(1, Math.ceil(wait));
    }
  }

  private poll(): void {
    this.engine.advance(this.now);
    while (!this.engine.dispatch(this.now)) this.collect();
    this.collect();
  }

  private collect(): void {
    const { batch } = this;
    for (let row = 0; row < batch.count; row++) {
      const at = batch.offset[row]!;
      const bytes = batch.bytes.subarray(at, at + batch.length[row]!);
      for (const segment of segmentsOf(bytes, batch.segmentSize[row]!)) {
        this.outbox.push({ at: this.now, segment });
      }
    }
    batch.clear();
  }

  private capture(flow: number, s: ScriptSegment): void {
    if (s.isNew) this.incarnations.set(flow, (this.incarnations.get(flow) ?? 0) + 1);
    const offset = (this.incarnations.get(flow) ?? 0) * NEXT_CONNECTION;
    const { client, online } = this.numbers;
    this.engine.request(
      packet({
        sourcePort: CLIENT_PORT + flow,
        destinationPort: 80,
        seq: (client + offset + s.seq) >>> 0,
        ack: s.ack === null ? 0 : (online + offset + s.ack) >>> 0,
        flags: s.flags,
        window: s.window ?? 65535,
        options: s.options === null ? [] : encodeOptions(s.options, 0),
        payload: Uint8Array.from({ length: s.length }, (_, i) => byteAt((s.data ?? s.seq) + i)),
        think: s.think,
        acksFar: s.isFar,
        time: this.now,
      }),
      this.now,
    );
  }

  private respond(number: number, s: ScriptSegment): void {
    const connection = this.connection(number);
    const response = packet({
      source: "10.0.1.2",
      destination: "10.0.1.1",
      sourcePort: TARGET_PORT,
      destinationPort: connection.port,
      seq: (this.numbers.target + s.seq) >>> 0,
      ack: s.ack === null ? 0 : (connection.iss + s.ack) >>> 0,
      flags: s.flags,
      window: s.window ?? 65535,
      options: s.options === null ? [] : encodeOptions(s.options, connection.iss),
      time: this.now,
    });
    // Responses are captured as headers.
    response.length = s.length;
    this.engine.response(response, this.now);
  }

  /** An ICMP message that quotes a segment of ours. */
  private tooBig(number: number, seq: number, mtu: number): void {
    const connection = this.connection(number);
    const { bytes, view } = new Packet(new Uint8Array(56));
    bytes.set([0x45, 0, 0, 56, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 9, 9, 10, 0, 1, 1, 3, 4]);
    view.setUint16(26, mtu);
    bytes.set([0x45, 0, 5, 0xdc, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 1, 1, 10, 0, 1, 2], 28);
    view.setUint16(48, connection.port);
    view.setUint16(50, TARGET_PORT);
    view.setUint32(52, connection.iss + seq);
    const message = new Packet(bytes);
    message.end = bytes.length;
    this.engine.tooBig(message, this.now);
  }

  private connection(number: number): Connection {
    if (number >= FIRST_STRANGE) return { number, port: STRANGE_PORT + number, iss: 0 };
    const found = number === 0 ? this.connections.at(-1) : this.connections[number - 1];
    if (found === undefined) throw new Error(`there is no connection ${number}`);
    return found;
  }

  /** The connection of a segment of the engine, which its SYN adds. */
  private connectionOf({ sourcePort, flags, seq }: Segment): Connection {
    if (sourcePort >= STRANGE_PORT) return this.connection(sourcePort - STRANGE_PORT);
    let found = this.connections.find(({ port }) => port === sourcePort);
    if (found === undefined || (flags === SYN && found.iss !== seq)) {
      found = { number: this.connections.length + 1, port: sourcePort, iss: seq };
      if (flags & SYN) this.connections.push(found);
    }
    return found;
  }

  private expect(line: ScriptLine, number: number, s: ScriptSegment): void {
    if (this.outbox.length === 0) this.pass(this.clock + line.to + TOLERANCE, 1);
    const sent = this.outbox.shift();
    if (sent === undefined) throw new Error(`The engine sent nothing for ${(this.now - this.clock) / 1e6} s`);
    const fault = this.faultOf(sent, line, number, s);
    if (fault !== "") {
      this.outbox.unshift(sent);
      throw new Error(
        `${fault}. The engine sent:\n${this.outbox.map((one) => `    ${this.show(one)}`).join("\n")}`,
      );
    }
    this.clock = sent.at;
  }

  private faultOf(
    sent: { at: number; segment: Segment },
    line: ScriptLine,
    number: number,
    s: ScriptSegment,
  ) {
    const { segment } = sent;
    const connection = this.connectionOf(segment);
    const past = sent.at - this.clock;
    if (past < line.from - TOLERANCE || past > line.to + TOLERANCE) return `Sent after ${past / 1e6} s`;
    if (connection.number !== (number || this.connections.length)) return "On another connection";
    const seq = (segment.seq - connection.iss) >>> 0;
    if (segment.flags !== s.flags || seq !== s.seq || segment.payload.length !== s.length) return "Not this";
    const ack = segment.flags & ACK ? (segment.ack - this.numbers.target) >>> 0 : segment.ack;
    if (ack !== (s.ack ?? 0)) return `Its ack is ${ack}`;
    if (s.window !== null && segment.window !== s.window) return `Its window is ${segment.window}`;
    const options = decodeOptions(segment.optionBytes, this.numbers.target);
    if (!optionsMatch(s.options, options)) return `Its options are <${options}>`;
    const data = s.data ?? s.seq;
    const other = segment.payload.findIndex((byte, i) => byte !== byteAt(data + i));
    return other < 0 ? "" : `Payload byte ${other} is not the client's byte ${data + other}`;
  }

  /** A segment as a script would have it, with its time. */
  private show({ at, segment }: { at: number; segment: Segment }): string {
    const connection = this.connectionOf(segment);
    const seq = (segment.seq - connection.iss) >>> 0;
    const { length } = segment.payload;
    const ack = segment.flags & ACK ? ` ack ${(segment.ack - this.numbers.target) >>> 0}` : "";
    const options = decodeOptions(segment.optionBytes, this.numbers.target);
    return `+${(at - this.clock) / 1e6} >${connection.number} ${flagLetters(segment.flags)} ${seq}:${seq + length}(${length})${ack} win ${segment.window} <${options}>`;
  }

  private compareCounters(counters: [string, number][]): void {
    const wrong = counters.flatMap(([name, value]) => {
      const index = COUNTER[name as EngineCounter];
      if (index === undefined) throw new Error(`there is no counter "${name}"`);
      return this.counters[index] === value ? [] : [`${name} is ${this.counters[index]}`];
    });
    if (wrong.length > 0) throw new Error(wrong.join(", "));
  }

  /** The end of the run leaves nothing behind. */
  private end(): void {
    while (!this.engine.end(this.now)) this.batch.clear();
    this.engine.dispatch(this.now);
    const count = (name: EngineCounter): number => this.counters[COUNTER[name]]!;
    const left = (["turnsPending", "active", "memory"] as const).filter((name) => count(name) !== 0);
    const fault = faultOfBooks(this.counters) || left.map((name) => `${name} is ${count(name)}`).join(", ");
    if (fault !== "") throw new Error(`${this.script.name}: after the end ${fault}`);
  }
}

const EMPTY: ScriptSegment = {
  flags: 0,
  seq: 0,
  length: 0,
  ack: null,
  window: null,
  options: null,
  data: null,
  think: -1,
  isNew: false,
  isFar: false,
};
