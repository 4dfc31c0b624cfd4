/** The handshake of the connection to the target (RFC 9293 section 3.5): our SYN and the target's answer. */
import type { Packet } from "../../wire/packet.ts";
import { ACK, parseOptions, RST, SYN } from "../../wire/tcp.ts";
import type { Context } from "../sessions/context.ts";
import { COUNTER } from "../sessions/counters.ts";
import {
  ACK_AT,
  CLIENT_ADDRESS,
  CLIENTLESS,
  CWND,
  ESTABLISHED,
  FIRST_RCV,
  FLAGS,
  ISS,
  MAX_SND_WND,
  MSS,
  NONE,
  OFFER_SACK,
  OFFER_TIMESTAMPS,
  OFFER_WSCALE,
  OFFERS,
  PATH,
  PORT,
  RCV_ACKED,
  RCV_NXT,
  RETRIES,
  ROW,
  RTO,
  RTT_AT,
  RTT_SEQ,
  SACK,
  SEND_SYN,
  SND_MAX,
  SND_NXT,
  SND_UNA,
  SND_WL1,
  SND_WL2,
  SND_WND,
  SND_WSCALE,
  TIMES,
  TIMESTAMPS,
  TS_RECENT,
  TURN_RCV,
  TURN_ROUNDS,
  WAS_ESTABLISHED,
} from "../sessions/table.ts";
import { takeAcknowledgement } from "./acknowledgement.ts";
import { initialWindow } from "./congestion.ts";
import { endSession, enterState, loseConnection } from "./connection.ts";
import { emit, emitReset } from "./emit.ts";
import { armRetransmission } from "./retransmission.ts";

/** us for which the ACK of the handshake waits for the client's first data, to be sent with it. */
const HANDSHAKE_ACK = 20_000;
/** The MSS of a peer that sends no MSS option (RFC 9293 section 3.7.1). */
export const DEFAULT_MSS = 536;
/** The RTO, us, once a SYN had to be sent again (RFC 6298 section 5.7). */
const RTO_AFTER_SYN_LOSS = 3_000_000;
/** The smallest MSS that is accepted from a peer (Linux's TCP_MIN_SND_MSS). */
const LEAST_MSS = 48;

/** Called with the result of probing a path: see Engine.probeResults. */
export type ProbeOutcome = (path: number, result: "answered" | "refused") => void;

/** Sends our SYN, or sends it again; the caller has checked `hasRoom`. */
export function sendSyn(c: Context, s: number): void {
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

/** Sends a RST without ACK (RFC 9293 section 3.10.7.3). */
function resetUnsynchronized(c: Context, s: number, seq: number): void {
  const row = s * ROW;
  const { words } = c;
  emitReset(c, words[row + PATH]!, words, row + CLIENT_ADDRESS, words[row + PORT]!, seq, 0, RST);
}

/** Takes a segment of the target in SYN_SENT (RFC 9293 section 3.10.7.3). */
export function takeSynAck(c: Context, s: number, packet: Packet, probed: ProbeOutcome): void {
  const w = c.words;
  const t = c.times;
  const row = s * ROW;
  const flags = packet.flags;
  const expected = (w[row + ISS]! + 1) | 0;
  if (!(flags & ACK)) return;
  if ((packet.ack | 0) !== expected) {
    // The target still has an older connection of this port: reset it, then send the SYN again (RFC 9293 section 3.5.1).
    if (flags & RST) return;
    resetUnsynchronized(c, s, packet.ack);
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
  w[row + TURN_RCV] = w[row + RCV_NXT]!; // for the wait for a greeting
  w[row + TURN_ROUNDS] = 0;
  w[row + RCV_ACKED] = packet.seq | 0;
  w[row + SND_WL1] = packet.seq | 0;
  w[row + SND_WL2] = expected;
  const offers = w[row + OFFERS]!;
  const before = w[row + FLAGS]!;
  if (options.windowScale >= 0 && w[row + OFFER_WSCALE]! >= 0) w[row + SND_WSCALE] = options.windowScale;
  else w[row + OFFER_WSCALE] = -1;
  let mss = Math.min(w[row + MSS]!, options.mss || DEFAULT_MSS);
  if (options.hasTimestamps && offers & OFFER_TIMESTAMPS) {
    w[row + FLAGS]! |= TIMESTAMPS;
    w[row + TS_RECENT] = options.tsval;
    mss -= 12;
  }
  if (options.sackPermitted && offers & OFFER_SACK) w[row + FLAGS]! |= SACK;
  w[row + MSS] = Math.max(LEAST_MSS, mss);
  w[row + CWND] = initialWindow(w[row + MSS]!);
  enterState(c, s, ESTABLISHED);
  if (w[row + RETRIES]! > 0) w[row + RTO] = RTO_AFTER_SYN_LOSS;
  takeAcknowledgedSyn(c, s, packet);
  if (before & CLIENTLESS) {
    probed(w[row + PATH]!, "answered");
    resetUnsynchronized(c, s, expected);
    endSession(c, s);
    return;
  }
  if (!(before & WAS_ESTABLISHED)) c.counters[COUNTER.established]!++;
  w[row + FLAGS]! |= WAS_ESTABLISHED;
  c.protocols?.connected(s);
  t[s * TIMES + ACK_AT] = c.now + HANDSHAKE_ACK;
  c.wheel.arm(s, t[s * TIMES + ACK_AT]!);
  c.makeReady(s);
}

/** Takes the acknowledgement of our SYN: it stops the retransmission timer and is the first measurement of the round trip. */
function takeAcknowledgedSyn(c: Context, s: number, packet: Packet): void {
  c.words[s * ROW + SND_UNA] = c.words[s * ROW + ISS]!;
  takeAcknowledgement(c, s, packet, 1);
  // The window in a SYN is never scaled (RFC 7323 section 2.2).
  c.words[s * ROW + SND_WND] = packet.window;
  c.words[s * ROW + MAX_SND_WND] = packet.window;
}
