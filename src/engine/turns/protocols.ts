/**
 * Sessions with a protocol module (src/protocol/module.ts). The module reads the client's stream and writes the queue of
 * requests that the sender takes from. The queue has sequence numbers of its own, because a request may become longer or
 * shorter, or be left out. Without modules `Context.protocols` is null, and nothing of this is used.
 */
import {
  ADMITTED,
  HOLD,
  type Login,
  type ProtocolModule,
  UNDECIDED,
  type Verdict,
} from "../../protocol/module.ts";
import type { Packet } from "../../wire/packet.ts";
import { FIN, RST, SYN } from "../../wire/tcp.ts";
import type { Context } from "../sessions/context.ts";
import { COUNTER } from "../sessions/counters.ts";
import type { Protocols } from "../sessions/protocols.ts";
import {
  ASKED,
  BEGUN,
  LENGTH,
  MARKS,
  NEXT,
  PREFIX,
  PUSH,
  SEGMENT,
  SEQ,
  TAG_SHIFT,
  TURN_START,
} from "../sessions/segments.ts";
import {
  CLIENT_ISN,
  CURSOR,
  FLAGS,
  HANDSHAKEN,
  HAS_DATA,
  HEAD,
  LAST_ACK,
  NONE,
  PROGRESS_AT,
  QUEUED,
  ROW,
  SEQ_DELTA,
  SERVICE,
  SND_MAX,
  SND_NXT,
  SND_UNA,
  TAIL,
  TIMES,
} from "../sessions/table.ts";
import { Attached, enqueue } from "./attached.ts";
import { beginStream, countTurn, isNews } from "./stream.ts";

/** All sessions with a module. What a module throws ends the copying of its session and nothing else. */
export class SessionProtocols implements Protocols {
  private readonly attached: (Attached | undefined)[] = [];

  /** `modules`: by service. */
  constructor(
    private readonly c: Context,
    private readonly modules: readonly (ProtocolModule | null)[],
  ) {}

  endOf(s: number): number | undefined {
    return this.attached[s]?.end;
  }

  owns(s: number): boolean {
    const one = this.attached[s];
    return one?.isOn === true;
  }

  /** The session's module, made on first use; undefined if its service has none. */
  private of(s: number): Attached | undefined {
    const one = this.attached[s];
    if (one !== undefined) return one;
    const module = this.modules[this.c.words[s * ROW + SERVICE]!];
    if (!module) return undefined;
    const made = new Attached(this.c, s, module);
    this.attached[s] = made;
    return made;
  }

  take(s: number, segment: number, ack: number): boolean {
    const one = this.of(s);
    if (one === undefined) return false;
    const { c } = this;
    const w = c.words;
    const g = c.segments.words;
    const row = s * ROW;
    const at = segment * SEGMENT;
    if (one.isPlain) {
      if (countTurn(c, s, ack, g[at + MARKS]!)) g[at + MARKS]! |= TURN_START;
      g[at + SEQ] = one.end;
      one.end = (one.end + g[at + LENGTH]!) | 0;
      enqueue(c, s, segment);
      return true;
    }
    const flags = w[row + FLAGS]!;
    const isLater = !(flags & HANDSHAKEN) && isNews(c, s, ack, g[at + MARKS]!);
    const isFirst = !(flags & HAS_DATA);
    const isTurn = isFirst || isLater;
    const isGreeted = isFirst && (flags & HANDSHAKEN) !== 0 && isNews(c, s, ack, g[at + MARKS]!);
    const handshake = w[row + LAST_ACK]!;
    w[row + FLAGS] = (flags | HAS_DATA) & ~HANDSHAKEN;
    if (isTurn || flags & HANDSHAKEN) w[row + LAST_ACK] = ack;
    try {
      if (one.isOn) one.read(segment, isTurn);
    } catch (error) {
      this.fail(one, error);
    }
    // A session that is none for the module from its first bytes on is one without a module: see `append`.
    if (isFirst && one.isPlain) beginStream(c, s, segment, ack, isGreeted ? handshake : null);
    w[row + QUEUED]! -= g[at + LENGTH]!;
    c.segments.release(segment);
    return true;
  }

  isRefused(s: number): boolean {
    return this.attached[s]?.isRefused === true;
  }

  takesBack(s: number): boolean {
    const one = this.attached[s];
    if (!one?.givesUp) return false;
    one.givesUp = false;
    return true;
  }

  hasOverflowed(s: number): boolean {
    const one = this.attached[s];
    if (!one?.overflowed) return false;
    one.overflowed = false;
    return true;
  }

  loseSync(s: number): void {
    const one = this.attached[s];
    if (one !== undefined) one.isFresh = true;
  }

  response(s: number, packet: Packet, skip: number): void {
    const one = this.attached[s];
    if (!one?.isOn) return;
    const from = packet.payload + skip;
    const to = Math.max(from, Math.min(packet.end, packet.payload + packet.length));
    try {
      one.session.response(packet.bytes, from, to, packet.length - skip - (to - from), packet.time);
    } catch (error) {
      this.fail(one, error);
    }
  }

  opened(s: number, seq: number): void {
    const one = this.of(s);
    if (!one?.isOn) return;
    try {
      one.session.productionOpened?.(seq | 0);
    } catch (error) {
      this.fail(one, error);
    }
  }

  production(s: number, packet: Packet): void {
    // A server that speaks first does so before the client has sent anything.
    const one = this.of(s);
    if (one === undefined || one.isRefused) return;
    const { bytes, payload, seq, ack, time, length, flags } = packet;
    const to = Math.min(packet.end, payload + length);
    const { session } = one;
    try {
      if (flags & SYN) {
        if (((ack - 1) | 0) === this.c.words[s * ROW + CLIENT_ISN]) session.productionOpened?.((seq + 1) | 0);
        return;
      }
      if (length > 0)
        session.production?.(bytes, payload, to, length - (to - payload), seq | 0, ack | 0, time);
      if (flags & (FIN | RST)) session.productionEnded?.((seq + length) | 0, (flags & RST) !== 0);
    } catch (error) {
      this.fail(one, error);
    }
  }

  login(s: number, segment: number): Login {
    const one = this.attached[s];
    if (!one?.isOn || !one.session.login) return ADMITTED;
    try {
      return one.session.login(this.tagOf(segment));
    } catch (error) {
      this.fail(one, error);
      return UNDECIDED;
    }
  }

  undecided(s: number): void {
    const one = this.attached[s];
    if (!one?.isOn) return;
    try {
      one.session.undecided?.();
    } catch (error) {
      this.fail(one, error);
    }
  }

  mayConnect(s: number): boolean {
    const one = this.of(s);
    if (!one?.isOn || !one.session.mayConnect) return true;
    try {
      return one.session.mayConnect();
    } catch (error) {
      this.fail(one, error);
      return false;
    }
  }

  mayBegin(s: number, segment: number): boolean {
    const one = this.attached[s]!;
    if (one.inserts.length > 0) return false;
    try {
      return one.session.mayBegin(this.tagOf(segment));
    } catch (error) {
      this.fail(one, error);
      return false;
    }
  }

  standsAlone(s: number, segment: number): boolean {
    const one = this.attached[s]!;
    if (!one.session.standsAlone) return false;
    const g = this.c.segments.words;
    let next = g[segment * SEGMENT + NEXT]!;
    while (next !== NONE && !(g[next * SEGMENT + MARKS]! & TURN_START)) next = g[next * SEGMENT + NEXT]!;
    try {
      return one.session.standsAlone(this.tagOf(segment), next === NONE);
    } catch (error) {
      this.fail(one, error);
      return false;
    }
  }

  move(s: number, to: number, segment: number): void {
    const tag = this.tagOf(segment);
    this.attached[s]?.session.movedAway?.(tag);
    this.of(to)?.session.movedHere?.(tag);
  }

  waitsForever(s: number): boolean {
    return this.attached[s]!.module.waitsForever;
  }

  idleTimeout(s: number): number {
    const { idleTimeout } = this.c.config;
    const one = this.attached[s];
    return one?.isOn ? Math.max(idleTimeout, one.module.keptFor) : idleTimeout;
  }

  begin(s: number, segment: number): Verdict {
    const one = this.attached[s]!;
    const { segments, now } = this.c;
    const at = segment * SEGMENT;
    const from = segments.offset(segment);
    const to = from + segments.words[at + LENGTH]!;
    const again = (segments.words[at + MARKS]! & ASKED) !== 0;
    let verdict: Verdict = HOLD;
    try {
      verdict = one.session.begin(this.tagOf(segment), segments.memory(segment), from, to, again, now);
    } catch (error) {
      this.fail(one, error);
    }
    const cursor = this.c.words[s * ROW + CURSOR]!;
    if (verdict !== HOLD) segments.words[cursor * SEGMENT + MARKS]! |= ASKED;
    return verdict;
  }

  mayGoOn(s: number): boolean {
    const one = this.attached[s];
    if (!one?.isOn || !one.session.mayGoOn) return true;
    try {
      return one.session.mayGoOn();
    } catch (error) {
      this.fail(one, error);
      return false;
    }
  }

  more(s: number, segment: number): void {
    const one = this.attached[s];
    const { segments } = this.c;
    const marks = segments.words[segment * SEGMENT + MARKS]!;
    if (!one?.isOn || !one.session.more || marks & (ASKED | PREFIX)) return;
    segments.words[segment * SEGMENT + MARKS] = marks | ASKED;
    const from = segments.offset(segment);
    const to = from + segments.words[segment * SEGMENT + LENGTH]!;
    try {
      one.session.more(segments.memory(segment), from, to);
    } catch (error) {
      this.fail(one, error);
    }
  }

  forget(s: number, segment: number): void {
    const one = this.attached[s];
    if (!one?.isOn) return;
    const { segments } = this.c;
    const marks = segments.words[segment * SEGMENT + MARKS]!;
    if ((marks & (TURN_START | BEGUN)) !== TURN_START) return;
    const again = (marks & ASKED) !== 0;
    const from = segments.offset(segment);
    const to = from + segments.words[segment * SEGMENT + LENGTH]!;
    try {
      one.session.skipped(this.tagOf(segment), segments.memory(segment), from, to, again);
    } catch (error) {
      this.fail(one, error);
    }
  }

  isAnswered(s: number): boolean {
    const one = this.attached[s]!;
    if (one.inserts.length > 0) return false;
    try {
      return one.session.isAnswered();
    } catch (error) {
      this.fail(one, error);
      return true;
    }
  }

  isEndUnseen(s: number): boolean {
    const one = this.attached[s];
    if (!one?.isOn || !one.session.isEndUnseen) return false;
    try {
      return one.session.isEndUnseen();
    } catch (error) {
      this.fail(one, error);
      return false;
    }
  }

  targetEnded(s: number, isReset: boolean): void {
    const one = this.attached[s];
    if (!one?.isOn) return;
    try {
      one.session.targetEnded?.(isReset);
    } catch (error) {
      this.fail(one, error);
    }
  }

  connected(s: number): void {
    const one = this.of(s);
    if (!one?.isOn) return;
    try {
      one.session.connected();
    } catch (error) {
      this.fail(one, error);
    }
  }

  disconnected(s: number): void {
    const one = this.attached[s];
    if (one === undefined) return;
    one.inserts.length = 0;
    if (!one.isOn) return;
    try {
      one.session.disconnected();
    } catch (error) {
      this.fail(one, error);
    }
  }

  close(s: number): void {
    const one = this.attached[s];
    this.attached[s] = undefined;
    try {
      one?.session.close();
    } catch (error) {
      this.fail(one!, error);
    }
  }

  place(s: number): boolean {
    const one = this.attached[s];
    if (one === undefined || one.inserts.length === 0) return true;
    const { c } = this;
    const w = c.words;
    const row = s * ROW;
    if (w[row + HEAD] !== w[row + CURSOR] || w[row + SND_UNA] !== w[row + SND_MAX]) return true;
    const g = c.segments.words;
    while (one.inserts.length > 0) {
      const bytes = one.inserts.pop()!;
      const next = w[row + HEAD]!;
      const first = next === NONE ? one.end : g[next * SEGMENT + SEQ]!;
      const prefix = c.segments.store(bytes, 0, bytes.length, (first - bytes.length) | 0, PREFIX | PUSH);
      if (prefix === NONE) return false;
      g[prefix * SEGMENT + NEXT] = next;
      if (next === NONE) w[row + TAIL] = prefix;
      w[row + HEAD] = prefix;
      w[row + CURSOR] = prefix;
      w[row + QUEUED]! += bytes.length;
      w[row + SEQ_DELTA] = (w[row + SND_NXT]! - g[prefix * SEGMENT + SEQ]!) | 0;
    }
    c.times[s * TIMES + PROGRESS_AT] = c.now;
    return true;
  }

  private tagOf(segment: number): number {
    return this.c.segments.words[segment * SEGMENT + MARKS]! >>> TAG_SHIFT;
  }

  private fail(one: Attached, error: unknown): void {
    if (!one.isRefused) this.c.counters[COUNTER.protocolFailures]!++;
    this.c.config.onProtocolFailure?.(one.module.name, error);
    one.refuse();
  }
}
