/** The sending side of the connection to the target (RFC 9293, 6298, 5681): what is sent next. */
import { DROP, HOLD } from "../../protocol/module.ts";
import { ACK, distance, PSH, RST } from "../../wire/tcp.ts";
import type { Context } from "../sessions/context.ts";
import { COUNTER } from "../sessions/counters.ts";
import { LENGTH, MARKS, NEXT, PAUSED, PREFIX, PUSH, SEGMENT, SEQ } from "../sessions/segments.ts";
import {
  ACK_NOW,
  CLIENT_RST,
  CLOSE_WAIT,
  CLOSED,
  CONNECTIONS,
  CURSOR,
  CWND,
  DELAY,
  DUE_AT,
  ESTABLISHED,
  FIN_SENT,
  FIN_WAIT_2,
  FLAGS,
  HEAD,
  LAST_ACK_STATE,
  MAX_SND_WND,
  NONE,
  OPEN_AT_ONCE,
  PATH,
  PROGRESS_AT,
  RETRANSMIT,
  ROW,
  RTO_AT,
  RTT_AT,
  RTT_SEQ,
  SEND_SYN,
  SENT_AT,
  SEQ_DELTA,
  SHED,
  SND_MAX,
  SND_NXT,
  SND_UNA,
  SND_WND,
  STATE,
  SYN_AT,
  SYN_SENT,
  TIME_WAIT,
  TIMES,
  TURN_ADMITTED,
  WINDOW_PROBE,
} from "../sessions/table.ts";
import type { Users } from "../sessions/users.ts";
import { dropAllTurns, dropTurn, takeBackTurn } from "../turns/drop.ts";
import { dropLate, spreadLate } from "../turns/late.ts";
import { awaitLogin } from "../turns/login.ts";
import { placeHeader } from "../turns/prefix.ts";
import { awaitHeader } from "../turns/proxy-header.ts";
import {
  beginTurn,
  connectedAt,
  dueAt,
  hasCome,
  isBegun,
  mayBegin,
  mayGoOn,
  settleTurn,
} from "../turns/turns.ts";
import { isFinDue, sendFin } from "./closing.ts";
import { restartAfterIdle } from "./congestion.ts";
import { isOver, leaveConnection, leaveToClose, nextPath, openConnection } from "./connection.ts";
import { dataEnd, emit, emitControl, hasRoom, MAX_PAYLOAD, segmentSize } from "./emit.ts";
import { reset } from "./expiry.ts";
import { sendSyn } from "./handshake.ts";
import { awaitWindow, sendProbe } from "./persist.ts";
import { armRetransmission, sendHead } from "./retransmission.ts";

/** The result of `transmit`; "over": the caller must end the session. */
export type Sent = "done" | "batch full" | "no port" | "no memory" | "over";

/** Sends all that may be sent now. */
export function transmit(c: Context, s: number): Sent {
  const w = c.words;
  const row = s * ROW;
  if (c.protocols?.takesBack(s)) {
    reset(c, s);
    dropAllTurns(c, s, "protocol");
    leaveConnection(c, s);
  }
  awaitHeader(c, s);
  dropLate(c, s);
  const mayGo = awaitLogin(c, s);
  if (w[row + STATE] === CLOSED) {
    const mayConnect = c.protocols === null || c.protocols.mayConnect(s);
    if (isOver(c, s) && (!mayConnect || !(w[row + FLAGS]! & OPEN_AT_ONCE))) return "over";
    if (!mayConnect || !(mayGo || w[row + FLAGS]! & OPEN_AT_ONCE)) return "done";
    if (!wantsConnection(c, s) || c.held[nextPath(c, s)]) return "done";
    if (c.users !== null && !admit(c, c.users, s)) return "done";
    const opened = openConnection(c, s);
    if (opened !== "opened") return opened;
  }
  if (c.held[w[row + PATH]!]) return "done";
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

/** Whether the session needs a connection now. Drops the turns that are over the limit of turns. */
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
  w[row + FLAGS]! |= TURN_ADMITTED;
  return w[row + CURSOR] !== NONE;
}

function sendData(c: Context, s: number): Sent {
  const w = c.words;
  const row = s * ROW;
  const g = c.segments.words;
  const state = w[row + STATE]!;
  if (state < ESTABLISHED || state === FIN_WAIT_2 || state === TIME_WAIT) return "done";
  if (state === ESTABLISHED) {
    const header = placeHeader(c, s);
    if (header === "waits") return "done";
    if (header === "no memory") return header;
    if (c.protocols !== null && header === "none" && !c.protocols.place(s)) return "no memory";
  }
  const mss = segmentSize(c, s);
  if (w[row + SND_UNA] === w[row + SND_NXT] && w[row + CURSOR] !== NONE) restartAfterIdle(c, s);
  for (let segment = w[row + CURSOR]!; segment !== NONE; segment = w[row + CURSOR]!) {
    if (w[row + FLAGS]! & FIN_SENT && distance(w[row + SND_NXT]!, dataEnd(c, s)) >= 0) {
      // Nothing is sent after our FIN. If it only answered the target's FIN, the client's next turn gets a new connection.
      return state === LAST_ACK_STATE ? reopen(c, s) : "done";
    }
    if (!hasRoom(c, s)) return "batch full";
    const at = segment * SEGMENT;
    if (state === CLOSE_WAIT && takeBackTurn(c, s)) return reopen(c, s);
    if (!isBegun(c, s, segment) && !(g[at + MARKS]! & PREFIX)) {
      if (!mayBegin(c, s, segment)) {
        if (spreadLate(c, s, segment)) continue;
        return "done";
      }
      if (state !== ESTABLISHED) {
        // What is in flight still needs this connection.
        return w[row + HEAD] === segment ? reopen(c, s) : "done";
      }
      if (w[row + HEAD] === segment && w[row + SND_NXT] === w[row + SND_MAX]) {
        if (!(w[row + FLAGS]! & TURN_ADMITTED) && !c.allowTurn()) {
          dropTurn(c, s, "limit");
          continue;
        }
        w[row + FLAGS]! &= ~TURN_ADMITTED;
        // Turns before this one may have been dropped: it takes the next sequence number all the same.
        w[row + SEQ_DELTA] = (w[row + SND_NXT]! - g[at + SEQ]!) | 0;
      }
      if (c.protocols?.owns(s)) {
        const verdict = c.protocols.begin(s, segment);
        const isAlone = w[row + HEAD] === segment;
        if (verdict === HOLD || (verdict === DROP && !isAlone)) return "done";
        if (verdict === DROP) {
          dropTurn(c, s, "protocol");
          continue;
        }
        if (w[row + CURSOR] !== segment) {
          // The module has replaced it.
          beginTurn(c, s, w[row + CURSOR]!);
          continue;
        }
      }
      beginTurn(c, s, segment);
    } else if (c.protocols !== null) {
      if (g[at + MARKS]! & PAUSED && !mayGoOn(c, s, segment)) return "done";
      c.protocols.more(s, segment);
      if (w[row + CURSOR] !== segment) continue;
    }
    const next = w[row + SND_NXT]!;
    const from = distance(next, (g[at + SEQ]! + w[row + SEQ_DELTA]!) | 0);
    const rest = g[at + LENGTH]! - from;
    let length = Math.min(rest, MAX_PAYLOAD);
    const inFlight = distance(next, w[row + SND_UNA]!);
    const room = Math.min(w[row + SND_WND]!, w[row + CWND]!) - inFlight;
    // Only full-sized segments, except for the end of a captured segment (RFC 9293 section 3.8.6.2.1).
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
    const due = isAgain || c.segments.times[segment] === 0 ? 0 : dueAt(c, s, segment);
    const push = isLast && g[at + MARKS]! & PUSH ? PSH : 0;
    emit(c, s, ACK | push, next, segment, from, length, mss, due);
    if (due > 0) noteWaits(c, s, due);
    const end = (next + length) | 0;
    w[row + SND_NXT] = end;
    if (isAgain) c.counters[COUNTER.retransmitted]!++;
    if (distance(end, w[row + SND_MAX]!) > 0) {
      w[row + SND_MAX] = end;
      c.times[s * TIMES + PROGRESS_AT] = c.now;
      c.times[s * TIMES + SENT_AT] = c.now;
      if (c.times[s * TIMES + RTT_AT] === 0 && !isAgain) {
        w[row + RTT_SEQ] = end;
        c.times[s * TIMES + RTT_AT] = c.now;
      }
    }
    if (isLast) w[row + CURSOR] = g[at + NEXT]!;
    // If nothing was in flight, a running timer is the persist timer.
    if (inFlight === 0 || c.times[s * TIMES + RTO_AT] === 0) armRetransmission(c, s);
  }
  return "done";
}

/** Notes in the batch what the packet that was written last has waited for since it was due. */
function noteWaits(c: Context, s: number, due: number): void {
  const connected = Math.max(due, connectedAt(c, s, due));
  const path = c.paths[c.words[s * ROW + PATH]!]!;
  c.batches[path.egress]!.noteWaits(connected, Math.max(connected, c.times[s * TIMES + DUE_AT]!));
}

/**
 * Whether the session has a place among the users. By the clock its timeline begins when it gets one, so that its turns keep
 * their distances.
 */
function admit(c: Context, users: Users, s: number): boolean {
  if (c.spread?.has(s)) return true;
  if (!users.admit(s)) return false;
  const row = s * ROW;
  if (c.config.pace !== "clock" || c.words[row + CONNECTIONS]! > 0) return true;
  const segment = c.words[row + CURSOR]!;
  const began = c.times[s * TIMES + SYN_AT]! || (segment === NONE ? c.now : c.segments.times[segment]!);
  const delay = s * TIMES + DELAY;
  c.times[delay] = Math.max(c.times[delay]!, c.now - began);
  return true;
}

/** The target has closed and the client has not: opens a new connection for the next turn. */
function reopen(c: Context, s: number): Sent {
  settleTurn(c, s);
  leaveToClose(c, s);
  return transmit(c, s);
}
