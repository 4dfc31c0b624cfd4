/** Opening, leaving and losing the connection to the target, and ending the session. */
import { ipHeaderLength, setSource } from "../../wire/ip.ts";
import { ASIDE, type Context } from "../sessions/context.ts";
import { COUNTER, type DropReason } from "../sessions/counters.ts";
import { ACK_NUMBER, SEGMENT } from "../sessions/segments.ts";
import { ownsClient } from "../sessions/share.ts";
import type { Spread } from "../sessions/spread.ts";
import {
  ACK_AT,
  ACK_NOW,
  CLIENT_ADDRESS,
  CLIENT_END,
  CLIENT_FIN,
  CLIENT_PORTS,
  CLIENT_RST,
  CLIENTLESS,
  CLOSED,
  CONNECTIONS,
  COPY,
  CURSOR,
  CWND,
  DUPLICATE_ACKS,
  EXCUSED,
  FIN_SENT,
  FIRST_ACK,
  FLAGS,
  FREE,
  HALF_CLOSE,
  HAS_DUPLICATES,
  HEAD,
  HELD,
  IN_RECOVERY,
  ISS,
  LAST_PUSH,
  MAX_SND_WND,
  MIDSTREAM,
  MSS,
  NONE,
  OFFER_MSS,
  OPEN_AT_ONCE,
  OUT_OF_ORDER_COUNT,
  PATH,
  PORT,
  PROBES,
  QUEUED,
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
  TAIL,
  TARGET,
  TIMES,
  TIMESTAMPS,
  TURN_AT,
  TURN_OPEN,
  TURNS,
  WAS_ESTABLISHED,
  WINDOW_PROBE,
} from "../sessions/table.ts";
import { routeOf } from "../sessions/weights.ts";
import { dropAllTurns, loseTurns } from "../turns/drop.ts";
import { removePrefix } from "../turns/prefix.ts";
import { releaseHeader } from "../turns/proxy-header.ts";
import { nextToSend } from "../turns/stream.ts";
import { settleTurn } from "../turns/turns.ts";

/** us (RFC 6298 section 2.1). */
const INITIAL_RTO = 1_000_000;
const NO_THRESHOLD = 0x3fffffff;

/**
 * An initial sequence number that grows with time for the same flow, also across a restart (RFC 6528, but without a secret):
 * a target in TIME_WAIT accepts a SYN with a higher sequence number.
 */
function initialSequence(c: Context, path: number, port: number): number {
  const { pair, targetPort } = c.paths[path]!;
  const hash = Math.imul(pair.pseudoSum + targetPort, 0x9e3779b1) ^ Math.imul(port, 0x85ebca6b);
  return (Math.floor(c.now / 4) + hash) | 0;
}

/** The result of `openConnection`. */
export type Opened = "opened" | "no port";

/** Gives the session a path and a source port, and asks for a SYN. The first data is the segment at CURSOR. */
export function openConnection(c: Context, s: number): Opened {
  const w = c.words;
  const row = s * ROW;
  const service = w[row + SERVICE]!;
  const route = routeOf(w[row + COPY]!, c.config.replicas);
  const target = w[row + TARGET]!;
  const { paths } = c.config.services[service]![route]![target]!;
  const rotation = c.pathRotation[service]![route]!;
  let path = NONE;
  let port = NONE;
  for (let i = 0; i < paths.length && port === NONE; i++) {
    const turn = rotation[target]!;
    rotation[target] = turn + 1 === paths.length ? 0 : turn + 1;
    path = paths[turn]!;
    port = c.paths[path]!.fromClient ? portOfClient(c, s, path) : c.ports.take(path);
  }
  if (port === NONE) return "no port";
  connect(c, s, path, port);
  return "opened";
}

/** The first path of the session's target. */
export function nextPath(c: Context, s: number): number {
  const w = c.words;
  const row = s * ROW;
  const routes = c.config.services[w[row + SERVICE]!]!;
  return routes[routeOf(w[row + COPY]!, c.config.replicas)]![w[row + TARGET]!]!.paths[0]!;
}

/** Random ports that are tried, for each worker, before an address counts as having no free port. */
const PORT_TRIES = 256;

/** A free port of the client's address on this path, or NONE; for the first replica the client's own port, if it may be used. */
function portOfClient(c: Context, s: number, path: number): number {
  const w = c.words;
  const row = s * ROW;
  const isFree = (port: number) =>
    ownsClient(c.share, w, row + CLIENT_ADDRESS, port) &&
    c.ownFlows.find(path, port, w, row + CLIENT_ADDRESS) === NONE;
  const own = w[row + CLIENT_PORTS]! >>> 16;
  const isFirst = w[row + COPY]! % c.config.replicas === 0;
  if (c.config.keepsClientPorts && isFirst && isFree(own)) return own;
  for (let i = 0; i < PORT_TRIES * c.share.workers; i++) {
    const port = c.ports.any();
    if (isFree(port)) return port;
  }
  return NONE;
}

/** A source port for a probe from the client's address in the session's row. */
export function probePort(c: Context, s: number): number {
  let port = c.ports.any();
  const tries = PORT_TRIES * c.share.workers;
  for (let i = 0; i < tries && !ownsClient(c.share, c.words, s * ROW + CLIENT_ADDRESS, port); i++) {
    port = c.ports.any();
  }
  return port;
}

/** Opens a connection on a path from a port: sets the row to SYN_SENT. */
export function connect(c: Context, s: number, path: number, port: number): void {
  const w = c.words;
  const t = c.times;
  const row = s * ROW;
  w[row + PATH] = path;
  w[row + PORT] = port;
  c.ownFlows.add(s);
  if (c.paths[path]!.fromClient) setSource(c.paths[path]!.pair, w, row + CLIENT_ADDRESS);
  const iss = initialSequence(c, path, port);
  c.config.openFlow(path, port, w, row + CLIENT_ADDRESS, iss);
  const cursor = w[row + CURSOR]!;
  const first = nextToSend(c, s);
  if (w[row + CONNECTIONS]! > 0 && cursor !== NONE) {
    w[row + FIRST_ACK] = c.segments.words[cursor * SEGMENT + ACK_NUMBER]!;
    w[row + EXCUSED] = 0;
  }
  const header = ipHeaderLength(c.paths[path]!.pair.family) + 20;
  w[row + STATE] = SYN_SENT;
  w[row + ISS] = iss;
  w[row + SEQ_DELTA] = (iss + 1 - first) | 0;
  w[row + SND_UNA] = iss;
  w[row + SND_NXT] = iss;
  w[row + SND_MAX] = iss;
  w[row + SND_WND] = 1; // for the SYN
  w[row + MAX_SND_WND] = 0;
  w[row + PROBES] = 0;
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
    ~(
      OPEN_AT_ONCE |
      ACK_NOW |
      FIN_SENT |
      IN_RECOVERY |
      TIMESTAMPS |
      SACK |
      RETRANSMIT |
      WINDOW_PROBE |
      LAST_PUSH |
      HAS_DUPLICATES
    );
  t[s * TIMES + RTO_AT] = 0;
  t[s * TIMES + ACK_AT] = 0;
  t[s * TIMES + RTT_AT] = 0;
  t[s * TIMES + TURN_AT] = 0;
  if (w[row + CONNECTIONS]!++ > 0) c.counters[COUNTER.reconnected]!++;
}

/** Gives path and port up; the session stays. The caller has settled the open turn, if there is one. */
export function leaveConnection(c: Context, s: number): void {
  const w = c.words;
  const row = s * ROW;
  if (w[row + STATE] === CLOSED) return;
  removePrefix(c, s);
  c.protocols?.disconnected(s);
  // A part of the turn was delivered on this connection: the rest of it cannot be sent on another one.
  if (w[row + HEAD] === NONE) w[row + FLAGS]! |= SKIP_TURN;
  if (w[row + PORT] !== NONE) {
    c.ownFlows.remove(s);
    if (!c.paths[w[row + PATH]!]!.fromClient) c.ports.give(w[row + PATH]!, w[row + PORT]!);
  }
  w[row + PATH] = NONE;
  w[row + PORT] = NONE;
  w[row + STATE] = CLOSED;
  w[row + FLAGS]! &= ~(SEND_SYN | ACK_NOW | FIN_SENT | RETRANSMIT | WINDOW_PROBE | TURN_OPEN);
  c.times[s * TIMES + RTO_AT] = 0;
  c.times[s * TIMES + ACK_AT] = 0;
  c.times[s * TIMES + TURN_AT] = 0;
}

/**
 * Moves the connection, which the target has closed, to a row of its own that only sends our FIN until it is acknowledged.
 * If there is no free row, the connection is abandoned.
 */
export function leaveToClose(c: Context, s: number): void {
  const w = c.words;
  const closing = c.table.allocate();
  if (closing !== NONE) {
    const to = closing * ROW;
    w.copyWithin(to, s * ROW, s * ROW + ROW);
    c.times.copyWithin(closing * TIMES, s * TIMES, s * TIMES + TIMES);
    w[to + FLAGS] = (w[to + FLAGS]! & (TIMESTAMPS | SACK | FIN_SENT)) | CLIENTLESS | CLIENT_FIN | HALF_CLOSE;
    for (const field of [HEAD, TAIL, HELD, CURSOR]) w[to + field] = NONE;
    w[to + CLIENT_END] = w[to + STREAM_END]!;
    w[to + QUEUED] = 0;
    w[to + TURNS] = 0;
    c.ownFlows.remove(s);
    c.ownFlows.add(closing);
    w[s * ROW + PORT] = NONE;
    c.makeReady(closing);
  }
  leaveConnection(c, s);
}

/**
 * The connection is gone (reset, refused, or given up). In SYN_SENT all turns are dropped. Else delivered turns count as
 * sent, and the first begun turn that was not delivered is sent again on a new connection or dropped: see `loseTurns`.
 */
export function loseConnection(c: Context, s: number, reason: DropReason): void {
  const w = c.words;
  const row = s * ROW;
  const state = w[row + STATE]!;
  if (w[row + FLAGS]! & CLIENTLESS) {
    endSession(c, s);
    return;
  }
  if (state === SYN_SENT) {
    dropAllTurns(c, s, reason);
  } else {
    removePrefix(c, s);
    loseTurns(c, s, reason);
  }
  leaveConnection(c, s);
  c.makeReady(s);
}

/** Whether a session without a connection has ended: its client has closed, and nothing is left to be sent. */
export function isOver(c: Context, s: number): boolean {
  const row = s * ROW;
  if (c.words[row + CURSOR] !== NONE || c.words[row + HELD] !== NONE) return false;
  return (c.words[row + FLAGS]! & (CLIENT_FIN | CLIENT_RST)) !== 0 || c.spread?.has(s) === true;
}

/** Why a session that was not SHED ends, as it is counted; "closed" also counts as "failed" if it never had a connection. */
export type Ending = "closed" | "resetSessions" | "idle" | "displaced";

/**
 * Ends a session and counts it in exactly one counter. Its pending turns are counted as sent if they were delivered, else
 * dropped for `reason`.
 */
export function endSession(
  c: Context,
  s: number,
  reason: DropReason = "ended",
  how: Ending = "closed",
): void {
  const w = c.words;
  const row = s * ROW;
  if (w[row + STATE] === FREE) return;
  settleTurn(c, s);
  dropAllTurns(c, s, reason);
  leaveConnection(c, s);
  releaseHeader(c, s);
  c.hasClosed[s] = 0;
  const flags = w[row + FLAGS]!;
  const isSibling = c.spread?.has(s) === true;
  if (!(flags & CLIENTLESS)) {
    if (!(flags & SUPERSEDED)) c.clientFlows.remove(s);
  }
  if (c.spread !== null) leaveSiblings(c, c.spread, s);
  if (!(flags & CLIENTLESS) && !isSibling) {
    c.counters[COUNTER.active]!--;
    let counter = COUNTER.failed;
    if (c.subflows[s] === ASIDE) counter = COUNTER.closed;
    else if (flags & SHED) counter = COUNTER.shed;
    else if (w[row + CONNECTIONS] === 0 && !(flags & MIDSTREAM)) {
      // Else production has not let the client in.
      if (c.protocols?.mayConnect(s) !== false) counter = COUNTER.shed;
    } else if (how !== "closed") counter = COUNTER[how];
    else if (flags & (WAS_ESTABLISHED | MIDSTREAM)) counter = COUNTER.closed;
    c.counters[counter]!++;
  }
  c.wheel.disarm(s);
  c.subflows[s] = 0;
  c.users?.leave(s);
  c.protocols?.close(s);
  c.table.release(s);
}

/** A session or sibling ends: the siblings of a session finish what they have, and close. */
function leaveSiblings(c: Context, spread: Spread, s: number): void {
  if (spread.has(s)) spread.remove(s);
  for (let sibling = spread.disown(s); sibling !== NONE; sibling = spread.disown(s)) {
    const row = sibling * ROW;
    c.words[row + FLAGS]! |= CLIENT_FIN;
    c.words[row + CLIENT_END] = c.words[row + STREAM_END]!;
    c.makeReady(sibling);
  }
}

/** Enters a state, and notes the time in SINCE. */
export function enterState(c: Context, s: number, state: number): void {
  c.words[s * ROW + STATE] = state;
  c.times[s * TIMES + SINCE] = c.now;
}
