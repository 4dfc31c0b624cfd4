/**
 * SYNs of clients whose handshake was not completed yet (production's SYN-RECEIVED, RFC 9293 section 3.3.2). Anybody can send
 * them from any address, so they cost no session: a table of fixed size in typed arrays, from which the oldest goes when it is
 * full. A flow may have several with different numbers: production may answer each with a SYN cookie.
 */
import { copyBytes } from "../../wire/copy.ts";
import { Packet } from "../../wire/packet.ts";
import { distance, parseOptions, SYN, type TcpOptions } from "../../wire/tcp.ts";
import { COUNTER } from "./counters.ts";
import { mix } from "./flows.ts";
import { MP_CAPABLE, MP_JOIN, multipathSubtype } from "./mptcp.ts";
import { LENGTH, SEGMENT, type Segments } from "./segments.ts";
import { CLIENT_ADDRESS, CLIENT_PORTS, NONE } from "./table.ts";

/** Most SYNs that are remembered: those of a second, at many times the rate of a busy service. */
export const MOST_HALF_OPEN = 65_536;
/** Most of them of one flow. */
const MOST_OF_FLOW = 4;
/** us for which one is remembered: longer than Linux repeats its SYN-ACK (tcp_synack_retries 5: 63 s). */
const HALF_OPEN_SPAN = 75_000_000;
/** Bytes after the SYN within which the first captured data of its connection is. */
const FIRST_DATA = 1 << 30;
/** The share of all memory that data in SYNs may take. */
const DATA_SHARE = 1 / 16;

// A row: the flow as in the session table (CLIENT_ADDRESS to CLIENT_PORTS), then:
const FLOW = CLIENT_PORTS + 1;
const SERVICE = 9;
const ISN = 10;
/** MSS, window scale + 1 (0: no such option) from bit 16, SACK_PERMITTED, HAS_TIMESTAMPS, IS_SIGNED, IS_MULTIPATH, JOINS. */
const OPTIONS = 11;
/** Bytes of data in the SYN (TCP Fast Open), and the segment that has them, or NONE. */
const DATA_LENGTH = 12;
const DATA = 13;
/** Next row of the same hash bucket. */
const CHAIN = 14;
const OLDER = 15;
const NEWER = 16;
/** The value of its timestamp. */
const TIMESTAMP = 17;
/** The number of the server's first byte; known if HAS_ANSWER is set in OPTIONS. */
const SERVER_SEQ = 18;
const ROW = 19;

const SACK_PERMITTED = 1 << 21;
const HAS_TIMESTAMPS = 1 << 22;
const IS_SIGNED = 1 << 23;
const IS_MULTIPATH = 1 << 24;
const JOINS = 1 << 25;
const HAS_ANSWER = 1 << 26;

export class HalfOpen {
  /** SYNs in the table. */
  count = 0;
  /** What `take` has removed: the SYN's service, number and options, and its data as a packet. */
  readonly syn = {
    isn: 0,
    time: 0,
    mss: 0,
    windowScale: -1,
    sackPermitted: false,
    hasTimestamps: false,
    tsval: 0,
    isSigned: false,
    /** Whether it has MP_CAPABLE, or MP_JOIN (RFC 8684). */
    isMultipath: false,
    joins: false,
    /** Whether production's SYN-ACK was captured, and the number of its first byte. */
    isAnswered: false,
    serverSeq: 0,
  };
  readonly packet = new Packet(new Uint8Array(new ArrayBuffer(65_536)));
  private readonly rows = new Int32Array(MOST_HALF_OPEN * ROW);
  /** By row: when it was taken, and the time of its packet; us. */
  private readonly takenAt = new Float64Array(MOST_HALF_OPEN);
  private readonly sentAt = new Float64Array(MOST_HALF_OPEN);
  private readonly heads = new Int32Array(MOST_HALF_OPEN).fill(NONE);
  private oldest = NONE;
  private newest = NONE;
  private free = NONE;
  private fresh = 0;
  private bytes = 0;
  private readonly mostBytes: number;

  /** `memory`: bytes of `segments`. `seed`: any number; makes the hash one that nobody else can foresee. */
  constructor(
    private readonly segments: Segments,
    private readonly counters: Float64Array,
    private readonly options: TcpOptions,
    memory: number,
    private readonly seed: number,
  ) {
    this.mostBytes = memory * DATA_SHARE;
    this.packet.bytes[13] = SYN;
  }

  /** Whether the SYN with this number is in the table; `key`: the flow, as in the session table. */
  has(key: Int32Array, isn: number): boolean {
    for (let row = this.first(key); row !== NONE; row = this.rows[row * ROW + CHAIN]!) {
      if (this.rows[row * ROW + ISN] === isn && this.isOf(row, key)) return true;
    }
    return false;
  }

  /** Whether any SYN of the flow is in the table. */
  hasFlow(key: Int32Array): boolean {
    for (let row = this.first(key); row !== NONE; row = this.rows[row * ROW + CHAIN]!) {
      if (this.isOf(row, key)) return true;
    }
    return false;
  }

  /**
   * The SYN of a flow that a packet of the client follows, or NONE. `seq`: the packet's sequence number, which is that after the
   * SYN, or after its data. `isNear`: data that comes later in the stream will do too.
   */
  find(key: Int32Array, seq: number, isNear: boolean): number {
    let found = NONE;
    let least = FIRST_DATA;
    for (let row = this.first(key); row !== NONE; row = this.rows[row * ROW + CHAIN]!) {
      if (!this.isOf(row, key)) continue;
      const ahead = distance(seq, this.rows[row * ROW + ISN]! + 1);
      if (ahead === 0 || ahead === this.rows[row * ROW + DATA_LENGTH]) return row;
      if (!isNear || ahead < 0 || ahead >= least) continue;
      least = ahead;
      found = row;
    }
    return found;
  }

  /** The SYN of a flow that production acknowledges with `ack`, and nothing after it, or NONE. */
  findAnswered(key: Int32Array, ack: number): number {
    for (let row = this.first(key); row !== NONE; row = this.rows[row * ROW + CHAIN]!) {
      const ahead = distance(ack, this.rows[row * ROW + ISN]! + 1);
      if ((ahead === 0 || ahead === this.rows[row * ROW + DATA_LENGTH]) && this.isOf(row, key)) return row;
    }
    return NONE;
  }

  /** Production has answered the SYN of a row: `seq` is the number of its first byte. */
  answer(row: number, seq: number): void {
    this.rows[row * ROW + SERVER_SEQ] = seq;
    this.rows[row * ROW + OPTIONS]! |= HAS_ANSWER;
  }

  /** Remembers a SYN of the flow `key`, which is not in the table. `now`: us. */
  add(key: Int32Array, packet: Packet, now: number): void {
    this.limitFlow(key);
    if (this.free === NONE && this.fresh === MOST_HALF_OPEN) this.forget(this.oldest);
    const { rows } = this;
    const row = this.free !== NONE ? this.free : this.fresh++;
    const at = row * ROW;
    if (row === this.free) this.free = rows[at + CHAIN]!;
    for (let i = CLIENT_ADDRESS; i < FLOW; i++) rows[at + i] = key[i]!;
    rows[at + SERVICE] = packet.index;
    rows[at + ISN] = packet.seq;
    rows[at + OPTIONS] = this.optionsOf(packet);
    rows[at + TIMESTAMP] = this.options.tsval;
    rows[at + DATA_LENGTH] = packet.length;
    rows[at + DATA] = NONE;
    this.takenAt[row] = now;
    this.sentAt[row] = packet.time;
    const bucket = this.bucket(key);
    rows[at + CHAIN] = this.heads[bucket]!;
    this.heads[bucket] = row;
    rows[at + OLDER] = this.newest;
    rows[at + NEWER] = NONE;
    if (this.newest === NONE) this.oldest = row;
    else rows[this.newest * ROW + NEWER] = row;
    this.newest = row;
    this.count++;
    if (packet.length > 0) this.keepData(row, packet);
  }

  /** Takes a SYN out of the table, whose handshake was completed: sets `syn` and `packet`. */
  take(row: number): void {
    const { rows, syn, packet } = this;
    const at = row * ROW;
    const options = rows[at + OPTIONS]!;
    syn.isn = rows[at + ISN]!;
    syn.time = this.sentAt[row]!;
    syn.mss = options & 0xffff;
    syn.windowScale = ((options >>> 16) & 31) - 1;
    syn.sackPermitted = (options & SACK_PERMITTED) !== 0;
    syn.hasTimestamps = (options & HAS_TIMESTAMPS) !== 0;
    syn.tsval = rows[at + TIMESTAMP]!;
    syn.isSigned = (options & IS_SIGNED) !== 0;
    syn.isMultipath = (options & IS_MULTIPATH) !== 0;
    syn.joins = (options & JOINS) !== 0;
    syn.isAnswered = (options & HAS_ANSWER) !== 0;
    syn.serverSeq = rows[at + SERVER_SEQ]!;
    packet.index = rows[at + SERVICE]!;
    packet.time = syn.time;
    packet.length = rows[at + DATA_LENGTH]!;
    packet.payload = HEADER;
    packet.end = HEADER;
    const data = rows[at + DATA]!;
    if (data !== NONE) {
      const length = this.segments.words[data * SEGMENT + LENGTH]!;
      copyBytes(this.segments.memory(data), this.segments.offset(data), length, packet.bytes, HEADER);
      packet.end += length;
    }
    this.remove(row);
  }

  /** Gives a SYN up that no handshake follows, and counts it. */
  forget(row: number): void {
    this.remove(row);
    this.counters[COUNTER.halfOpen]!++;
  }

  /** Forgets the SYNs whose time is over. `now`: us. */
  expire(now: number): void {
    while (this.oldest !== NONE && this.takenAt[this.oldest]! + HALF_OPEN_SPAN <= now)
      this.forget(this.oldest);
  }

  /** Forgets all. */
  clear(): void {
    while (this.oldest !== NONE) this.forget(this.oldest);
  }

  private remove(row: number): void {
    const { rows } = this;
    const at = row * ROW;
    const bucket = this.bucketOfRow(row);
    if (this.heads[bucket] === row) {
      this.heads[bucket] = rows[at + CHAIN]!;
    } else {
      let before = this.heads[bucket]!;
      while (rows[before * ROW + CHAIN] !== row) before = rows[before * ROW + CHAIN]!;
      rows[before * ROW + CHAIN] = rows[at + CHAIN]!;
    }
    const older = rows[at + OLDER]!;
    const newer = rows[at + NEWER]!;
    if (older === NONE) this.oldest = newer;
    else rows[older * ROW + NEWER] = newer;
    if (newer === NONE) this.newest = older;
    else rows[newer * ROW + OLDER] = older;
    const data = rows[at + DATA]!;
    if (data !== NONE) {
      this.bytes -= this.segments.words[data * SEGMENT + LENGTH]!;
      this.segments.release(data);
    }
    rows[at + CHAIN] = this.free;
    this.free = row;
    this.count--;
  }

  /** Keeps the data of a SYN, if the capture has all of it; the oldest SYNs go if there is too much. */
  private keepData(row: number, packet: Packet): void {
    const length = packet.end - packet.payload;
    if (length < packet.length || HEADER + length > this.packet.bytes.length) return;
    while (this.bytes + length > this.mostBytes && this.oldest !== row) this.forget(this.oldest);
    const data = this.segments.add(packet, packet.payload, length, packet.seq + 1, 0);
    if (data === NONE) return;
    this.rows[row * ROW + DATA] = data;
    this.bytes += length;
  }

  /** Forgets the oldest SYN of a flow that has as many as it may have. */
  private limitFlow(key: Int32Array): void {
    let found = 0;
    let last = NONE;
    for (let row = this.first(key); row !== NONE; row = this.rows[row * ROW + CHAIN]!) {
      if (!this.isOf(row, key)) continue;
      found++;
      last = row;
    }
    if (found >= MOST_OF_FLOW) this.forget(last);
  }

  private optionsOf(packet: Packet): number {
    const { options } = this;
    parseOptions(packet, options);
    const subtype = options.multipath > 0 ? multipathSubtype(packet, options.multipath) : NONE;
    const flags =
      (options.sackPermitted ? SACK_PERMITTED : 0) |
      (options.hasTimestamps ? HAS_TIMESTAMPS : 0) |
      (options.isSigned ? IS_SIGNED : 0) |
      (subtype === MP_CAPABLE ? IS_MULTIPATH : 0) |
      (subtype === MP_JOIN ? JOINS : 0);
    return options.mss | ((options.windowScale + 1) << 16) | flags;
  }

  private isOf(row: number, key: Int32Array): boolean {
    let i = FLOW - 1;
    while (i >= 0 && this.rows[row * ROW + i] === key[i]) i--;
    return i < 0;
  }

  /** The first row of the flow's bucket; the newest is first. */
  private first(key: Int32Array): number {
    return this.count === 0 ? NONE : this.heads[this.bucket(key)]!;
  }

  private bucket(key: Int32Array): number {
    return this.bucketAt(key, 0);
  }

  private bucketOfRow(row: number): number {
    return this.bucketAt(this.rows, row * ROW);
  }

  private bucketAt(words: Int32Array, at: number): number {
    let hash = this.seed;
    for (let i = at; i < at + FLOW; i++) hash = mix(hash ^ words[i]!);
    return hash & (MOST_HALF_OPEN - 1);
  }
}

/** Bytes before the data in `packet`: a TCP header. */
const HEADER = 20;
