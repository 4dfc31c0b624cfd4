/**
 * Reassembly of captured segments into one ordered stream per session. They may be repeated, overlapping, out of order, have
 * gaps, or begin in the middle of a connection.
 */
import type { Packet } from "../../wire/packet.ts";
import { distance, PSH, SYN } from "../../wire/tcp.ts";
import type { Context } from "../sessions/context.ts";
import { COUNTER } from "../sessions/counters.ts";
import {
  ACK_NUMBER,
  HELD_BACK,
  LENGTH,
  MARKS,
  NEXT,
  PUSH,
  SEGMENT,
  SEQ,
  THINK,
} from "../sessions/segments.ts";
import {
  CLIENT_END,
  CLIENT_FIN,
  CLIENT_ISN,
  CLIENT_RST,
  FLAGS,
  GAP_AT,
  HANDSHAKEN,
  HAS_DATA,
  HELD,
  LAST_ACK,
  MIDSTREAM,
  NONE,
  QUEUED,
  ROW,
  STREAM_END,
  SUPERSEDED,
  TIMES,
  TURNS,
} from "../sessions/table.ts";
import { takeInOrder } from "./proxy-header.ts";
import { countTurn, heardBetween, isIgnored, segmentEnd } from "./stream.ts";

/** Bytes; data further ahead than any window cannot be of this connection. */
const MOST_AHEAD = 1 << 30;
/** us until the bytes of a gap count as lost: the client's retransmissions may still fill it. */
const GAP_SPAN = 3_000_000;
/** us until they count as lost if the client will not send them again: packets may be captured out of order. */
const REORDERING_SPAN = 100_000;

/** The result of `takePayload`. */
export type Taken = "taken" | "repeated" | "stray" | "no memory";

/** Takes the payload of a captured packet (at least one byte); `first` is the sequence number of its first byte. */
export function takePayload(c: Context, s: number, packet: Packet, first: number): Taken {
  const w = c.words;
  const row = s * ROW;
  if (w[row + FLAGS]! & MIDSTREAM && !findTurn(c, s, packet)) return "taken";

  const length = Math.min(packet.length, packet.end - packet.payload);
  const ahead = distance(first, w[row + STREAM_END]!);
  if (ahead + packet.length <= 0) return "repeated";
  if (ahead > MOST_AHEAD) return "stray";
  if (length < packet.length) return holdCut(c, s, packet, first);
  const skip = ahead < 0 ? -ahead : 0;
  const sessionBytes = w[row + QUEUED]! + length;
  const seq = (first + skip) | 0;
  const marks = packet.flags & (PSH | SYN) ? PUSH : 0;

  if (ahead <= 0 && isIgnored(c, s, packet.ack, marks)) {
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
      // The caller drops the turn: what follows of it is the rest of a dropped turn, not data beyond a gap.
      countTurn(c, s, packet.ack, marks);
      w[row + STREAM_END] = (seq + length - skip) | 0;
    }
    return "no memory";
  }
  w[row + QUEUED]! += length - skip;
  if (ahead > 0) {
    hold(c, s, segment);
    return "taken";
  }
  takeInOrder(c, s, segment);
  takeHeld(c, s);
  return c.protocols?.hasOverflowed(s) ? "no memory" : "taken";
}

/**
 * For a session that is MIDSTREAM: whether this packet certainly begins a turn, because the client has acknowledged something
 * since its last data. Then the stream begins with it. Data before it counts as one dropped turn.
 */
function findTurn(c: Context, s: number, packet: Packet): boolean {
  const w = c.words;
  const row = s * ROW;
  const ack = packet.ack | 0;
  const known = (w[row + FLAGS]! & HAS_DATA) !== 0;
  const acknowledged = known && ack !== w[row + LAST_ACK];
  const follows = !known || distance(packet.seq, w[row + STREAM_END]!) >= 0;
  if (follows && (acknowledged || packet.think >= 0)) {
    // Without HAS_DATA the packet counts as a new turn whatever its acknowledgement number is.
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

/**
 * Notes a packet that the capture has cut. Nothing of it is sent: the target would answer half a request. An empty segment
 * with the sequence number of its end is held, so that the whole packet counts as a gap.
 */
function holdCut(c: Context, s: number, packet: Packet, first: number): Taken {
  const segment = c.segments.add(packet, packet.payload, 0, (first + packet.length) | 0, 0);
  if (segment === NONE) return "no memory";
  c.segments.words[segment * SEGMENT + THINK] = -1;
  hold(c, s, segment);
  return "taken";
}

/** Holds a segment beyond a gap, ordered by sequence number; overlaps are cut off by `takeHeld`. */
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
  g[segment * SEGMENT + MARKS]! |= HELD_BACK;
  if (before === NONE) w[row + HELD] = segment;
  else g[before * SEGMENT + NEXT] = segment;
  c.segmentsHeld++;
  const at = s * TIMES + GAP_AT;
  if (isFirst) c.times[at] = c.now + GAP_SPAN;
  if (isFinal(c, before, segment)) c.times[at] = Math.min(c.times[at]!, c.now + REORDERING_SPAN);
  c.wheel.arm(s, c.times[at]!);
}

/**
 * Whether the client will not send the bytes before two held segments again: one of them was cut by the capture, or the
 * client had an answer to the first before it sent the second, so that the server has received all bytes before it.
 */
function isFinal(c: Context, first: number, second: number): boolean {
  const g = c.segments.words;
  if (second === NONE) return g[first * SEGMENT + LENGTH] === 0;
  if (g[second * SEGMENT + LENGTH] === 0) return true;
  return first !== NONE && heardBetween(c, first, second);
}

/** Sets the time at which the bytes of the next gap count as lost. */
function awaitRest(c: Context, s: number): void {
  const row = s * ROW;
  const first = c.words[row + HELD]!;
  let span = GAP_SPAN;
  if (c.words[row + FLAGS]! & SUPERSEDED) span = 0;
  else if (first !== NONE && isFinal(c, first, c.segments.words[first * SEGMENT + NEXT]!))
    span = REORDERING_SPAN;
  c.times[s * TIMES + GAP_AT] = c.now + span;
}

/** The client's connection has ended: missing bytes count as lost now. */
export function giveUpMissing(c: Context, s: number): void {
  if (!hasGap(c, s)) return;
  c.times[s * TIMES + GAP_AT] = c.now;
  c.wheel.arm(s, c.now + 1);
}

/** Starts the wait for bytes that are missing before the client's FIN or RST, if no segment is held. */
export function awaitMissing(c: Context, s: number): void {
  const row = s * ROW;
  if (c.words[row + HELD] !== NONE || !hasGap(c, s)) return;
  c.times[s * TIMES + GAP_AT] = c.now + GAP_SPAN;
  c.wheel.arm(s, c.now + GAP_SPAN);
}

/** Whether bytes are missing before a held segment, or before the client's FIN or RST. */
export function hasGap(c: Context, s: number): boolean {
  const row = s * ROW;
  if (c.words[row + HELD] !== NONE) return true;
  const isEnded = (c.words[row + FLAGS]! & (CLIENT_FIN | CLIENT_RST)) !== 0;
  return isEnded && distance(c.words[row + CLIENT_END]!, c.words[row + STREAM_END]!) > 0;
}

/** Moves held segments that are no longer beyond a gap into the stream. */
function takeHeld(c: Context, s: number): void {
  const w = c.words;
  const row = s * ROW;
  const g = c.segments.words;
  let segment = w[row + HELD]!;
  if (segment === NONE) return;
  while (segment !== NONE) {
    const at = segment * SEGMENT;
    const overlap = -distance(g[at + SEQ]!, w[row + STREAM_END]!);
    if (overlap < 0) break;
    const next = g[at + NEXT]!;
    if (overlap >= g[at + LENGTH]!) {
      w[row + QUEUED]! -= g[at + LENGTH]!;
      c.segments.release(segment);
    } else {
      if (overlap > 0) {
        w[row + QUEUED]! -= overlap;
        c.segments.trimFront(segment, overlap);
      }
      if (isIgnored(c, s, g[at + ACK_NUMBER]!, g[at + MARKS]!)) {
        w[row + STREAM_END] = (g[at + SEQ]! + g[at + LENGTH]!) | 0;
        w[row + QUEUED]! -= g[at + LENGTH]!;
        c.segments.release(segment);
      } else {
        takeInOrder(c, s, segment);
      }
    }
    c.segmentsHeld--;
    segment = next;
  }
  w[row + HELD] = segment;
  awaitRest(c, s);
}

/**
 * Gives the missing bytes up: the stream continues with the first held segment that certainly begins a turn, and the turns
 * before it are counted and dropped. The caller has dropped the turns before the gap. False if no segment begins a turn.
 */
export function skipGap(c: Context, s: number): boolean {
  const w = c.words;
  const row = s * ROW;
  const g = c.segments.words;
  let before = NONE;
  let segment = w[row + HELD]!;
  while (segment !== NONE && !surelyBeginsTurn(c, before, segment)) {
    before = segment;
    segment = g[segment * SEGMENT + NEXT]!;
  }
  if (before === NONE) w[row + HELD] = NONE;
  else g[before * SEGMENT + NEXT] = NONE;
  releaseHeld(c, s);
  c.dropTurns(w[row + TURNS]!, "gap");
  w[row + TURNS] = 0;
  w[row + HELD] = segment;
  if (segment === NONE) return false;
  w[row + STREAM_END] = g[segment * SEGMENT + SEQ]!;
  // The first turn may be among the missing bytes: what follows waits for an answer, not for a greeting.
  if (w[row + FLAGS]! & HANDSHAKEN) w[row + FLAGS] = (w[row + FLAGS]! | HAS_DATA) & ~HANDSHAKEN;
  // It counts as a turn whatever the acknowledgement numbers before the gap were, which may have come out of order.
  w[row + LAST_ACK] = (g[segment * SEGMENT + ACK_NUMBER]! - 1) | 0;
  takeHeld(c, s);
  return true;
}

/**
 * Whether a held segment is certainly the first of a turn: at its start the client has acknowledged something new, with an
 * ACK of its own or with this segment. `before`: the held segment before it, NONE if there is a gap.
 */
function surelyBeginsTurn(c: Context, before: number, segment: number): boolean {
  const g = c.segments.words;
  if (g[segment * SEGMENT + LENGTH] === 0) return false;
  if (g[segment * SEGMENT + THINK]! >= 0) return true;
  if (before === NONE || distance(g[segment * SEGMENT + SEQ]!, segmentEnd(c, before)) !== 0) return false;
  return heardBetween(c, before, segment);
}

/** Counts the turns of the held segments and releases them; STREAM_END becomes the end of the last one. */
export function releaseHeld(c: Context, s: number): void {
  const w = c.words;
  const row = s * ROW;
  let segment = w[row + HELD]!;
  while (segment !== NONE) {
    const g = c.segments.words;
    const next = g[segment * SEGMENT + NEXT]!;
    countTurn(c, s, g[segment * SEGMENT + ACK_NUMBER]!, HELD_BACK);
    if (distance(segmentEnd(c, segment), w[row + STREAM_END]!) > 0)
      w[row + STREAM_END] = segmentEnd(c, segment);
    w[row + QUEUED]! -= g[segment * SEGMENT + LENGTH]!;
    c.segments.release(segment);
    c.segmentsHeld--;
    segment = next;
  }
  w[row + HELD] = NONE;
}
