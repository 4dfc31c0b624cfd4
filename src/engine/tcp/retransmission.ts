/** What is sent again: the retransmission timer and what follows when it runs out (RFC 6298, 5681). */
import { ACK, distance, PSH } from "../../wire/tcp.ts";
import type { Context } from "../sessions/context.ts";
import { COUNTER } from "../sessions/counters.ts";
import { LENGTH, SEGMENT, SEQ } from "../sessions/segments.ts";
import {
  CURSOR,
  CWND,
  FLAGS,
  HEAD,
  IN_RECOVERY,
  MSS,
  NONE,
  RECOVER,
  RETRANSMIT,
  RETRIES,
  ROW,
  RTO,
  RTO_AT,
  RTT_AT,
  SEND_SYN,
  SEQ_DELTA,
  SND_MAX,
  SND_NXT,
  SND_UNA,
  SSTHRESH,
  STATE,
  SYN_SENT,
  TIMES,
  WINDOW_PROBE,
} from "../sessions/table.ts";
import { clearDuplicates, MOST_RTO } from "./congestion.ts";
import { dataEnd, emit, segmentSize } from "./emit.ts";

/** After so many retransmissions in a row segments are cut to what every path takes. */
const BLACK_HOLE_RETRIES = 3;
const BLACK_HOLE_MSS = 524;

/** Starts the retransmission timer. */
export function armRetransmission(c: Context, s: number): void {
  armTimer(c, s, backoff(c, s, c.words[s * ROW + RETRIES]!));
}

/** us to wait after so many times in vain (RFC 6298 section 5.5, RFC 9293 section 3.8.6.1). */
export function backoff(c: Context, s: number, times: number): number {
  return Math.min(MOST_RTO, c.words[s * ROW + RTO]! * 2 ** times);
}

/** Starts the timer of RTO_AT: of the two that there are, only one is ever needed. `span`: us. */
export function armTimer(c: Context, s: number, span: number): void {
  c.times[s * TIMES + RTO_AT] = c.now + span;
  c.wheel.arm(s, c.now + span);
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
    w[row + FLAGS]! &= ~(IN_RECOVERY | RETRANSMIT);
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
  w[row + FLAGS]! &= ~(IN_RECOVERY | RETRANSMIT);
  c.times[s * TIMES + RTT_AT] = 0;
  c.makeReady(s);
}

/** The one segment at SND_UNA again (fast retransmit, partial acknowledgement). */
export function sendHead(c: Context, s: number): void {
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
  const sent = Math.min(distance(w[row + SND_NXT]!, una), distance(dataEnd(c, s), una));
  const length = Math.min(mss, g[at + LENGTH]! - from, sent);
  if (length <= 0) return;
  emit(c, s, ACK | PSH, una, segment, from, length, mss, 0);
  c.counters[COUNTER.retransmitted]!++;
  c.times[s * TIMES + RTT_AT] = 0;
}
