/** A session with a protocol module: carries out what the module asks for by its Outlet, on the session's queue. */
import type { Outlet, ProtocolModule, ProtocolSession } from "../../protocol/module.ts";
import type { Context } from "../sessions/context.ts";
import { COUNTER } from "../sessions/counters.ts";
import {
  ACK_NUMBER,
  ASKED,
  LENGTH,
  MARKS,
  NEXT,
  PAUSED,
  PUSH,
  SEGMENT,
  SEQ,
  TAG_SHIFT,
  THINK,
  TURN_START,
} from "../sessions/segments.ts";
import {
  CLIENT_ISN,
  COPY,
  CURSOR,
  FLAGS,
  HEAD,
  NONE,
  PATH,
  QUEUED,
  ROW,
  SERVICE,
  SKIP_TURN,
  STREAMING,
  TAIL,
  TURNS,
} from "../sessions/table.ts";
import { reviseTurn } from "./stream.ts";
import { noteTurn } from "./target-close.ts";

/** Most bytes of one segment of the queue. */
const MOST_BYTES = 65536;

export class Attached implements Outlet {
  readonly session: ProtocolSession;
  /** Sequence number of the next byte of the queue. */
  end: number;
  /** Bytes before the next ones are missing: the next ones begin a request. */
  isFresh = true;
  /** Handed over: the client's bytes are sent as they were captured. */
  isPlain = false;
  /** Refused: nothing is sent any more. */
  isRefused = false;
  /** The connection is to be reset, and the requests that wait are to be dropped. */
  givesUp = false;
  /** There was no memory for what the module wrote. */
  overflowed = false;
  /** The module's own bytes that wait to be queued, in the order in which they will be sent. */
  readonly inserts: Uint8Array[] = [];
  /** The next bytes written are the first of a request. */
  private begins = false;
  /** The next bytes written wait until the module lets the request go on. */
  private pauses = false;
  private tag = 0;
  /** The captured segment that the module reads. */
  private source = NONE;
  /** No request of `source` was written yet: the first one gets the segment's think time. */
  private thinks = false;

  constructor(
    private readonly c: Context,
    private readonly s: number,
    readonly module: ProtocolModule,
  ) {
    this.end = (c.words[s * ROW + CLIENT_ISN]! + 1) | 0;
    this.session = module.open(this);
  }

  /** Whether the module decides about the session: it has neither handed it over nor refused it. */
  get isOn(): boolean {
    return !this.isPlain && !this.isRefused;
  }

  get service(): number {
    return this.c.words[this.s * ROW + SERVICE]!;
  }

  get copy(): number {
    return this.c.words[this.s * ROW + COPY]!;
  }

  get path(): number {
    return this.c.words[this.s * ROW + PATH]!;
  }

  get now(): number {
    return this.c.now;
  }

  /** Passes a captured segment to the module. */
  read(segment: number, isTurn: boolean): void {
    const { segments } = this.c;
    const from = segments.offset(segment);
    const to = from + segments.words[segment * SEGMENT + LENGTH]!;
    const isFresh = this.isFresh;
    this.isFresh = false;
    this.source = segment;
    this.thinks = true;
    const at = segment * SEGMENT;
    this.session.request(
      segments.memory(segment),
      from,
      to,
      isFresh,
      isTurn,
      segments.times[segment]!,
      segments.words[at + SEQ]!,
      segments.words[at + ACK_NUMBER]!,
    );
  }

  begin(tag: number): void {
    this.countCaptured();
    this.begins = true;
    this.pauses = false;
    this.tag = tag;
  }

  leaveOut(): void {
    this.countCaptured();
    this.c.words[this.s * ROW + TURNS]!--;
    this.c.words[this.s * ROW + FLAGS]! |= SKIP_TURN;
    this.begins = false;
    this.c.dropTurns(1, "protocol");
  }

  private countCaptured(): void {
    noteTurn(this.c, this.s);
    this.c.words[this.s * ROW + TURNS]!++;
    this.c.counters[COUNTER.turnsCaptured]!++;
    this.c.counters[COUNTER.turnsPending]!++;
  }

  write(bytes: Uint8Array, from: number, to: number): void {
    const { c } = this;
    const row = this.s * ROW;
    if (this.begins) c.words[row + FLAGS]! &= ~SKIP_TURN;
    else if (c.words[row + FLAGS]! & SKIP_TURN) return;
    else reviseTurn(c, this.s);
    for (; from < to && !this.overflowed; from += MOST_BYTES) {
      this.store(bytes, from, Math.min(MOST_BYTES, to - from));
    }
  }

  pause(): void {
    this.pauses = true;
  }

  private store(bytes: Uint8Array, from: number, length: number): void {
    const { segments, words, config } = this.c;
    const g = segments.words;
    const isOver = words[this.s * ROW + QUEUED]! + length > config.sessionBytes;
    const start = this.begins ? TURN_START | (this.tag << TAG_SHIFT) : 0;
    const marks = PUSH | start | (this.pauses ? PAUSED : 0);
    const stored = isOver ? NONE : segments.store(bytes, from, length, this.end, marks);
    if (stored === NONE) {
      this.overflowed = true;
      return;
    }
    const at = stored * SEGMENT;
    g[at + ACK_NUMBER] = g[this.source * SEGMENT + ACK_NUMBER]!;
    if (this.begins && this.thinks) {
      g[at + THINK] = g[this.source * SEGMENT + THINK]!;
      this.thinks = false;
    }
    segments.times[stored] = segments.times[this.source]!;
    this.begins = false;
    this.pauses = false;
    this.end = (this.end + length) | 0;
    words[this.s * ROW + QUEUED]! += length;
    enqueue(this.c, this.s, stored);
  }

  insert(bytes: Uint8Array): void {
    for (let from = 0; from < bytes.length; from += MOST_BYTES) {
      this.inserts.push(bytes.slice(from, from + MOST_BYTES));
    }
    this.c.makeReady(this.s);
  }

  replace(bytes: Uint8Array): void {
    const { segments, words: w } = this.c;
    const row = this.s * ROW;
    const g = segments.words;
    const old = w[row + CURSOR]!;
    const at = old * SEGMENT;
    const after = g[at + NEXT]!;
    let put = NONE;
    let last = NONE;
    for (let from = 0; from < bytes.length; from += MOST_BYTES) {
      // Only the first segment begins a request, and the module is not asked about the others again.
      const marks = from === 0 ? g[at + MARKS]! : PUSH | ASKED;
      const seq = (g[at + SEQ]! + from) | 0;
      const stored = segments.store(bytes, from, Math.min(MOST_BYTES, bytes.length - from), seq, marks);
      if (stored === NONE) {
        for (let one = put; one !== NONE && one !== after; ) {
          const next = g[one * SEGMENT + NEXT]!;
          segments.release(one);
          one = next;
        }
        throw new Error("no memory for a request");
      }
      for (const field of [ACK_NUMBER, THINK]) g[stored * SEGMENT + field] = g[at + field]!;
      segments.times[stored] = segments.times[old]!;
      g[stored * SEGMENT + NEXT] = after;
      if (put === NONE) put = stored;
      else g[last * SEGMENT + NEXT] = stored;
      last = stored;
    }
    const more = bytes.length - g[at + LENGTH]!;
    for (let next = after; next !== NONE; next = g[next * SEGMENT + NEXT]!) {
      g[next * SEGMENT + SEQ] = (g[next * SEGMENT + SEQ]! + more) | 0;
    }
    this.end = (this.end + more) | 0;
    w[row + QUEUED]! += more;
    let before = w[row + HEAD]!;
    if (before === old) {
      w[row + HEAD] = put;
    } else {
      while (g[before * SEGMENT + NEXT] !== old) before = g[before * SEGMENT + NEXT]!;
      g[before * SEGMENT + NEXT] = put;
    }
    w[row + CURSOR] = put;
    if (w[row + TAIL] === old) w[row + TAIL] = last;
    segments.release(old);
  }

  wake(): void {
    this.c.makeReady(this.s);
  }

  handOver(waiting: boolean): void {
    this.isPlain = true;
    if (!waiting) this.c.words[this.s * ROW + FLAGS]! |= STREAMING;
    this.c.makeReady(this.s);
  }

  refuse(): void {
    this.isRefused = true;
    this.giveUp();
  }

  giveUp(): void {
    this.givesUp = true;
    this.c.makeReady(this.s);
  }
}

/** Appends a segment to a session's queue. */
export function enqueue(c: Context, s: number, segment: number): void {
  const w = c.words;
  const row = s * ROW;
  c.segments.words[segment * SEGMENT + NEXT] = NONE;
  if (w[row + HEAD] === NONE) w[row + HEAD] = segment;
  else c.segments.words[w[row + TAIL]! * SEGMENT + NEXT] = segment;
  w[row + TAIL] = segment;
  if (w[row + CURSOR] === NONE) w[row + CURSOR] = segment;
}
