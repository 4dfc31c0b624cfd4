/**
 * When the next turn may be sent: when it is due, and the target has answered the turn before. By the clock a turn is due when
 * it was captured, so that after a late answer the client's pause shrinks and the copy stays on production's timeline.
 */
import { ADMITTED } from "../../protocol/module.ts";
import type { Context } from "../sessions/context.ts";
import { COUNTER } from "../sessions/counters.ts";
import {
  ACK_NUMBER,
  BEGUN,
  MARKS,
  PAUSED,
  PREFIX,
  SEGMENT,
  SEQ,
  THINK,
  TURN_START,
} from "../sessions/segments.ts";
import {
  ANSWER_BYTES,
  ANSWERED_AT,
  CLOSE_WAIT,
  CLOSED,
  CURSOR,
  DELAY,
  ESTABLISHED,
  FLAGS,
  FREE,
  HEAD,
  LAST_PUSH,
  MULTIPLEXED,
  NONE,
  OVERDUE,
  PATH,
  PROGRESS_AT,
  RCV_NXT,
  RESPONSE_AT,
  ROW,
  SINCE,
  SRTT,
  STATE,
  STREAMING,
  TIMES,
  TURN_ACK,
  TURN_ANSWERED,
  TURN_AT,
  TURN_COUNTED,
  TURN_OPEN,
  TURN_RCV,
  TURN_RETRIED,
  TURN_ROUNDS,
  TURN_SEQ,
  TURNS,
} from "../sessions/table.ts";
import { timeTarget } from "./answer-times.ts";
import { excuse, isBehind, patienceEnds } from "./multiplexed.ts";
import { countSent } from "./target-close.ts";

/** Bounds, us, of the silence (two round trips) after which an answer shorter than production's counts as complete. */
const LEAST_QUIET = 1000;
const MOST_QUIET = 20_000;
/** us after a request or a part of its answer in which more of the answer is expected soon. */
const SOON = 3000;
/** us for which a request that pauses waits to go on, as curl waits for the answer to `Expect: 100-continue`. */
const PAUSE = 1_000_000;
/** The silence is this many times longer if the target's last segment had no PSH. */
const QUIET_WITHOUT_PUSH = 10;

/**
 * Whether the open turn is answered, so that the client's next turn (or FIN), whose acknowledgement number is `nextAck`, may
 * follow. The length of production's answer is the difference of the acknowledgement numbers. The target's answer is
 * complete at once if it is as long and ends with PSH; after a silence if it is shorter; without an answer the turn ends
 * after the turn timeout. Where answers overlap, the bytes of the whole connection are compared too (multiplexed.ts). If
 * only time is missing, sets TURN_AT.
 */
export function isAnswered(c: Context, s: number, nextAck: number): boolean {
  const w = c.words;
  const row = s * ROW;
  const flags = w[row + FLAGS]!;
  if (!(flags & TURN_OPEN)) return true;
  if (!isDelivered(c, s)) return false;
  if (w[row + STATE] === CLOSE_WAIT) return true; // nothing more will come
  const received = receivedBytes(c, s);
  const isMultiplexed = (flags & MULTIPLEXED) !== 0;
  const isShort = isMultiplexed && isBehind(c, s, nextAck);
  let at: number;
  if (isShort && received > 0) {
    at = patienceEnds(c, s);
  } else if (received > 0 || (isMultiplexed && !isShort)) {
    at = silenceEnds(c, s, received, answerBytes(c, s, nextAck));
  } else {
    at = c.times[s * TIMES + PROGRESS_AT]! + c.config.turnTimeout;
  }
  if (!hasCome(c, s, at)) return false;
  if (isMultiplexed) excuse(c, s, nextAck, isShort && received > 0);
  if (received <= 0 && (isShort || !isMultiplexed)) {
    c.counters[COUNTER.turnsOverdue]!++;
    // The second turn in a row without an answer: later turns do not wait for one.
    w[row + FLAGS]! |= flags & OVERDUE ? STREAMING : OVERDUE;
    settleTurn(c, s);
    w[row + FLAGS]! &= ~TURN_OPEN;
  }
  return true;
}

/** Bytes of production's answer to the open turn; `nextAck`: the acknowledgement number of the next turn that is not dropped. */
function answerBytes(c: Context, s: number, nextAck: number): number {
  const row = s * ROW;
  const known = c.words[row + ANSWER_BYTES]! >>> 0;
  return known > 0 ? known - 1 : (nextAck - c.words[row + TURN_ACK]!) >>> 0;
}

/** Bytes that the target has sent since the open turn was begun. */
function receivedBytes(c: Context, s: number): number {
  const row = s * ROW;
  const { words } = c;
  return words[row + TURN_ROUNDS]! * 2 ** 32 + ((words[row + RCV_NXT]! - words[row + TURN_RCV]!) >>> 0);
}

/** Notes that RCV_NXT has moved on from `before`. */
export function noteReceived(c: Context, s: number, before: number): void {
  const row = s * ROW;
  const begun = c.words[row + TURN_RCV]!;
  if ((c.words[row + RCV_NXT]! - begun) >>> 0 < (before - begun) >>> 0) c.words[row + TURN_ROUNDS]!++;
}

/** Notes how long production's answer to the open turn is, before the turn after it, which begins with `segment`, is taken away. */
export function noteAnswerBytes(c: Context, s: number, segment: number): void {
  const row = s * ROW;
  if (!(c.words[row + FLAGS]! & TURN_OPEN) || c.words[row + ANSWER_BYTES] !== 0) return;
  const length = (c.segments.words[segment * SEGMENT + ACK_NUMBER]! - c.words[row + TURN_ACK]!) >>> 0;
  c.words[row + ANSWER_BYTES] = Math.min(length + 1, 2 ** 32 - 1);
}

/** When the answer to the open turn, of which `received` bytes have come, counts as complete, us; 0: now. */
function silenceEnds(c: Context, s: number, received: number, expected: number): number {
  const row = s * ROW;
  const answered = s * TIMES + ANSWERED_AT;
  const pushed = (c.words[row + FLAGS]! & LAST_PUSH) !== 0;
  // Data after a complete answer (of a service that sends on its own) does not delay the next turn.
  if (c.times[answered]! > 0) return 0;
  if (pushed && received >= expected) {
    c.times[answered] = c.times[s * TIMES + RESPONSE_AT]!;
    return 0;
  }
  const quiet = c.config.quiet || Math.min(MOST_QUIET, Math.max(LEAST_QUIET, 2 * c.words[row + SRTT]!));
  if (received <= 0) return c.times[s * TIMES + PROGRESS_AT]! + quiet;
  return c.times[s * TIMES + RESPONSE_AT]! + (pushed ? quiet : quiet * QUIET_WITHOUT_PUSH);
}

/** Whether the time `at` (us) has come; if not, sets TURN_AT to it. */
export function hasCome(c: Context, s: number, at: number): boolean {
  if (at <= c.now) return true;
  c.times[s * TIMES + TURN_AT] = at;
  c.wheel.arm(s, at);
  return false;
}

/** Whether the turn that begins with `segment` may be sent now; if not, TURN_AT is set or an answer is awaited. */
export function mayBegin(c: Context, s: number, segment: number): boolean {
  const g = c.segments.words;
  const at = segment * SEGMENT;
  const isFree = c.protocols?.owns(s)
    ? moduleAllows(c, s, segment)
    : (c.words[s * ROW + FLAGS]! & STREAMING) !== 0 || isAnswered(c, s, g[at + ACK_NUMBER]!);
  if (!isFree) {
    noteHeldUp(c, s);
    return false;
  }
  if (c.times[s * TIMES + DELAY]! > 0 && !hasCome(c, s, dueAt(c, s, segment))) return false;
  const think = c.config.pace === "think" ? g[at + THINK]! : 0;
  if (think <= 0 || (c.words[s * ROW + FLAGS]! & (TURN_OPEN | STREAMING)) !== TURN_OPEN) return true;
  return hasCome(c, s, (c.times[s * TIMES + ANSWERED_AT]! || c.times[s * TIMES + RESPONSE_AT]!) + think);
}

/** Notes that a turn waits for the target, if more of it is expected soon. */
function noteHeldUp(c: Context, s: number): void {
  const last = Math.max(c.times[s * TIMES + PROGRESS_AT]!, c.times[s * TIMES + RESPONSE_AT]!);
  if (c.now - last < SOON) c.heldUpAt = c.now;
}

/** Whether the open turn may go on with `segment`, which is PAUSED; if not, TURN_AT is set. */
export function mayGoOn(c: Context, s: number, segment: number): boolean {
  const isFree = (c.words[s * ROW + FLAGS]! & STREAMING) !== 0 || c.protocols!.mayGoOn(s);
  if (!isFree && !hasCome(c, s, c.times[s * TIMES + PROGRESS_AT]! + PAUSE)) {
    noteHeldUp(c, s);
    return false;
  }
  c.segments.words[segment * SEGMENT + MARKS]! &= ~PAUSED;
  return true;
}

/** When the turn that begins with `segment` is due by production's clock, us. */
export function dueAt(c: Context, s: number, segment: number): number {
  return c.segments.times[segment]! + c.times[s * TIMES + DELAY]!;
}

/** The same for a session whose protocol module decides, limited by the turn timeout. */
function moduleAllows(c: Context, s: number, segment: number): boolean {
  const w = c.words;
  const row = s * ROW;
  // What becomes of it: see turns/login.ts.
  if (c.protocols!.login(s, segment) !== ADMITTED) return false;
  if (w[row + STATE] === CLOSE_WAIT || c.protocols!.mayBegin(s, segment)) return true;
  if (c.protocols!.isEndUnseen(s)) {
    c.config.onEndUnseen?.(w[row + PATH]!);
    return isAnswered(c, s, c.segments.words[segment * SEGMENT + ACK_NUMBER]!);
  }
  if (c.protocols!.waitsForever(s) || !(w[row + FLAGS]! & TURN_OPEN)) return false;
  const last = Math.max(c.times[s * TIMES + PROGRESS_AT]!, c.times[s * TIMES + RESPONSE_AT]!);
  if (!hasCome(c, s, last + c.config.turnTimeout)) return false;
  c.counters[COUNTER.turnsOverdue]!++;
  return true;
}

/** Marks the turn that begins with `segment` as the one being sent. */
export function beginTurn(c: Context, s: number, segment: number): void {
  const w = c.words;
  const row = s * ROW;
  const g = c.segments.words;
  const at = segment * SEGMENT;
  settleTurn(c, s);
  if ((w[row + FLAGS]! & (TURN_OPEN | TURN_COUNTED)) === TURN_OPEN) {
    // A target may answer before it has all of a request; then the next may follow at once.
    if (c.protocols?.owns(s) && receivedBytes(c, s) > 0) c.counters[COUNTER.turnsAnswered]!++;
    countOpen(c, s);
  }
  g[at + MARKS] = (g[at + MARKS]! & ~TURN_START) | BEGUN;
  const isRetry = w[row + TURN_SEQ] === g[at + SEQ];
  w[row + FLAGS]! &= ~(TURN_COUNTED | TURN_ANSWERED | LAST_PUSH | (isRetry ? 0 : TURN_RETRIED));
  w[row + FLAGS]! |= TURN_OPEN;
  w[row + TURN_ACK] = g[at + ACK_NUMBER]!;
  w[row + TURN_SEQ] = g[at + SEQ]!;
  w[row + TURN_RCV] = w[row + RCV_NXT]!;
  w[row + TURN_ROUNDS] = 0;
  w[row + ANSWER_BYTES] = 0;
  c.times[s * TIMES + TURN_AT] = 0;
  c.times[s * TIMES + ANSWERED_AT] = 0;
  c.times[s * TIMES + PROGRESS_AT] = c.now;
}

/** Whether all captured bytes of the open turn were sent and acknowledged, so that no segment of it is kept. */
function isDelivered(c: Context, s: number): boolean {
  const row = s * ROW;
  const head = c.words[row + HEAD]!;
  if (head !== c.words[row + CURSOR]) return false;
  return head === NONE || (c.segments.words[head * SEGMENT + MARKS]! & (TURN_START | PREFIX)) !== 0;
}

/** Counts the open turn as sent and answered, if it is delivered and the target has sent data since it was begun. */
export function countAnswered(c: Context, s: number): void {
  const w = c.words;
  const row = s * ROW;
  const flags = w[row + FLAGS]!;
  if ((flags & (TURN_OPEN | TURN_COUNTED)) !== TURN_OPEN || !isDelivered(c, s)) return;
  if (receivedBytes(c, s) <= 0) return;
  countOpen(c, s);
  w[row + FLAGS] = (w[row + FLAGS]! | TURN_ANSWERED) & ~OVERDUE;
  c.counters[COUNTER.turnsAnswered]!++;
}

function countOpen(c: Context, s: number): void {
  c.words[s * ROW + FLAGS]! |= TURN_COUNTED;
  c.words[s * ROW + TURNS]!--;
  countSent(c, s, 1);
}

/** Counts the open turn as sent if it was delivered, also without an answer. */
export function settleTurn(c: Context, s: number): void {
  countAnswered(c, s);
  timeTarget(c, s);
  const flags = c.words[s * ROW + FLAGS]!;
  if ((flags & (TURN_OPEN | TURN_COUNTED)) === TURN_OPEN && isDelivered(c, s)) countOpen(c, s);
}

/** Whether all that a session with a module has sent is answered; `nextAck`: as for `isAnswered`. */
export function isAnsweredByModule(c: Context, s: number, nextAck: number): boolean {
  const protocols = c.protocols!;
  return protocols.isAnswered(s) || (protocols.isEndUnseen(s) && isAnswered(c, s, nextAck));
}

/** Whether `segment`, the one at CURSOR, is of a turn that has begun to be sent. */
export function isBegun(c: Context, s: number, segment: number): boolean {
  const isStart = (c.segments.words[segment * SEGMENT + MARKS]! & TURN_START) !== 0;
  return !isStart && (c.words[s * ROW + FLAGS]! & TURN_OPEN) !== 0;
}

/** Turns of the session of which bytes wait to be sent; 0 while it waits for its place among the users. */
export function waitingTurns(c: Context, s: number): number {
  const w = c.words;
  const row = s * ROW;
  const segment = w[row + CURSOR]!;
  const flags = w[row + FLAGS]!;
  if (w[row + STATE] === FREE || segment === NONE) return 0;
  if (w[row + STATE] === CLOSED && c.users !== null) return 0;
  const isOpenPending = (flags & (TURN_OPEN | TURN_COUNTED)) === TURN_OPEN;
  return isOpenPending && !isBegun(c, s, segment) ? w[row + TURNS]! - 1 : w[row + TURNS]!;
}

/** When the session had its connection, us; `otherwise` if it is not established any more. */
export function connectedAt(c: Context, s: number, otherwise: number): number {
  return c.words[s * ROW + STATE] === ESTABLISHED ? c.times[s * TIMES + SINCE]! : otherwise;
}
