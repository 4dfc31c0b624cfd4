/** The connection to the target: opened with a 4-tuple of ours, closed, lost, and the end of the session. */
import { ipHeaderLength } from "../wire/ip.ts";
import { distance } from "../wire/tcp.ts";
import type { Context } from "./context.ts";
import { COUNTER, type DropReason } from "./counters.ts";
import { MARKS, SEGMENT, SEQ, TURN_START } from "./segments.ts";
import { releaseHead, releaseHeld } from "./stream.ts";
import {
  ACK_AT,
  ACK_NOW,
  CLIENT_FIN,
  CLIENT_RST,
  CLOSED,
  CONNECTIONS,
  CURSOR,
  CWND,
  DUPLICATE_ACKS,
  FIN_SENT,
  FLAGS,
  FREE,
  HEAD,
  IN_RECOVERY,
  ISS,
  LAST_PUSH,
  MIDSTREAM,
  MSS,
  NONE,
  OFFER_MSS,
  OUT_OF_ORDER_COUNT,
  PATH,
  PORT,
  PROBE,
  RCV_ACKED,
  RCV_NXT,
  RECOVER,
  RETRANSMIT,
  RETRIES,
  ROW,
  RTO,
  RTO_AT,
  RTT_AT,
  RTTVAR,
  SACK,
  SEND_SYN,
  SEQ_DELTA,
  SERVICE,
  SHED,
  SINCE,
  SKIP_TURN,
  SND_MAX,
  SND_NXT,
  SND_UNA,
  SND_WL1,
  SND_WL2,
  SND_WND,
  SND_WSCALE,
  SRTT,
  SSTHRESH,
  STATE,
  STREAM_END,
  SUPERSEDED,
  SYN_SENT,
  TIMES,
  TIMESTAMPS,
  TURN_AT,
  TURN_COUNTED,
  TURN_OPEN,
  TURN_RETRIED,
  TURNS,
  WAS_ESTABLISHED,
  WINDOW_PROBE,
} from "./table.ts";
import { settleTurn, turnStart } from "./turns.ts";

/** RFC 6298 section 2.1. */
const INITIAL_RTO = 1_000_000;
const NO_THRESHOLD = 0x3fffffff;

/**
 * An initial sequence number that grows with time for the same flow, also across a restart (RFC 6528, with no secret:
 * the target's TIME_WAIT takes a SYN that is later than its predecessor).
 */
function initialSequence(c: Context, path: number, port: number): number {
  const { pair, targetPort } = c.paths[path]!;
  const hash = Math.imul(pair.pseudoSum + targetPort, 0x9e3779b1) ^ Math.imul(port, 0x85ebca6b);
  return (Math.floor(c.now / 4) + hash) | 0;
}

/**
 * Gives the session a 4-tuple of ours and asks for its SYN; what is sent first is the segment at the cursor. False if
 * no source port is free.
 */
export function openConnection(c: Context, s: number): boolean {
  const w = c.words;
  const row = s * ROW;
  const service = w[row + SERVICE]!;
  const paths = c.config.services[service]!;
  let path = NONE;
  let port = NONE;
  for (let i = 0; i < paths.length && port === NONE; i++) {
    const turn = c.rotation[service]!;
    c.rotation[service] = turn + 1 === paths.length ? 0 : turn + 1;
    path = paths[turn]!;
    port = c.ports.take(path);
  }
  if (port === NONE) return false;
  connect(c, s, path, port);
  return true;
}

/** Opens a connection on a path whose port is given. */
export function connect(c: Context, s: number, path: number, port: number): void {
  const w = c.words;
  const t = c.times;
  const row = s * ROW;
  c.config.openFlow(path, port);
  w[row + PATH] = path;
  w[row + PORT] = port;
  c.ownFlows.add(s);
  const iss = initialSequence(c, path, port);
  const cursor = w[row + CURSOR]!;
  const first = cursor === NONE ? w[row + STREAM_END]! : c.segments.words[cursor * SEGMENT + SEQ]!;
  const header = ipHeaderLength(c.paths[path]!.pair.family) + 20;
  w[row + STATE] = SYN_SENT;
  w[row + ISS] = iss;
  w[row + SEQ_DELTA] = (iss + 1 - first) | 0;
  w[row + SND_UNA] = iss;
  w[row + SND_NXT] = iss;
  w[row + SND_MAX] = iss;
  w[row + SND_WND] = 0;
  w[row + SND_WL1] = 0;
  w[row + SND_WL2] = 0;
  w[row + SND_WSCALE] = 0;
  w[row + CWND] = 0;
  w[row + SSTHRESH] = NO_THRESHOLD;
  w[row + RECOVER] = iss;
  w[row + DUPLICATE_ACKS] = 0;
  w[row + RCV_NXT] = 0;
  w[row + RCV_ACKED] = 0;
  w[row + SRTT] = 0;
  w[row + RTTVAR] = 0;
  w[row + RTO] = INITIAL_RTO;
  w[row + RETRIES] = 0;
  w[row + MSS] = c.paths[path]!.mtu - header;
  w[row + OFFER_MSS] = Math.min(w[row + OFFER_MSS]!, c.paths[path]!.mtu - header);
  w[row + OUT_OF_ORDER_COUNT] = 0;
  w[row + FLAGS] =
    (w[row + FLAGS]! | SEND_SYN) &
    ~(ACK_NOW | FIN_SENT | IN_RECOVERY | TIMESTAMPS | SACK | RETRANSMIT | WINDOW_PROBE | LAST_PUSH);
  t[s * TIMES + RTO_AT] = 0;
  t[s * TIMES + ACK_AT] = 0;
  t[s * TIMES + RTT_AT] = 0;
  t[s * TIMES + TURN_AT] = 0;
  if (w[row + CONNECTIONS]!++ > 0) c.counters[COUNTER.reconnected]!++;
}

/** Gives the 4-tuple up; the session stays. The open turn, if there is one, has been settled. */
export function leaveConnection(c: Context, s: number): void {
  const w = c.words;
  const row = s * ROW;
  if (w[row + PORT] === NONE) return;
  c.ownFlows.remove(s);
  c.ports.give(w[row + PATH]!, w[row + PORT]!);
  w[row + PATH] = NONE;
  w[row + PORT] = NONE;
  w[row + STATE] = CLOSED;
  w[row + FLAGS]! &= ~(SEND_SYN | ACK_NOW | FIN_SENT | RETRANSMIT | WINDOW_PROBE | TURN_OPEN);
  c.times[s * TIMES + RTO_AT] = 0;
  c.times[s * TIMES + ACK_AT] = 0;
  c.times[s * TIMES + TURN_AT] = 0;
}

/** Drops every turn that was captured and not counted, and what is kept of them. */
export function dropAllTurns(c: Context, s: number, reason: DropReason): void {
  const w = c.words;
  const row = s * ROW;
  while (w[row + HEAD] !== NONE) releaseHead(c, s);
  releaseHeld(c, s);
  c.dropTurns(w[row + TURNS]!, reason);
  w[row + TURNS] = 0;
  w[row + FLAGS] = (w[row + FLAGS]! | SKIP_TURN) & ~TURN_OPEN;
}

/** Drops the turn in progress, and what is kept of it; further turns stay. */
function dropOpenTurn(c: Context, s: number, reason: DropReason): void {
  const w = c.words;
  const row = s * ROW;
  if ((w[row + FLAGS]! & (TURN_OPEN | TURN_COUNTED)) === TURN_OPEN) {
    w[row + TURNS]!--;
    c.dropTurns(1, reason);
  }
  w[row + FLAGS]! &= ~TURN_OPEN;
  w[row + CURSOR] = w[row + HEAD]!;
  while (w[row + HEAD] !== NONE && !(c.segments.words[w[row + HEAD]! * SEGMENT + MARKS]! & TURN_START)) {
    releaseHead(c, s);
  }
  if (w[row + HEAD] === NONE) w[row + FLAGS]! |= SKIP_TURN;
}

/**
 * The connection is gone (reset, refused, given up, or closed by the target): what was answered counts, a turn that
 * the target took nothing of is sent again once on a new connection, one it took a part of is dropped.
 */
export function loseConnection(c: Context, s: number, reason: DropReason): void {
  const w = c.words;
  const row = s * ROW;
  const state = w[row + STATE]!;
  if (w[row + FLAGS]! & PROBE) {
    endSession(c, s);
    return;
  }
  if (state === SYN_SENT) {
    dropAllTurns(c, s, reason);
  } else if (w[row + FLAGS]! & TURN_OPEN) {
    settleTurn(c, s);
    const flags = w[row + FLAGS]!;
    const untouched =
      w[row + RCV_NXT] !== 0 && distance(w[row + SND_UNA]!, turnStart(c, s)) <= 0 && w[row + HEAD] !== NONE;
    if (!(flags & (TURN_COUNTED | TURN_RETRIED)) && untouched && reason === "reset") {
      w[row + FLAGS] = (flags & ~TURN_OPEN) | TURN_RETRIED;
      w[row + CURSOR] = w[row + HEAD]!;
      c.segments.words[w[row + HEAD]! * SEGMENT + MARKS]! |= TURN_START;
    } else {
      dropOpenTurn(c, s, reason);
    }
  }
  leaveConnection(c, s);
  c.makeReady(s);
}

/** Whether client and session have nothing left to do once the connection is gone. */
export function isOver(c: Context, s: number): boolean {
  return (c.words[s * ROW + FLAGS]! & (CLIENT_FIN | CLIENT_RST)) !== 0 && c.words[s * ROW + CURSOR] === NONE;
}

/**
 * The end of a session, in exactly one counter; what is left of its turns is dropped for `reason`, or counted as sent
 * where it was delivered.
 */
export function endSession(c: Context, s: number, reason: DropReason = "ended", wasReset = false): void {
  const w = c.words;
  const row = s * ROW;
  if (w[row + STATE] === FREE) return;
  settleTurn(c, s);
  dropAllTurns(c, s, reason);
  leaveConnection(c, s);
  const flags = w[row + FLAGS]!;
  if (!(flags & PROBE)) {
    if (!(flags & SUPERSEDED)) c.clientFlows.remove(s);
    c.counters[COUNTER.active]!--;
    let counter = COUNTER.failed;
    if (flags & SHED) counter = COUNTER.shed;
    else if (wasReset) counter = COUNTER.resetSessions;
    else if (flags & (WAS_ESTABLISHED | MIDSTREAM)) counter = COUNTER.closed;
    c.counters[counter]!++;
  }
  c.wheel.disarm(s);
  c.table.release(s);
}

/** When a state that ends by time was entered. */
export function enterTimed(c: Context, s: number, state: number): void {
  c.words[s * ROW + STATE] = state;
  c.times[s * TIMES + SINCE] = c.now;
}
