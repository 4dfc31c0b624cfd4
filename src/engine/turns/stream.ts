/**
 * The client's stream: captured segments in order, cut into turns.
 *
 * A turn is what a client sends until it has heard back: data whose acknowledgement number is later than that of
 * the data before begins a new one. The client may have heard anything up to 4 GiB, so that the number may seem to be earlier: only
 * of data that was captured out of order it is.
 */
import type { Packet } from "../../wire/packet.ts";
import { distance } from "../../wire/tcp.ts";
import type { Context } from "../sessions/context.ts";
import { COUNTER, type DropReason } from "../sessions/counters.ts";
import {
  ACK_NUMBER,
  HELD_BACK,
  LENGTH,
  MARKS,
  NEXT,
  SEGMENT,
  SEQ,
  TURN_START,
} from "../sessions/segments.ts";
import {
  CURSOR,
  FIRST_ACK,
  FLAGS,
  HANDSHAKEN,
  HAS_DATA,
  HEAD,
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
} from "../sessions/table.ts";
import { recognize } from "./multiplexed.ts";
import { lookForSecured } from "./secured.ts";
import { countSent, noteTurn } from "./target-close.ts";

/** A session that was given up for lack of memory continues with its next turn when less than this share is in use. */
const RECOVERED_SHARE = 0.5;

/** Whether data with this acknowledgement number begins a turn. `marks`: those of its segment (HELD_BACK). */
function beginsTurn(c: Context, s: number, ack: number, marks: number): boolean {
  const flags = c.words[s * ROW + FLAGS]!;
  if (!(flags & HAS_DATA)) return true;
  return !(flags & HANDSHAKEN) && isNews(c, s, ack, marks);
}

/** Whether data with this acknowledgement number tells that the client has heard something since the data before. */
export function isNews(c: Context, s: number, ack: number, marks: number): boolean {
  const ahead = distance(ack, c.words[s * ROW + LAST_ACK]!);
  return marks & HELD_BACK ? ahead > 0 : ahead !== 0;
}

/** Whether the client has heard something between two segments whose bytes follow each other. */
export function heardBetween(c: Context, first: number, second: number): boolean {
  const g = c.segments.words;
  const ahead = distance(g[second * SEGMENT + ACK_NUMBER]!, g[first * SEGMENT + ACK_NUMBER]!);
  return ahead > 0 || (ahead < 0 && c.segments.times[second]! > c.segments.times[first]!);
}

/** Counts the turn that data with this acknowledgement number begins; false if it begins none. `marks`: see `isNews`. */
export function countTurn(c: Context, s: number, ack: number, marks: number): boolean {
  const w = c.words;
  const row = s * ROW;
  if (beginsTurn(c, s, ack, marks)) {
    w[row + LAST_ACK] = ack | 0;
    w[row + FLAGS] = (w[row + FLAGS]! | HAS_DATA) & ~(SKIP_TURN | HANDSHAKEN);
    noteTurn(c, s);
    w[row + TURNS]!++;
    c.counters[COUNTER.turnsCaptured]!++;
    c.counters[COUNTER.turnsPending]!++;
    return true;
  }
  if (w[row + FLAGS]! & HANDSHAKEN) {
    w[row + LAST_ACK] = ack | 0;
    w[row + FLAGS]! &= ~HANDSHAKEN;
  }
  reviseTurn(c, s);
  return false;
}

/**
 * More of the last captured turn has come: if the turn was counted as sent and answered, that is undone. One that was dropped
 * (SKIP_TURN) was not: what is counted then is the turn before it, or the greeting that it waited for.
 */
export function reviseTurn(c: Context, s: number): void {
  const w = c.words;
  const row = s * ROW;
  if (w[row + TURNS] !== 0 || (w[row + FLAGS]! & (TURN_COUNTED | SKIP_TURN)) !== TURN_COUNTED) return;
  if (w[row + FLAGS]! & TURN_ANSWERED) c.counters[COUNTER.turnsAnswered]!--;
  w[row + FLAGS]! &= ~(TURN_COUNTED | TURN_ANSWERED);
  w[row + TURNS] = 1;
  countSent(c, s, -1);
}

/** Whether data that is next in order is not kept: the rest of a dropped turn, or a session that is SHED or refused. */
export function isIgnored(c: Context, s: number, ack: number, marks: number): boolean {
  const flags = c.words[s * ROW + FLAGS]!;
  if (c.protocols !== null) {
    if (c.protocols.isRefused(s)) return ignoreTurn(c, s, ack, marks, "protocol");
    // A module sees all bytes, also those of a dropped turn: it finds the next request in them.
    if (c.protocols.owns(s) && !(flags & SHED)) return false;
  }
  if (!(flags & (SKIP_TURN | SHED))) return false;
  if (flags & SHED) {
    if (beginsTurn(c, s, ack, marks) && c.segments.used < c.config.memory * RECOVERED_SHARE) {
      c.words[s * ROW + FLAGS]! &= ~SHED;
      return false;
    }
    return ignoreTurn(c, s, ack, marks, "memory");
  }
  return !beginsTurn(c, s, ack, marks);
}

/** Counts the turn that data begins, if it begins one, as captured and dropped. */
export function ignoreTurn(c: Context, s: number, ack: number, marks: number, reason: DropReason): true {
  if (countTurn(c, s, ack, marks)) {
    c.words[s * ROW + TURNS]!--;
    c.dropTurns(1, reason);
  }
  return true;
}

/** Appends a segment that is next in order to the stream, or gives it to the module; counts the turn that it begins. */
export function append(c: Context, s: number, segment: number): void {
  const w = c.words;
  const row = s * ROW;
  const g = c.segments.words;
  const at = segment * SEGMENT;
  const ack = g[at + ACK_NUMBER]!;
  const end = segmentEnd(c, segment);
  if (beginsTurn(c, s, ack, g[at + MARKS]!)) lookForSecured(c, s, segment);
  if (c.protocols?.take(s, segment, ack)) {
    w[row + STREAM_END] = end;
    return;
  }
  const handshake = w[row + LAST_ACK]!;
  const isFirst = !(w[row + FLAGS]! & HAS_DATA);
  const marks = g[at + MARKS]!;
  const isGreeted = isFirst && (w[row + FLAGS]! & HANDSHAKEN) !== 0 && isNews(c, s, ack, marks);
  if (countTurn(c, s, ack, marks) && (!isFirst || isGreeted)) g[at + MARKS]! |= TURN_START;
  if (isFirst) beginStream(c, s, segment, ack, isGreeted ? handshake : null);
  w[row + STREAM_END] = end;
  g[at + NEXT] = NONE;
  if (w[row + HEAD] === NONE) w[row + HEAD] = segment;
  else g[w[row + TAIL]! * SEGMENT + NEXT] = segment;
  w[row + TAIL] = segment;
  if (w[row + CURSOR] === NONE) w[row + CURSOR] = segment;
}

/**
 * The stream of a session begins with `segment`, whose acknowledgement number is `ack`. `handshake`: that of the client's handshake, if
 * the client had acknowledged data of the server before it sent anything; else null.
 */
export function beginStream(
  c: Context,
  s: number,
  segment: number,
  ack: number,
  handshake: number | null,
): void {
  c.words[s * ROW + FIRST_ACK] = handshake ?? ack;
  recognize(c, s, segment);
  if (handshake !== null) awaitGreeting(c, s, handshake);
}

/**
 * The client had acknowledged data of the server before it sent anything: its first turn waits for the target's greeting as
 * for an answer. `handshake`: the acknowledgement number of the client's handshake.
 */
function awaitGreeting(c: Context, s: number, handshake: number): void {
  const row = s * ROW;
  c.words[row + FLAGS]! |= TURN_OPEN | TURN_COUNTED;
  c.words[row + TURN_ACK] = handshake;
  c.times[s * TIMES + PROGRESS_AT] = c.now;
}

/**
 * Takes the client's ACK that ends its handshake: its acknowledgement number is that of the server's first byte. False if it
 * is another ACK.
 */
export function takeHandshake(c: Context, s: number, packet: Packet): boolean {
  const row = s * ROW;
  const known = c.words[row + FLAGS]! & (HAS_DATA | HANDSHAKEN | MIDSTREAM);
  if (known !== 0 && known !== (HAS_DATA | HANDSHAKEN)) return false;
  c.words[row + LAST_ACK] = packet.ack | 0;
  c.words[row + FLAGS]! ^= HANDSHAKEN;
  return true;
}

/** Releases the segment at HEAD; CURSOR moves on if it was there. */
export function releaseHead(c: Context, s: number): void {
  const w = c.words;
  const row = s * ROW;
  const segment = w[row + HEAD]!;
  c.protocols?.forget(s, segment);
  const next = c.segments.words[segment * SEGMENT + NEXT]!;
  w[row + QUEUED]! -= c.segments.words[segment * SEGMENT + LENGTH]!;
  if (w[row + CURSOR] === segment) w[row + CURSOR] = next;
  w[row + HEAD] = next;
  if (next === NONE) w[row + TAIL] = NONE;
  c.segments.release(segment);
}

/**
 * The client's sequence number of the first byte that a new connection sends: that of the segment at CURSOR, or the end of
 * the queue. With a module the queue has sequence numbers of its own.
 */
export function nextToSend(c: Context, s: number): number {
  const row = s * ROW;
  const cursor = c.words[row + CURSOR]!;
  if (cursor !== NONE) return c.segments.words[cursor * SEGMENT + SEQ]!;
  return c.protocols?.endOf(s) ?? c.words[row + STREAM_END]!;
}

/** The client's sequence number after a segment. */
export function segmentEnd(c: Context, segment: number): number {
  const g = c.segments.words;
  return (g[segment * SEGMENT + SEQ]! + g[segment * SEGMENT + LENGTH]!) | 0;
}
