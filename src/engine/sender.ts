/**
 * The sending side of the connection to the target (RFC 9293, 6298, 5681, 6582): what goes out next, and what the
 * target's acknowledgements do to it.
 */
import type { Packet } from "../wire/packet.ts";
import { ACK, distance, FIN, PSH, RST, SYN } from "../wire/tcp.ts";
import {
  clearDuplicates,
  MOST_RTO,
  measureRoundTrip,
  openCongestionWindow,
  restartAfterIdle,
  takeDuplicate,
} from "./congestion.ts";
import { isOver, leaveConnection, leaveToClose, openConnection } from "./connection.ts";
import type { Context } from "./context.ts";
import { COUNTER } from "./counters.ts";
import { dropTurn } from "./drop.ts";
import { emit, emitControl, hasRoom, MAX_PAYLOAD, segmentSize } from "./emit.ts";
import { LENGTH, MARKS, NEXT, PREFIX, PUSH, SEGMENT, SEQ, TURN_START } from "./segments.ts";
import { releaseHead, segmentEnd } from "./stream.ts";
import {
  ACK_NOW,
  CLIENT_END,
  CLIENT_END_ACK,
  CLIENT_FIN,
  CLIENT_RST,
  CLOSE_WAIT,
  CLOSED,
  CLOSING,
  CURSOR,
  CWND,
  DELAY,
  ESTABLISHED,
  FIN_SENT,
  FIN_WAIT_1,
  FIN_WAIT_2,
  FIRST_ACK,
  FIRST_RCV,
  FLAGS,
  HALF_CLOSE,
  HAS_DATA,
  HEAD,
  HELD,
  IN_RECOVERY,
  ISS,
  LAST_ACK_STATE,
  MAX_SND_WND,
  MSS,
  NONE,
  OPEN_AT_ONCE,
  PREPAID,
  PROBES,
  PROGRESS_AT,
  RCV_NXT,
  RECOVER,
  RESPONSE_AT,
  RETRANSMIT,
  RETRIES,
  ROW,
  RTO,
  RTO_AT,
  RTT_AT,
  RTT_SEQ,
  SEND_SYN,
  SEQ_DELTA,
  SHED,
  SINCE,
  SND_MAX,
  SND_NXT,
  SND_UNA,
  SND_WL1,
  SND_WL2,
  SND_WND,
  SND_WSCALE,
  SSTHRESH,
  STATE,
  STREAM_END,
  SYN_AT,
  SYN_SENT,
  TIME_WAIT,
  TIMES,
  TURN_OPEN,
  WINDOW_PROBE,
} from "./table.ts";
import { beginTurn, dueSince, hasCome, isAnswered, mayBegin, settleTurn } from "./turns.ts";

/** After so many retransmissions in a row segments are cut to what every path takes. */
const BLACK_HOLE_RETRIES = 3;
const BLACK_HOLE_MSS = 524;
/** us after which less than a segment goes into a window that is hardly open (RFC 9293 section 3.8.6.2.1: 0.1 to 1 s). */
const OVERRIDE = 1_000_000;
/** us of silence after which a connection may be closed although the target has sent less than production. */
const CLOSING_QUIET = 500_000;
/** How long a connection that the target closed is left open for the client to close it too. */
export const LINGER = 1_000_000;

/** What a look at a session came to. */
export type Sent = "done" | "batch full" | "no port" | "over";

/** Sends all that may be sent now. */
export function transmit(c: Context, s: number): Sent {
  const w = c.words;
  const row = s * ROW;
  if (w[row + STATE] === CLOSED) {
    if (isOver(c, s) && !(w[row + FLAGS]! & OPEN_AT_ONCE)) return "over";
    if (!wantsConnection(c, s)) return "done";
    if (!openConnection(c, s)) return "no port";
  }
  if (!hasRoom(c, s)) return "batch full";
  if (w[row + STATE] === SYN_SENT) {
    if (w[row + FLAGS]! & SEND_SYN) sendSyn(c, s);
    return "done";
  }
  if (w[row + FLAGS]! & RETRANSMIT) sendHead(c, s);
  const sent = sendData(c, s);
  if (sent !== "done") return sent;
  const isReset = (w[row + FLAGS]! & CLIENT_RST) !== 0;
  const isLateReset = isReset && (w[row + FLAGS]! & FIN_SENT) !== 0 && w[row + STATE] !== TIME_WAIT;
  if (isLateReset || isFinDue(c, s)) {
    if (!hasRoom(c, s)) return "batch full";
    if (isReset) {
      emitControl(c, s, RST | ACK);
      leaveConnection(c, s);
      return "over";
    }
    sendFin(c, s);
  }
  if (w[row + FLAGS]! & ACK_NOW) {
    if (!hasRoom(c, s)) return "batch full";
    emitControl(c, s, ACK);
  }
  return "done";
}

/** Whether there is something to connect for, and its time has come. */
function wantsConnection(c: Context, s: number): boolean {
  const w = c.words;
  const row = s * ROW;
  const flags = w[row + FLAGS]!;
  if (flags & SHED) return false;
  const delay = c.times[s * TIMES + DELAY]!;
  if (flags & OPEN_AT_ONCE) return hasCome(c, s, c.times[s * TIMES + SYN_AT]! + delay);
  const segment = w[row + CURSOR]!;
  if (segment === NONE || (delay > 0 && !hasCome(c, s, c.segments.times[segment]! + delay))) return false;
  while (w[row + CURSOR] !== NONE && !c.allowTurn()) dropTurn(c, s, "limit");
  w[row + FLAGS]! |= PREPAID;
  return w[row + CURSOR] !== NONE;
}

function sendSyn(c: Context, s: number): void {
  const w = c.words;
  const t = c.times;
  const row = s * ROW;
  w[row + FLAGS]! &= ~SEND_SYN;
  emit(c, s, SYN, w[row + ISS]!, NONE, 0, 0, 1, 0);
  if (w[row + RETRIES] === 0) {
    w[row + RTT_SEQ] = (w[row + ISS]! + 1) | 0;
    t[s * TIMES + RTT_AT] = c.now;
  } else {
    t[s * TIMES + RTT_AT] = 0;
    c.counters[COUNTER.retransmitted]!++;
  }
  w[row + SND_NXT] = (w[row + ISS]! + 1) | 0;
  w[row + SND_MAX] = w[row + SND_NXT]!;
  armRetransmission(c, s);
}

/** The one segment at SND_UNA again (fast retransmit, partial acknowledgement). */
function sendHead(c: Context, s: number): void {
  const w = c.words;
  const row = s * ROW;
  w[row + FLAGS]! &= ~RETRANSMIT;
  const segment = w[row + HEAD]!;
  if (segment === NONE) return;
  const g = c.segments.words;
  const at = segment * SEGMENT;
  const una = w[row + SND_UNA]!;
  const from = distance(una, (g[at + SEQ]! + w[row + SEQ_DELTA]!) | 0);
  const mss = segmentSize(c, s);
  const length = Math.min(mss, g[at + LENGTH]! - from, distance(w[row + SND_NXT]!, una));
  if (length <= 0) return;
  emit(c, s, ACK | PSH, una, segment, from, length, mss, 0);
  c.counters[COUNTER.retransmitted]!++;
  c.times[s * TIMES + RTT_AT] = 0;
}

function sendData(c: Context, s: number): Sent {
  const w = c.words;
  const row = s * ROW;
  const g = c.segments.words;
  const state = w[row + STATE]!;
  if (state < ESTABLISHED || state === FIN_WAIT_2 || state === TIME_WAIT) return "done";
  if (w[row + FLAGS]! & FIN_SENT) {
    // Nothing goes behind our FIN; one that only followed the target's makes room for the client's next turn.
    return state === LAST_ACK_STATE && w[row + CURSOR] !== NONE ? reopen(c, s) : "done";
  }
  const mss = segmentSize(c, s);
  if (w[row + SND_UNA] === w[row + SND_NXT] && w[row + CURSOR] !== NONE) restartAfterIdle(c, s);
  for (let segment = w[row + CURSOR]!; segment !== NONE; segment = w[row + CURSOR]!) {
    if (!hasRoom(c, s)) return "batch full";
    const at = segment * SEGMENT;
    const isBegun = !(g[at + MARKS]! & TURN_START) && (w[row + FLAGS]! & TURN_OPEN) !== 0;
    if (!isBegun && !(g[at + MARKS]! & PREFIX)) {
      if (!mayBegin(c, s, segment)) {
        c.heldUpAt = c.now;
        return "done";
      }
      if (state !== ESTABLISHED) {
        // What is in flight still needs this connection.
        return w[row + HEAD] === segment ? reopen(c, s) : "done";
      }
      if (w[row + HEAD] === segment && w[row + SND_NXT] === w[row + SND_MAX]) {
        if (!(w[row + FLAGS]! & PREPAID) && !c.allowTurn()) {
          dropTurn(c, s, "limit");
          continue;
        }
        w[row + FLAGS]! &= ~PREPAID;
        // Turns may have been left out: the next one follows what was sent.
        w[row + SEQ_DELTA] = (w[row + SND_NXT]! - g[at + SEQ]!) | 0;
      }
      beginTurn(c, s, segment);
    }
    const next = w[row + SND_NXT]!;
    const from = distance(next, (g[at + SEQ]! + w[row + SEQ_DELTA]!) | 0);
    const rest = g[at + LENGTH]! - from;
    let length = Math.min(rest, MAX_PAYLOAD);
    const inFlight = distance(next, w[row + SND_UNA]!);
    const room = Math.min(w[row + SND_WND]!, w[row + CWND]!) - inFlight;
    // Whole segments only, but for the last of what was captured together (RFC 9293 section 3.8.6.2.1).
    if (length > room) length = room;
    if (length < rest) length -= length % mss;
    if (length <= 0) {
      if (inFlight > 0) return "done";
      const isForced = (w[row + FLAGS]! & WINDOW_PROBE) !== 0;
      if (room <= 0 || (!isForced && 2 * room < w[row + MAX_SND_WND]!)) {
        if (isForced) sendProbe(c, s, segment, from);
        awaitWindow(c, s, room);
        return "done";
      }
      length = room;
    }
    w[row + FLAGS]! &= ~WINDOW_PROBE;
    const isLast = length === rest;
    const isAgain = distance(next, w[row + SND_MAX]!) < 0;
    const since = isAgain ? 0 : dueSince(c, s, c.segments.times[segment]!);
    const push = isLast && g[at + MARKS]! & PUSH ? PSH : 0;
    emit(c, s, ACK | push, next, segment, from, length, mss, since);
    const end = (next + length) | 0;
    w[row + SND_NXT] = end;
    if (isAgain) c.counters[COUNTER.retransmitted]!++;
    if (distance(end, w[row + SND_MAX]!) > 0) {
      w[row + SND_MAX] = end;
      c.times[s * TIMES + PROGRESS_AT] = c.now;
      if (c.times[s * TIMES + RTT_AT] === 0 && !isAgain) {
        w[row + RTT_SEQ] = end;
        c.times[s * TIMES + RTT_AT] = c.now;
      }
    }
    if (isLast) w[row + CURSOR] = g[at + NEXT]!;
    // With nothing in flight it was the persist timer that ran, if any.
    if (inFlight === 0 || c.times[s * TIMES + RTO_AT] === 0) armRetransmission(c, s);
  }
  return "done";
}

/** The target has closed its side, the client goes on: a new connection for the next turn. */
function reopen(c: Context, s: number): Sent {
  settleTurn(c, s);
  leaveToClose(c, s);
  return transmit(c, s);
}

/**
 * Whether our FIN (or the client's RST) is due: the client's stream is done, sent, and answered; or the target closed and
 * the client did not follow.
 */
function isFinDue(c: Context, s: number): boolean {
  const w = c.words;
  const row = s * ROW;
  const flags = w[row + FLAGS]!;
  if (flags & FIN_SENT || w[row + CURSOR] !== NONE) return false;
  switch (w[row + STATE]) {
    case FIN_WAIT_1:
    case CLOSING:
    case LAST_ACK_STATE:
      return true; // sent before, lost
    case CLOSE_WAIT:
      if (c.times[s * TIMES + SINCE]! + LINGER <= c.now && w[row + HEAD] === NONE) return true;
      break;
    case ESTABLISHED:
      break;
    default:
      return false;
  }
  if (!(flags & (CLIENT_FIN | CLIENT_RST)) || w[row + HELD] !== NONE) return false;
  if (flags & CLIENT_FIN && distance(w[row + CLIENT_END]!, w[row + STREAM_END]!) > 0) return false;
  if (flags & HALF_CLOSE) return true;
  if (w[row + STATE] === CLOSE_WAIT) return true;
  return isAnswered(c, s, w[row + CLIENT_END_ACK]!) && !isStillAnswering(c, s);
}

/**
 * Whether the target may be still at answers that overlap (HTTP/2): it has sent less on this connection than production had
 * when the client closed, and was not silent for long.
 */
function isStillAnswering(c: Context, s: number): boolean {
  const w = c.words;
  const row = s * ROW;
  if (!(w[row + FLAGS]! & HAS_DATA)) return false;
  const production = distance(w[row + CLIENT_END_ACK]!, w[row + FIRST_ACK]!);
  const target = distance(w[row + RCV_NXT]!, w[row + FIRST_RCV]!);
  return target < production && !hasCome(c, s, c.times[s * TIMES + RESPONSE_AT]! + CLOSING_QUIET);
}

function sendFin(c: Context, s: number): void {
  const w = c.words;
  const row = s * ROW;
  emit(c, s, FIN | ACK, w[row + SND_NXT]!, NONE, 0, 0, 1, 0);
  const end = (w[row + SND_NXT]! + 1) | 0;
  if (distance(end, w[row + SND_MAX]!) > 0) w[row + SND_MAX] = end;
  else c.counters[COUNTER.retransmitted]!++;
  w[row + SND_NXT] = end;
  w[row + FLAGS]! |= FIN_SENT;
  if (w[row + STATE] === ESTABLISHED) w[row + STATE] = FIN_WAIT_1;
  else if (w[row + STATE] === CLOSE_WAIT) w[row + STATE] = LAST_ACK_STATE;
  if (c.times[s * TIMES + RTO_AT] === 0) armRetransmission(c, s);
}

function armRetransmission(c: Context, s: number): void {
  armTimer(c, s, backoff(c, s, c.words[s * ROW + RETRIES]!));
}

/** us to wait after so many times in vain (RFC 6298 section 5.5, RFC 9293 section 3.8.6.1). */
function backoff(c: Context, s: number, times: number): number {
  return Math.min(MOST_RTO, c.words[s * ROW + RTO]! * 2 ** times);
}

function armTimer(c: Context, s: number, span: number): void {
  c.times[s * TIMES + RTO_AT] = c.now + span;
  c.wheel.arm(s, c.now + span);
}

/**
 * Whether the connection waits for the target's window: there is data, none of it is in flight, and the timer that runs is
 * the persist timer. A probe is not in flight: nothing but the window holds it up.
 */
export function awaitsWindow(c: Context, s: number): boolean {
  const row = s * ROW;
  return c.words[row + STATE]! >= ESTABLISHED && c.words[row + SND_NXT] === c.words[row + SND_UNA];
}

/** Starts the persist timer: for the next probe, or for what fits a window of `room` bytes that is hardly open. */
function awaitWindow(c: Context, s: number, room: number): void {
  if (c.times[s * TIMES + RTO_AT] !== 0) return;
  const span = backoff(c, s, c.words[s * ROW + PROBES]!);
  armTimer(c, s, room > 0 ? Math.min(span, OVERRIDE) : span);
}

/** The persist timer ran out. How long a window may stay closed is for the session timeout to say. */
export function probeWindow(c: Context, s: number): void {
  c.times[s * TIMES + RTO_AT] = 0;
  c.words[s * ROW + FLAGS]! |= WINDOW_PROBE;
  c.makeReady(s);
}

/** The first byte that the window keeps back; SND_NXT stays, the target may take it or not. */
function sendProbe(c: Context, s: number, segment: number, from: number): void {
  const w = c.words;
  const row = s * ROW;
  const next = w[row + SND_NXT]!;
  w[row + FLAGS]! &= ~WINDOW_PROBE;
  w[row + PROBES]!++;
  emit(c, s, ACK, next, segment, from, 1, 1, 0);
  const end = (next + 1) | 0;
  if (distance(end, w[row + SND_MAX]!) > 0) w[row + SND_MAX] = end;
  else c.counters[COUNTER.retransmitted]!++;
}

/** The retransmission timer ran out: everything from SND_UNA again, from one segment on (RFC 5681 section 3.1). */
export function retransmitAfterTimeout(c: Context, s: number): void {
  const w = c.words;
  const row = s * ROW;
  c.times[s * TIMES + RTO_AT] = 0;
  c.times[s * TIMES + RTT_AT] = 0;
  w[row + RETRIES]!++;
  if (w[row + STATE] === SYN_SENT) {
    w[row + FLAGS]! |= SEND_SYN;
  } else {
    // Large segments that never arrive: a path that drops them and does not say so (RFC 4821).
    if (w[row + RETRIES]! >= BLACK_HOLE_RETRIES) w[row + MSS] = Math.min(w[row + MSS]!, BLACK_HOLE_MSS);
    const mss = segmentSize(c, s);
    const inFlight = distance(w[row + SND_MAX]!, w[row + SND_UNA]!);
    if (w[row + RETRIES] === 1) w[row + SSTHRESH] = Math.max(inFlight >> 1, 2 * mss);
    w[row + CWND] = mss;
    w[row + SND_NXT] = w[row + SND_UNA]!;
    w[row + CURSOR] = w[row + HEAD]!;
    w[row + RECOVER] = w[row + SND_MAX]!;
    w[row + FLAGS]! &= ~(IN_RECOVERY | FIN_SENT | RETRANSMIT);
    clearDuplicates(c, s);
    // A window that shrank meanwhile must not stop the first segment.
    if (w[row + HEAD] !== NONE) w[row + FLAGS]! |= WINDOW_PROBE;
  }
  c.makeReady(s);
}

/** The path takes smaller packets only: what is in flight is cut anew. */
export function resendSmaller(c: Context, s: number): void {
  const w = c.words;
  const row = s * ROW;
  if (w[row + SND_UNA] === w[row + SND_MAX] || w[row + HEAD] === NONE) return;
  w[row + SND_NXT] = w[row + SND_UNA]!;
  w[row + CURSOR] = w[row + HEAD]!;
  w[row + FLAGS]! &= ~(IN_RECOVERY | FIN_SENT | RETRANSMIT);
  c.times[s * TIMES + RTT_AT] = 0;
  c.makeReady(s);
}

/**
 * Takes the acknowledgement and window of a segment of the target (RFC 9293 section 3.10.7.4, fifth check). False if it
 * acknowledges what was never sent, or is older than any segment on its way can be (RFC 5961 section 5.2). `payload` is
 * the segment's data and FIN.
 */
export function takeAcknowledgement(c: Context, s: number, packet: Packet, payload: number): boolean {
  const w = c.words;
  const row = s * ROW;
  const ack = packet.ack | 0;
  if (distance(ack, w[row + SND_MAX]!) > 0) return false;
  const acked = distance(ack, w[row + SND_UNA]!);
  if (acked < -w[row + MAX_SND_WND]!) return false;
  const window = packet.window << w[row + SND_WSCALE]!;
  if (acked > 0) {
    w[row + SND_UNA] = ack;
    if (distance(ack, w[row + SND_NXT]!) > 0) w[row + SND_NXT] = ack;
    releaseAcknowledged(c, s);
    measureRoundTrip(c, s, ack, packet.time);
    w[row + RETRIES] = 0;
    w[row + PROBES] = 0;
    c.times[s * TIMES + RTO_AT] = 0;
    c.times[s * TIMES + PROGRESS_AT] = c.now;
    if (ack !== w[row + SND_NXT]) armRetransmission(c, s);
    openCongestionWindow(c, s, acked);
  } else if (acked === 0 && payload === 0 && window === w[row + SND_WND] && ack !== w[row + SND_NXT]) {
    takeDuplicate(c, s);
  }
  if (acked >= 0) {
    const seq = packet.seq | 0;
    const newer = distance(seq, w[row + SND_WL1]!);
    if (newer > 0 || (newer === 0 && distance(ack, w[row + SND_WL2]!) >= 0)) {
      if (w[row + SND_WND] === 0 && window > 0 && ack === w[row + SND_NXT]) endProbing(c, s);
      w[row + SND_WND] = window;
      if (window > w[row + MAX_SND_WND]!) w[row + MAX_SND_WND] = window;
      w[row + SND_WL1] = seq;
      w[row + SND_WL2] = ack;
    }
  }
  return true;
}

/** The window has opened. */
function endProbing(c: Context, s: number): void {
  c.times[s * TIMES + RTO_AT] = 0;
  c.words[s * ROW + PROBES] = 0;
}

/** Forgets what is acknowledged; the cursor never stays behind SND_NXT. */
function releaseAcknowledged(c: Context, s: number): void {
  const w = c.words;
  const row = s * ROW;
  const una = (w[row + SND_UNA]! - w[row + SEQ_DELTA]!) | 0;
  for (let head = w[row + HEAD]!; head !== NONE; head = w[row + HEAD]!) {
    if (distance(segmentEnd(c, head), una) > 0) break;
    // Behind our FIN nothing was sent, whatever its acknowledgement says.
    if (head === w[row + CURSOR] && w[row + FLAGS]! & FIN_SENT) break;
    releaseHead(c, s);
  }
}
