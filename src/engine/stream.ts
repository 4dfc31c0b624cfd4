/**
 * The client's side: captured segments become one ordered stream per session, cut into turns.
 *
 * A turn is what a client sends until it has heard back: data whose acknowledgement number is later than that of
 * the data before begins a new one.
 */
import type { Packet } from "../wire/packet.ts";
import { distance, PSH, SYN } from "../wire/tcp.ts";
import type { Context } from "./context.ts";
import { COUNTER } from "./counters.ts";
import { ACK_NUMBER, LENGTH, MARKS, NEXT, PUSH, SEGMENT, SEQ, TURN_START } from "./segments.ts";
import {
  CLIENT_END,
  CLIENT_FIN,
  CLIENT_ISN,
  CLIENT_RST,
  CURSOR,
  FIRST_ACK,
  FLAGS,
  GAP_AT,
  HANDSHAKEN,
  HAS_DATA,
  HEAD,
  HELD,
  LAST_ACK,
  MIDSTREAM,
  NONE,
  PROGRESS_AT,
  QUEUED,
  ROW,
  SHED,
  SKIP_TURN,
  STREAM_END,
  TAIL,
  TIMES,
  TURN_ACK,
  TURN_ANSWERED,
  TURN_COUNTED,
  TURN_OPEN,
  TURNS,
} from "./table.ts";

/** Further ahead than any window: not data of this connection. */
const MOST_AHEAD = 1 << 30;

/** us until a hole in the captured stream counts as lost: the client's own retransmissions may still fill it. */
const GAP_SPAN = 3_000_000;
/** us until it counts as lost when the client has gone on behind it: packets may be captured out of order. */
const REORDERING_SPAN = 100_000;

/** A session that was given up for memory goes on with its next turn once so little is in use. */
const RECOVERED_SHARE = 0.5;

/** What became of captured payload. */
export type Taken = "taken" | "repeated" | "stray" | "no memory";

/** Takes the payload of a captured packet (at least one byte); `first` is the sequence number of its first byte. */
export function takePayload(c: Context, s: number, packet: Packet, first: number): Taken {
  const w = c.words;
  const row = s * ROW;
  if (w[row + FLAGS]! & MIDSTREAM && !findTurn(c, s, packet)) return "taken";

  const length = Math.min(packet.length, packet.end - packet.payload);
  const ahead = distance(first, w[row + STREAM_END]!);
  if (ahead + length <= 0) return "repeated";
  if (ahead > MOST_AHEAD) return "stray";
  const skip = ahead < 0 ? -ahead : 0;
  const sessionBytes = w[row + QUEUED]! + length;
  const seq = (first + skip) | 0;
  const marks = packet.flags & (PSH | SYN) ? PUSH : 0;

  if (ahead <= 0 && isIgnored(c, s, packet.ack)) {
    w[row + STREAM_END] = (seq + length - skip) | 0;
    takeHeld(c, s);
    return "taken";
  }
  const segment =
    sessionBytes > c.config.sessionBytes
      ? NONE
      : c.segments.add(packet, packet.payload + skip, length - skip, seq, marks);
  if (segment === NONE) {
    if (ahead <= 0) {
      // The caller drops the turn; what comes of it from here on is its rest, not behind a gap.
      countTurn(c, s, packet.ack);
      w[row + STREAM_END] = (seq + length - skip) | 0;
    }
    return "no memory";
  }
  w[row + QUEUED]! += length - skip;
  if (ahead > 0) {
    hold(c, s, segment);
    return "taken";
  }
  append(c, s, segment);
  takeHeld(c, s);
  return "taken";
}

/**
 * A session seen from its middle: its stream begins with the first data that surely begins a turn, because the client
 * has acknowledged something since its last data. What comes before is one turn, dropped.
 */
function findTurn(c: Context, s: number, packet: Packet): boolean {
  const w = c.words;
  const row = s * ROW;
  const ack = packet.ack | 0;
  const known = (w[row + FLAGS]! & HAS_DATA) !== 0;
  const acknowledged = known && distance(ack, w[row + LAST_ACK]!) > 0;
  const follows = !known || distance(packet.seq, w[row + STREAM_END]!) >= 0;
  if (follows && (acknowledged || packet.think >= 0)) {
    // Its first turn is counted as one, whatever acknowledgement number it has.
    w[row + FLAGS]! &= ~(MIDSTREAM | HAS_DATA);
    w[row + CLIENT_ISN] = (packet.seq - 1) | 0;
    w[row + STREAM_END] = packet.seq | 0;
    return true;
  }
  if (!known) {
    c.counters[COUNTER.turnsCaptured]!++;
    c.counters[COUNTER.turnsPending]!++;
    c.dropTurns(1, "midstream");
  }
  if (follows) {
    w[row + FLAGS]! |= HAS_DATA;
    w[row + LAST_ACK] = ack;
    w[row + STREAM_END] = (packet.seq + packet.length) | 0;
  }
  return false;
}

function beginsTurn(c: Context, s: number, ack: number): boolean {
  const w = c.words;
  const row = s * ROW;
  const flags = w[row + FLAGS]!;
  if (!(flags & HAS_DATA)) return true;
  return !(flags & HANDSHAKEN) && distance(ack, w[row + LAST_ACK]!) > 0;
}

/** Counts the turn that data with this acknowledgement number begins, if it begins one; says whether it does. */
function countTurn(c: Context, s: number, ack: number): boolean {
  const w = c.words;
  const row = s * ROW;
  if (beginsTurn(c, s, ack)) {
    w[row + LAST_ACK] = ack | 0;
    w[row + FLAGS] = (w[row + FLAGS]! | HAS_DATA) & ~(SKIP_TURN | HANDSHAKEN);
    w[row + TURNS]!++;
    c.counters[COUNTER.turnsCaptured]!++;
    c.counters[COUNTER.turnsPending]!++;
    return true;
  }
  if (w[row + FLAGS]! & HANDSHAKEN) {
    w[row + LAST_ACK] = ack | 0;
    w[row + FLAGS]! &= ~HANDSHAKEN;
  }
  if (w[row + TURNS] === 0 && w[row + FLAGS]! & TURN_COUNTED) {
    // More of a turn that looked complete and answered: it is neither.
    if (w[row + FLAGS]! & TURN_ANSWERED) c.counters[COUNTER.turnsAnswered]!--;
    w[row + FLAGS]! &= ~(TURN_COUNTED | TURN_ANSWERED);
    w[row + TURNS] = 1;
    c.counters[COUNTER.turnsSent]!--;
    c.counters[COUNTER.turnsPending]!++;
  }
  return false;
}

/** Whether data that is next in order is not to be kept: the rest of a dropped turn, or a session over a bound. */
function isIgnored(c: Context, s: number, ack: number): boolean {
  const flags = c.words[s * ROW + FLAGS]!;
  if (!(flags & (SKIP_TURN | SHED))) return false;
  if (flags & SHED) {
    if (beginsTurn(c, s, ack) && c.segments.used < c.config.memory * RECOVERED_SHARE) {
      c.words[s * ROW + FLAGS]! &= ~SHED;
      return false;
    }
    if (countTurn(c, s, ack)) {
      c.words[s * ROW + TURNS]!--;
      c.dropTurns(1, "memory");
    }
    return true;
  }
  return !beginsTurn(c, s, ack);
}

function append(c: Context, s: number, segment: number): void {
  const w = c.words;
  const row = s * ROW;
  const g = c.segments.words;
  const at = segment * SEGMENT;
  const ack = g[at + ACK_NUMBER]!;
  const handshake = w[row + LAST_ACK]!;
  const isFirst = !(w[row + FLAGS]! & HAS_DATA);
  const isGreeted = isFirst && (w[row + FLAGS]! & HANDSHAKEN) !== 0 && distance(ack, handshake) > 0;
  if (countTurn(c, s, ack) && (!isFirst || isGreeted)) g[at + MARKS]! |= TURN_START;
  if (isFirst) w[row + FIRST_ACK] = isGreeted ? handshake : ack;
  if (isGreeted) awaitGreeting(c, s, handshake);
  w[row + STREAM_END] = (g[at + SEQ]! + g[at + LENGTH]!) | 0;
  g[at + NEXT] = NONE;
  if (w[row + HEAD] === NONE) w[row + HEAD] = segment;
  else g[w[row + TAIL]! * SEGMENT + NEXT] = segment;
  w[row + TAIL] = segment;
  if (w[row + CURSOR] === NONE) w[row + CURSOR] = segment;
}

/**
 * The client had acknowledged something of the server's before it sent anything: its first turn waits for the target's
 * greeting as for an answer. `handshake`: the acknowledgement number of the client's handshake.
 */
function awaitGreeting(c: Context, s: number, handshake: number): void {
  const row = s * ROW;
  c.words[row + FLAGS]! |= TURN_OPEN | TURN_COUNTED;
  c.words[row + TURN_ACK] = handshake;
  c.times[s * TIMES + PROGRESS_AT] = c.now;
}

/** Takes the client's pure ACK that ends its handshake: the server's first byte has the next number. */
export function takeHandshake(c: Context, s: number, packet: Packet): void {
  const row = s * ROW;
  const known = c.words[row + FLAGS]! & (HAS_DATA | HANDSHAKEN | MIDSTREAM);
  if (known !== 0 && known !== (HAS_DATA | HANDSHAKEN)) return;
  c.words[row + LAST_ACK] = packet.ack | 0;
  c.words[row + FLAGS]! ^= HANDSHAKEN;
}

/** Keeps a segment beyond a gap, ordered by sequence number; overlaps are cut when it is taken. */
function hold(c: Context, s: number, segment: number): void {
  const w = c.words;
  const row = s * ROW;
  const g = c.segments.words;
  const seq = g[segment * SEGMENT + SEQ]!;
  const isFirst = w[row + HELD] === NONE;
  let before = NONE;
  let after = w[row + HELD]!;
  while (after !== NONE && distance(g[after * SEGMENT + SEQ]!, seq) <= 0) {
    before = after;
    after = g[after * SEGMENT + NEXT]!;
  }
  g[segment * SEGMENT + NEXT] = after;
  if (before === NONE) w[row + HELD] = segment;
  else g[before * SEGMENT + NEXT] = segment;
  const at = s * TIMES + GAP_AT;
  if (isFirst) c.times[at] = c.now + GAP_SPAN;
  // The client has got an answer to what is held: the server has what is missing, nobody will send it again.
  const ack = g[segment * SEGMENT + ACK_NUMBER]!;
  if (before !== NONE && distance(ack, g[before * SEGMENT + ACK_NUMBER]!) > 0) {
    c.times[at] = Math.min(c.times[at]!, c.now + REORDERING_SPAN);
  }
  c.wheel.arm(s, c.times[at]!);
}

/** Begins to wait for bytes that are missing before the client's FIN or RST, when nothing else is held. */
export function awaitMissing(c: Context, s: number): void {
  const row = s * ROW;
  if (c.words[row + HELD] !== NONE || !hasGap(c, s)) return;
  c.times[s * TIMES + GAP_AT] = c.now + GAP_SPAN;
  c.wheel.arm(s, c.now + GAP_SPAN);
}

/** Whether something behind bytes that are missing was captured. */
export function hasGap(c: Context, s: number): boolean {
  const row = s * ROW;
  if (c.words[row + HELD] !== NONE) return true;
  const isEnded = (c.words[row + FLAGS]! & (CLIENT_FIN | CLIENT_RST)) !== 0;
  return isEnded && distance(c.words[row + CLIENT_END]!, c.words[row + STREAM_END]!) > 0;
}

/** Moves what is no longer beyond a gap into the stream. */
function takeHeld(c: Context, s: number): void {
  const w = c.words;
  const row = s * ROW;
  const g = c.segments.words;
  let segment = w[row + HELD]!;
  if (segment === NONE) return;
  while (segment !== NONE) {
    const at = segment * SEGMENT;
    const behind = -distance(g[at + SEQ]!, w[row + STREAM_END]!);
    if (behind < 0) break;
    const next = g[at + NEXT]!;
    if (behind >= g[at + LENGTH]!) {
      w[row + QUEUED]! -= g[at + LENGTH]!;
      c.segments.release(segment);
    } else {
      if (behind > 0) {
        w[row + QUEUED]! -= behind;
        c.segments.trimFront(segment, behind);
      }
      if (isIgnored(c, s, g[at + ACK_NUMBER]!)) {
        w[row + STREAM_END] = (g[at + SEQ]! + g[at + LENGTH]!) | 0;
        w[row + QUEUED]! -= g[at + LENGTH]!;
        c.segments.release(segment);
      } else {
        append(c, s, segment);
      }
    }
    segment = next;
  }
  w[row + HELD] = segment;
  c.times[s * TIMES + GAP_AT] = c.now + GAP_SPAN;
}

/**
 * Gives the missing bytes up: what is held goes into the stream from the first segment on that surely begins a turn,
 * what comes before is counted and forgotten. The caller has dropped the turns before the gap. False if there is none.
 */
export function skipGap(c: Context, s: number): boolean {
  const w = c.words;
  const row = s * ROW;
  const g = c.segments.words;
  let before = NONE;
  let segment = w[row + HELD]!;
  for (; segment !== NONE; before = segment, segment = g[segment * SEGMENT + NEXT]!) {
    if (before === NONE) continue;
    const follows = distance(g[segment * SEGMENT + SEQ]!, segmentEnd(c, before)) === 0;
    if (follows && distance(g[segment * SEGMENT + ACK_NUMBER]!, g[before * SEGMENT + ACK_NUMBER]!) > 0) break;
  }
  if (before !== NONE) g[before * SEGMENT + NEXT] = NONE;
  releaseHeld(c, s);
  c.dropTurns(w[row + TURNS]!, "gap");
  w[row + TURNS] = 0;
  w[row + HELD] = segment;
  takeHeld(c, s);
  return segment !== NONE;
}

/** Forgets the first segment in order; the cursor moves on with it. */
export function releaseHead(c: Context, s: number): void {
  const w = c.words;
  const row = s * ROW;
  const segment = w[row + HEAD]!;
  const next = c.segments.words[segment * SEGMENT + NEXT]!;
  w[row + QUEUED]! -= c.segments.words[segment * SEGMENT + LENGTH]!;
  if (w[row + CURSOR] === segment) w[row + CURSOR] = next;
  w[row + HEAD] = next;
  if (next === NONE) w[row + TAIL] = NONE;
  c.segments.release(segment);
}

/** Counts the turns that lie beyond the gap and forgets their data; the stream goes on behind them. */
export function releaseHeld(c: Context, s: number): void {
  const w = c.words;
  const row = s * ROW;
  let segment = w[row + HELD]!;
  while (segment !== NONE) {
    const g = c.segments.words;
    const next = g[segment * SEGMENT + NEXT]!;
    countTurn(c, s, g[segment * SEGMENT + ACK_NUMBER]!);
    if (distance(segmentEnd(c, segment), w[row + STREAM_END]!) > 0)
      w[row + STREAM_END] = segmentEnd(c, segment);
    w[row + QUEUED]! -= g[segment * SEGMENT + LENGTH]!;
    c.segments.release(segment);
    segment = next;
  }
  w[row + HELD] = NONE;
}

/** The client's sequence number behind a segment. */
export function segmentEnd(c: Context, segment: number): number {
  const g = c.segments.words;
  return (g[segment * SEGMENT + SEQ]! + g[segment * SEGMENT + LENGTH]!) | 0;
}
