/**
 * The receiving side of the connection to the target (RFC 9293 section 3.10.7): data, which is acknowledged but not kept, and
 * resets.
 */
import type { Packet } from "../../wire/packet.ts";
import { ACK, distance, FIN, PSH, parseOptions, RST, SYN } from "../../wire/tcp.ts";
import type { Context } from "../sessions/context.ts";
import {
  ACK_NOW,
  CLIENT_RST,
  CLOSING,
  DUE_AT,
  ESTABLISHED,
  FIN_WAIT_1,
  FIN_WAIT_2,
  FLAGS,
  LAST_ACK_STATE,
  LAST_PUSH,
  OFFER_MSS,
  OFFER_WSCALE,
  OUT_OF_ORDER_COUNT,
  RCV_ACKED,
  RCV_NXT,
  RESPONSE_AT,
  ROW,
  STATE,
  SYN_SENT,
  TIME_WAIT,
  TIMES,
  TIMESTAMPS,
  TS_RECENT,
} from "../sessions/table.ts";
import { noteTargetClose } from "../turns/target-close.ts";
import { countAnswered, noteReceived } from "../turns/turns.ts";
import { takeAcknowledgement } from "./acknowledgement.ts";
import { advanceClose, finish, takeFin } from "./closing.ts";
import { endSession, loseConnection } from "./connection.ts";
import { acknowledge, challenge, delayAck } from "./delayed-ack.ts";
import { DEFAULT_MSS, type ProbeOutcome, takeSynAck } from "./handshake.ts";
import { holdInterval, takeIntervals } from "./out-of-order.ts";

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
    // RFC 5961 section 3.2: a RST at RCV_NXT is taken, elsewhere in the window it is challenged, before it ignored.
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
  if (packet.length > 0) takeData(c, s, packet, seq, (flags & PSH) !== 0);
  countAnswered(c, s);
  if (advanceClose(c, s)) return;
  if (fin && ((seq + packet.length) | 0) === w[row + RCV_NXT]) takeFin(c, s);
  else if (fin) acknowledge(c, s);
  c.makeReady(s);
}

/**
 * Whether a segment passes PAWS (RFC 7323 section 5.3) and is in the window (RFC 9293 section 3.10.7.4, first check).
 * `ahead`: its sequence number minus RCV_NXT.
 */
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
  // It ends before what we have acknowledged: a keep-alive, or old (RFC 9293 sections 3.8.4 and 3.10.7.4).
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

function takeReset(c: Context, s: number): void {
  const w = c.words;
  const row = s * ROW;
  const state = w[row + STATE]!;
  countAnswered(c, s);
  c.protocols?.targetEnded(s, true);
  if (state === TIME_WAIT || state === CLOSING || state === LAST_ACK_STATE) {
    finish(c, s);
    return;
  }
  if (state === FIN_WAIT_1 || state === FIN_WAIT_2) {
    endSession(c, s, "reset", "resetSessions");
    return;
  }
  if (w[row + FLAGS]! & CLIENT_RST) {
    endSession(c, s, "reset", "resetSessions");
    return;
  }
  if (state === ESTABLISHED) noteTargetClose(c, s);
  loseConnection(c, s, "reset");
}

/** Takes payload at `seq`: in order it moves RCV_NXT, out of order it is noted as an interval. `push`: it had PSH. */
function takeData(c: Context, s: number, packet: Packet, seq: number, push: boolean): void {
  const w = c.words;
  const t = c.times;
  const row = s * ROW;
  const { length, time } = packet;
  const ahead = distance(seq, w[row + RCV_NXT]!);
  const isRead = c.protocols?.owns(s) === true;
  if (ahead > 0) {
    // A module reads the data in order, and data is not kept: it is not reported by SACK, so the target sends it again.
    if (!isRead) holdInterval(c, s, seq, (seq + length) | 0);
    w[row + FLAGS]! |= ACK_NOW;
    return;
  }
  if (length + ahead <= 0) {
    w[row + FLAGS]! |= ACK_NOW;
    return;
  }
  const before = w[row + RCV_NXT]!;
  w[row + RCV_NXT] = (seq + length) | 0;
  if (w[row + OUT_OF_ORDER_COUNT]! > 0) {
    takeIntervals(c, s);
    w[row + FLAGS]! |= ACK_NOW;
  }
  noteReceived(c, s, before);
  if (push) w[row + FLAGS]! |= LAST_PUSH;
  else w[row + FLAGS]! &= ~LAST_PUSH;
  t[s * TIMES + RESPONSE_AT] = time;
  if (isRead) c.protocols!.response(s, packet, -ahead);
  const unacknowledged = distance(w[row + RCV_NXT]!, w[row + RCV_ACKED]!);
  if (unacknowledged >= 2 * DEFAULT_MSS && unacknowledged >= 2 * w[row + OFFER_MSS]!) {
    w[row + FLAGS]! |= ACK_NOW;
  } else {
    delayAck(c, s);
  }
}
