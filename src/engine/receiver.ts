/**
 * The receiving side of the connection to the target (RFC 9293 section 3.10.7): the handshake's answer, data (counted and
 * acknowledged, not kept), FIN and RST.
 */
import type { Packet } from "../wire/packet.ts";
import { ACK, distance, FIN, PSH, parseOptions, RST, SYN } from "../wire/tcp.ts";
import { initialWindow } from "./congestion.ts";
import { endSession, enterTimed, leaveConnection, loseConnection } from "./connection.ts";
import type { Context } from "./context.ts";
import { COUNTER } from "./counters.ts";
import { emitReset, hasRoom } from "./emit.ts";
import { LINGER, takeAcknowledgement } from "./sender.ts";
import {
  ACK_AT,
  ACK_NOW,
  CHALLENGE_AT,
  CHALLENGES,
  CLIENT_FIN,
  CLIENT_RST,
  CLIENTLESS,
  CLOSE_WAIT,
  CLOSING,
  CWND,
  DUE_AT,
  ESTABLISHED,
  FIN_SENT,
  FIN_WAIT_1,
  FIN_WAIT_2,
  FIRST_RCV,
  FLAGS,
  ISS,
  LAST_ACK_STATE,
  LAST_INTERVAL,
  LAST_PUSH,
  MAX_SND_WND,
  MSS,
  OFFER_MSS,
  OFFER_SACK,
  OFFER_TIMESTAMPS,
  OFFER_WSCALE,
  OUT_OF_ORDER,
  OUT_OF_ORDER_COUNT,
  OUT_OF_ORDER_MAX,
  PATH,
  PORT,
  RCV_ACKED,
  RCV_NXT,
  RESPONSE_AT,
  RETRIES,
  ROW,
  RTO,
  SACK,
  SEND_SYN,
  SINCE,
  SND_MAX,
  SND_UNA,
  SND_WL1,
  SND_WL2,
  SND_WND,
  SND_WSCALE,
  STATE,
  SYN_SENT,
  TIME_WAIT,
  TIMES,
  TIMESTAMPS,
  TS_RECENT,
  TURN_RCV,
  WAS_ESTABLISHED,
} from "./table.ts";
import { countAnswered, settleTurn } from "./turns.ts";

/** RFC 1122 section 4.2.3.2 allows 500 ms; Linux's TCP_DELACK_MIN. */
const DELAYED_ACK = 40_000;
/** The handshake's ACK waits this long for the client's first data, to go with it. */
const HANDSHAKE_ACK = 20_000;
/** How long the row of a finished connection answers a repeated FIN. The port itself rests far longer (ports.ts). */
const TIME_WAIT_SPAN = 1_000_000;
/** So many challenge ACKs in so long, us (RFC 5961 section 7), for each connection: a bound for all would tell of others. */
const MOST_CHALLENGES = 10;
const CHALLENGE_SPAN = 5_000_000;
const DEFAULT_MSS = 536;
/** RFC 6298 section 5.7. */
const RTO_AFTER_SYN_LOSS = 3_000_000;
/** Least MSS we cut to, whatever the peer says (Linux's TCP_MIN_SND_MSS). */
const LEAST_MSS = 48;

/** What the try of a path came to: see Engine.probeResults. */
export type ProbeOutcome = (path: number, result: "answered" | "refused") => void;

/** Takes a segment of the target for session `s`. */
export function takeResponse(c: Context, s: number, packet: Packet, probed: ProbeOutcome): void {
  const w = c.words;
  const row = s * ROW;
  c.times[s * TIMES + DUE_AT] = packet.time;
  if (w[row + STATE] === SYN_SENT) {
    takeSynAck(c, s, packet, probed);
    return;
  }
  const flags = packet.flags;
  const seq = packet.seq | 0;
  const ahead = distance(seq, w[row + RCV_NXT]!);
  if (!isAcceptable(c, s, packet, ahead)) return;
  if (flags & RST) {
    // RFC 5961 section 3.2: exact, elsewhere in the window a challenge, before it nothing.
    if (ahead === 0) takeReset(c, s);
    else if (ahead > 0) challenge(c, s);
    return;
  }
  if (flags & SYN) {
    challenge(c, s); // RFC 5961 section 4.2
    return;
  }
  if (!(flags & ACK)) return;
  const fin = flags & FIN ? 1 : 0;
  if (!takeAcknowledgement(c, s, packet, packet.length + fin)) {
    challenge(c, s);
    return;
  }
  if (packet.length > 0) takeData(c, s, seq, packet.length, (flags & PSH) !== 0, packet.time);
  countAnswered(c, s);
  if (advanceClose(c, s)) return;
  if (fin && ((seq + packet.length) | 0) === w[row + RCV_NXT]) takeFin(c, s);
  else if (fin) acknowledge(c, s);
  c.makeReady(s);
}

/** PAWS (RFC 7323 section 5.3) and the window (RFC 9293 section 3.10.7.4, first check). */
function isAcceptable(c: Context, s: number, packet: Packet, ahead: number): boolean {
  const w = c.words;
  const row = s * ROW;
  if (w[row + FLAGS]! & TIMESTAMPS) {
    parseOptions(packet, c.options);
    if (c.options.hasTimestamps && !(packet.flags & (RST | SYN))) {
      const age = distance(c.options.tsval, w[row + TS_RECENT]!);
      if (age < 0) {
        acknowledge(c, s);
        return false;
      }
      if (distance(packet.seq, w[row + RCV_ACKED]!) <= 0) w[row + TS_RECENT] = c.options.tsval;
    }
  }
  // Nothing new and not even at the edge: a keep-alive, or old (RFC 9293 sections 3.8.4 and 3.10.7.4).
  const end = packet.seq + packet.length + (packet.flags & FIN ? 1 : 0);
  if (distance(end, w[row + RCV_ACKED]!) < 0 && !(packet.flags & RST)) {
    acknowledge(c, s);
    return false;
  }
  const window = 65535 << Math.max(0, w[row + OFFER_WSCALE]!);
  if (ahead >= window) {
    if (!(packet.flags & RST)) acknowledge(c, s);
    return false;
  }
  return true;
}

function acknowledge(c: Context, s: number): void {
  c.words[s * ROW + FLAGS]! |= ACK_NOW;
  c.makeReady(s);
}

/** Has an ACK sent that says to whoever sent a doubtful segment where the connection is; not more than some in a while. */
function challenge(c: Context, s: number): void {
  const at = s * TIMES + CHALLENGE_AT;
  if (c.now - c.times[at]! >= CHALLENGE_SPAN) {
    c.times[at] = c.now;
    c.words[s * ROW + CHALLENGES] = 0;
  }
  if (c.words[s * ROW + CHALLENGES]!++ < MOST_CHALLENGES) acknowledge(c, s);
}

function takeSynAck(c: Context, s: number, packet: Packet, probed: ProbeOutcome): void {
  const w = c.words;
  const t = c.times;
  const row = s * ROW;
  const flags = packet.flags;
  const expected = (w[row + ISS]! + 1) | 0;
  if (!(flags & ACK)) return;
  if ((packet.ack | 0) !== expected) {
    // The target still holds an older connection of this port: end it, then begin again (RFC 9293 section 3.5.1).
    if (flags & RST) return;
    emitReset(c, w[row + PATH]!, w[row + PORT]!, packet.ack, 0, RST);
    w[row + FLAGS]! |= SEND_SYN;
    c.makeReady(s);
    return;
  }
  if (flags & RST) {
    if (w[row + FLAGS]! & CLIENTLESS) probed(w[row + PATH]!, "refused");
    loseConnection(c, s, "refused");
    return;
  }
  if (!(flags & SYN)) return;
  const options = c.options;
  parseOptions(packet, options);
  w[row + SND_UNA] = expected;
  w[row + RCV_NXT] = (packet.seq + 1) | 0;
  w[row + FIRST_RCV] = w[row + RCV_NXT]!;
  w[row + TURN_RCV] = w[row + RCV_NXT]!; // of the greeting, if there is one
  w[row + RCV_ACKED] = packet.seq | 0;
  w[row + SND_WL1] = packet.seq | 0;
  w[row + SND_WL2] = expected;
  const offered = w[row + FLAGS]!;
  if (options.windowScale >= 0 && w[row + OFFER_WSCALE]! >= 0) w[row + SND_WSCALE] = options.windowScale;
  else w[row + OFFER_WSCALE] = -1;
  let mss = Math.min(w[row + MSS]!, options.mss || DEFAULT_MSS);
  if (options.hasTimestamps && offered & OFFER_TIMESTAMPS) {
    w[row + FLAGS]! |= TIMESTAMPS;
    w[row + TS_RECENT] = options.tsval;
    mss -= 12;
  }
  if (options.sackPermitted && offered & OFFER_SACK) w[row + FLAGS]! |= SACK;
  w[row + MSS] = Math.max(LEAST_MSS, mss);
  w[row + CWND] = initialWindow(w[row + MSS]!);
  w[row + STATE] = ESTABLISHED;
  if (w[row + RETRIES]! > 0) w[row + RTO] = RTO_AFTER_SYN_LOSS;
  takeAcknowledgedSyn(c, s, packet);
  if (offered & CLIENTLESS) {
    probed(w[row + PATH]!, "answered");
    if (hasRoom(c, s)) emitReset(c, w[row + PATH]!, w[row + PORT]!, expected, 0, RST);
    endSession(c, s);
    return;
  }
  if (!(offered & WAS_ESTABLISHED)) c.counters[COUNTER.established]!++;
  w[row + FLAGS]! |= WAS_ESTABLISHED;
  t[s * TIMES + ACK_AT] = c.now + HANDSHAKE_ACK;
  c.wheel.arm(s, t[s * TIMES + ACK_AT]!);
  c.makeReady(s);
}

/** The acknowledgement of our SYN ends its retransmission and is the first measurement of the round trip. */
function takeAcknowledgedSyn(c: Context, s: number, packet: Packet): void {
  c.words[s * ROW + SND_UNA] = c.words[s * ROW + ISS]!;
  takeAcknowledgement(c, s, packet, 1);
  // Never scaled in a SYN (RFC 7323 section 2.2).
  c.words[s * ROW + SND_WND] = packet.window;
  c.words[s * ROW + MAX_SND_WND] = packet.window;
}

function takeReset(c: Context, s: number): void {
  const w = c.words;
  const row = s * ROW;
  const state = w[row + STATE]!;
  countAnswered(c, s);
  if (state === TIME_WAIT || state === CLOSING || state === LAST_ACK_STATE) {
    finish(c, s);
    return;
  }
  if (state === FIN_WAIT_1 || state === FIN_WAIT_2) {
    endSession(c, s, "reset", true);
    return;
  }
  if (w[row + FLAGS]! & CLIENT_RST) {
    endSession(c, s, "reset", true);
    return;
  }
  loseConnection(c, s, "reset");
}

/** Payload in [seq, seq + length): in order it moves RCV_NXT, beyond a hole it is remembered as an interval. */
function takeData(c: Context, s: number, seq: number, length: number, push: boolean, time: number): void {
  const w = c.words;
  const t = c.times;
  const row = s * ROW;
  const ahead = distance(seq, w[row + RCV_NXT]!);
  if (ahead > 0) {
    holdInterval(c, s, seq, (seq + length) | 0);
    w[row + FLAGS]! |= ACK_NOW;
    return;
  }
  if (length + ahead <= 0) {
    w[row + FLAGS]! |= ACK_NOW;
    return;
  }
  w[row + RCV_NXT] = (seq + length) | 0;
  if (w[row + OUT_OF_ORDER_COUNT]! > 0) {
    takeIntervals(c, s);
    w[row + FLAGS]! |= ACK_NOW;
  }
  if (push) w[row + FLAGS]! |= LAST_PUSH;
  else w[row + FLAGS]! &= ~LAST_PUSH;
  t[s * TIMES + RESPONSE_AT] = time;
  const unacknowledged = distance(w[row + RCV_NXT]!, w[row + RCV_ACKED]!);
  if (unacknowledged >= 2 * DEFAULT_MSS && unacknowledged >= 2 * w[row + OFFER_MSS]!) {
    w[row + FLAGS]! |= ACK_NOW;
  } else {
    delayAck(c, s);
  }
}

function delayAck(c: Context, s: number): void {
  const at = s * TIMES + ACK_AT;
  if (c.times[at] !== 0) return;
  c.times[at] = c.now + DELAYED_ACK;
  c.wheel.arm(s, c.times[at]!);
}

/** Adds [left, right) to the ordered intervals; one that does not fit is forgotten: the target sends it again. */
function holdInterval(c: Context, s: number, left: number, right: number): void {
  const w = c.words;
  const row = s * ROW;
  const base = row + OUT_OF_ORDER;
  let count = w[row + OUT_OF_ORDER_COUNT]!;
  // Swallow every interval it touches, then put the union at its place.
  for (let i = 0; i < count; ) {
    const at = base + 2 * i;
    if (distance(w[at]!, right) > 0 || distance(left, w[at + 1]!) > 0) {
      i++;
      continue;
    }
    if (distance(w[at]!, left) < 0) left = w[at]!;
    if (distance(w[at + 1]!, right) > 0) right = w[at + 1]!;
    w.copyWithin(at, at + 2, base + 2 * count);
    count--;
  }
  if (count < OUT_OF_ORDER_MAX) {
    let i = 0;
    while (i < count && distance(w[base + 2 * i]!, left) < 0) i++;
    w.copyWithin(base + 2 * i + 2, base + 2 * i, base + 2 * count);
    w[base + 2 * i] = left;
    w[base + 2 * i + 1] = right;
    w[row + LAST_INTERVAL] = i;
    count++;
  }
  w[row + OUT_OF_ORDER_COUNT] = count;
}

/** RCV_NXT moves over the intervals it has reached. */
function takeIntervals(c: Context, s: number): void {
  const w = c.words;
  const row = s * ROW;
  const base = row + OUT_OF_ORDER;
  let count = w[row + OUT_OF_ORDER_COUNT]!;
  while (count > 0 && distance(w[base]!, w[row + RCV_NXT]!) <= 0) {
    if (distance(w[base + 1]!, w[row + RCV_NXT]!) > 0) w[row + RCV_NXT] = w[base + 1]!;
    w.copyWithin(base, base + 2, base + 2 * count);
    w[row + LAST_INTERVAL] = Math.max(0, w[row + LAST_INTERVAL]! - 1);
    count--;
  }
  w[row + OUT_OF_ORDER_COUNT] = count;
}

/** Our FIN may have been acknowledged; true if that ended the session. */
function advanceClose(c: Context, s: number): boolean {
  const w = c.words;
  const row = s * ROW;
  if (!(w[row + FLAGS]! & FIN_SENT) || w[row + SND_UNA] !== w[row + SND_MAX]) return false;
  switch (w[row + STATE]) {
    case FIN_WAIT_1:
      enterTimed(c, s, FIN_WAIT_2);
      return false;
    case CLOSING:
      enterTimeWait(c, s);
      return false;
    case LAST_ACK_STATE:
      finish(c, s);
      return true;
    default:
      return false;
  }
}

function takeFin(c: Context, s: number): void {
  const w = c.words;
  const row = s * ROW;
  switch (w[row + STATE]) {
    case ESTABLISHED:
      w[row + RCV_NXT] = (w[row + RCV_NXT]! + 1) | 0;
      w[row + FLAGS]! |= LAST_PUSH;
      enterTimed(c, s, CLOSE_WAIT);
      // The ACK waits for the client's own FIN, to go with it.
      delayAck(c, s);
      c.wheel.arm(s, c.now + LINGER);
      break;
    case FIN_WAIT_1:
      w[row + RCV_NXT] = (w[row + RCV_NXT]! + 1) | 0;
      w[row + STATE] = CLOSING;
      acknowledge(c, s);
      break;
    case FIN_WAIT_2:
      w[row + RCV_NXT] = (w[row + RCV_NXT]! + 1) | 0;
      enterTimeWait(c, s);
      acknowledge(c, s);
      break;
    default:
      acknowledge(c, s);
  }
}

function enterTimeWait(c: Context, s: number): void {
  enterTimed(c, s, TIME_WAIT);
  c.times[s * TIMES + SINCE] = c.now;
  c.wheel.arm(s, c.now + TIME_WAIT_SPAN);
}

/** Whether TIME_WAIT has lasted long enough. */
export function timeWaitIsOver(c: Context, s: number): boolean {
  return c.times[s * TIMES + SINCE]! + TIME_WAIT_SPAN <= c.now;
}

/** Both sides are closed: the session ends with its client, or waits for the client's next turn. */
function finish(c: Context, s: number): void {
  if (c.words[s * ROW + FLAGS]! & (CLIENT_FIN | CLIENT_RST)) {
    endSession(c, s);
  } else {
    settleTurn(c, s);
    leaveConnection(c, s);
    c.makeReady(s);
  }
}
