/** The timers of a session: delayed ACK, retransmission, turns that become due, time limits. */
import { ACK, RST } from "../../wire/tcp.ts";
import type { Context } from "../sessions/context.ts";
import type { DropReason } from "../sessions/counters.ts";
import { isHeld } from "../sessions/hold.ts";
import {
  ACK_AT,
  ACK_NOW,
  ACTIVE_AT,
  CLIENT_FIN,
  CLIENT_RST,
  CLIENTLESS,
  CLOSE_WAIT,
  DUE_AT,
  ESTABLISHED,
  FIN_WAIT_2,
  FLAGS,
  FREE,
  GAP_AT,
  GAP_WAITS,
  HEAD,
  MIDSTREAM,
  NONE,
  PORT,
  PROGRESS_AT,
  RESPONSE_AT,
  RETRIES,
  ROW,
  RTO_AT,
  SINCE,
  STATE,
  SUPERSEDED,
  SYN_SENT,
  TIME_WAIT,
  TIMES,
  TURN_AT,
  TURN_COUNTED,
  TURN_OPEN,
  TURNS,
} from "../sessions/table.ts";
import { dropStream } from "../turns/drop.ts";
import { hasGap, skipGap } from "../turns/reassembly.ts";
import { closeSettlesAt, settleClose } from "../turns/target-close.ts";
import { LINGER, timeWaitIsOver } from "./closing.ts";
import { endSession, leaveConnection, loseConnection } from "./connection.ts";
import { emitControl, hasRoom } from "./emit.ts";
import { awaitsWindow, probeWindow } from "./persist.ts";
import { retransmitAfterTimeout } from "./retransmission.ts";

/** SYN retransmissions before the target counts as unreachable, after 1 + 2 + 4 + 8 s. */
const SYN_RETRIES = 3;
/** Data retransmissions before the connection is given up. */
const DATA_RETRIES = 8;
/** us between two checks whether the turns before a gap are done. */
const GAP_CHECK = 50_000;
/** Most checks for the last turn before a gap, which may never be done: it may end in the gap. */
const GAP_CHECKS = 20;
/** us, after -t, for which a session is kept whose client has closed or has another connection. */
const LEAVING_SPAN = 120_000_000;
/** us; Linux's tcp_fin_timeout. */
const FIN_WAIT_2_SPAN = 60_000_000;

/** us between two checks of a session whose path is held. */
const HELD_CHECK = 100_000;

/** Sends a RST if the session has a connection and its egress has room. */
export function reset(c: Context, s: number): void {
  const row = s * ROW;
  if (c.words[row + PORT] === NONE || !hasRoom(c, s)) return;
  emitControl(c, s, RST | ACK);
}

/** Resets the connection; what becomes of its turns: see `loseConnection`. */
function giveUp(c: Context, s: number, reason: DropReason): void {
  reset(c, s);
  loseConnection(c, s, reason);
}

/** Runs the timers of a session that have expired, and arms the next. */
export function expire(c: Context, s: number): void {
  const w = c.words;
  const t = c.times;
  const row = s * ROW;
  const time = s * TIMES;
  if (w[row + STATE] === FREE) return;
  if (isHeld(c, s)) {
    c.wheel.arm(s, c.now + HELD_CHECK);
    return;
  }
  if (t[time + ACK_AT]! > 0 && t[time + ACK_AT]! <= c.now) {
    t[time + ACK_AT] = 0;
    w[row + FLAGS]! |= ACK_NOW;
    c.makeReady(s);
  }
  if (t[time + TURN_AT]! > 0 && t[time + TURN_AT]! <= c.now) {
    if (t[time + DUE_AT]! < t[time + TURN_AT]!) t[time + DUE_AT] = t[time + TURN_AT]!;
    t[time + TURN_AT] = 0;
    c.makeReady(s);
  }
  if (t[time + RTO_AT]! > 0 && t[time + RTO_AT]! <= c.now) {
    const isSyn = w[row + STATE] === SYN_SENT;
    if (awaitsWindow(c, s)) {
      probeWindow(c, s);
    } else if (w[row + RETRIES]! >= (isSyn ? SYN_RETRIES : DATA_RETRIES)) {
      if (isSyn && !(w[row + FLAGS]! & CLIENTLESS)) loseConnection(c, s, "unreachable");
      else giveUp(c, s, "unanswered");
      if (w[row + STATE] === FREE) return;
    } else {
      retransmitAfterTimeout(c, s);
    }
  }
  if (expireState(c, s)) return;
  arm(c, s);
}

/** The time limits of states, gaps, answers and idle sessions; true if the session has ended. */
function expireState(c: Context, s: number): boolean {
  const w = c.words;
  const t = c.times;
  const row = s * ROW;
  const time = s * TIMES;
  const state = w[row + STATE]!;
  if (state === TIME_WAIT && timeWaitIsOver(c, s)) {
    endSession(c, s);
    return true;
  }
  if (state === FIN_WAIT_2 && t[time + SINCE]! + FIN_WAIT_2_SPAN <= c.now) {
    reset(c, s);
    endSession(c, s);
    return true;
  }
  settleClose(c, s);
  if (state === CLOSE_WAIT && t[time + SINCE]! + LINGER <= c.now) c.makeReady(s);
  if (hasGap(c, s) && t[time + GAP_AT]! <= c.now) {
    closeAtGap(c, s);
    if (w[row + STATE] === FREE) return true;
  }
  if (awaitsTarget(c, s) && answerDeadline(c, s) <= c.now) {
    giveUp(c, s, "unanswered");
  } else if (w[row + TURNS] === 0 && t[time + ACTIVE_AT]! + idleTimeout(c, s) <= c.now) {
    reset(c, s);
    endSession(c, s, "ended", "idle");
    return true;
  }
  return w[row + STATE] === FREE;
}

/** us without a sign of life after which a session ends; shorter if its client has left, so that none can come. */
function idleTimeout(c: Context, s: number): number {
  const span = c.protocols?.idleTimeout(s) ?? c.config.idleTimeout;
  const hasNoClient = c.words[s * ROW + FLAGS]! & (CLIENT_FIN | CLIENT_RST | CLIENTLESS | SUPERSEDED);
  return hasNoClient ? Math.min(span, c.config.sessionTimeout + LEAVING_SPAN) : span;
}

/** Whether something is expected of the target: an acknowledgement, a larger window, or the answer to the open turn. */
function awaitsTarget(c: Context, s: number): boolean {
  const row = s * ROW;
  const state = c.words[row + STATE]!;
  if (state < ESTABLISHED || state === TIME_WAIT) return false;
  if (c.words[row + HEAD] !== NONE) return true;
  return (c.words[row + FLAGS]! & (TURN_OPEN | TURN_COUNTED)) === TURN_OPEN;
}

/** The time, us, at which `awaitsTarget` has lasted for the session timeout. */
function answerDeadline(c: Context, s: number): number {
  const time = s * TIMES;
  const last = Math.max(c.times[time + RESPONSE_AT]!, c.times[time + PROGRESS_AT]!);
  return last + c.config.sessionTimeout;
}

/**
 * Bytes of the client are lost. Once the turns before the gap are done, the connection is reset, and the stream continues
 * with the first turn after the gap whose beginning is known.
 */
function closeAtGap(c: Context, s: number): void {
  const w = c.words;
  const row = s * ROW;
  const turns = w[row + TURNS]!;
  if (w[row + STATE] === SYN_SENT) {
    c.times[s * TIMES + GAP_AT] = c.now + GAP_CHECK;
    return;
  }
  if (turns > 1 || (turns === 1 && w[row + GAP_WAITS]! < GAP_CHECKS)) {
    if (turns === 1) w[row + GAP_WAITS]!++;
    c.times[s * TIMES + GAP_AT] = c.now + GAP_CHECK;
    return;
  }
  reset(c, s);
  dropStream(c, s, "gap");
  c.protocols?.loseSync(s);
  const isContinued = skipGap(c, s);
  leaveConnection(c, s);
  c.makeReady(s);
  w[row + GAP_WAITS] = 0;
  if (isContinued) return;
  if (w[row + FLAGS]! & (CLIENT_FIN | CLIENT_RST)) endSession(c, s, "gap");
  else w[row + FLAGS]! |= MIDSTREAM;
}

/** Arms the wheel for the earliest timer or time limit of the session. */
export function arm(c: Context, s: number): void {
  const t = c.times;
  const w = c.words;
  const row = s * ROW;
  const time = s * TIMES;
  if (w[row + STATE] === FREE) return;
  // A session with pending turns does not become idle: it is only checked again.
  const idleSince = w[row + TURNS] === 0 ? t[time + ACTIVE_AT]! : c.now;
  let at = idleSince + idleTimeout(c, s);
  at = earlier(at, t[time + ACK_AT]!);
  at = earlier(at, t[time + RTO_AT]!);
  at = earlier(at, t[time + TURN_AT]!);
  if (hasGap(c, s)) at = earlier(at, t[time + GAP_AT]!);
  at = earlier(at, closeSettlesAt(c, s));
  const state = w[row + STATE]!;
  if (state === CLOSE_WAIT || state === TIME_WAIT) {
    const linger = t[time + SINCE]! + LINGER;
    if (state === TIME_WAIT || linger > c.now) at = Math.min(at, linger);
  } else if (state === FIN_WAIT_2) at = Math.min(at, t[time + SINCE]! + FIN_WAIT_2_SPAN);
  if (awaitsTarget(c, s)) at = Math.min(at, answerDeadline(c, s));
  c.wheel.arm(s, Math.max(at, c.now + 1));
}

/** The earlier of a time and a timer; the timer is 0 while it is off. */
function earlier(at: number, timer: number): number {
  return timer > 0 && timer < at ? timer : at;
}
