/** Retransmission: the timer (RFC 6298), what its expiry does to the connection (RFC 5681), and fast retransmit. */
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

/** Retransmissions in a row after which segments become so small (payload bytes) that every path takes them. */
const BLACK_HOLE_RETRIES = 3;
const BLACK_HOLE_MSS = 524;

/** Starts the retransmission timer. */
export function armRetransmission(c: Context, s: number): void {
  armTimer(c, s, backoff(c, s, c.words[s * ROW + RETRIES]!));
}

/** The RTO after `times` retransmissions or window probes without success, us (RFC 6298 section 5.5). */
export function backoff(c: Context, s: number, times: number): number {
  return Math.min(MOST_RTO, c.words[s * ROW + RTO]! * 2 ** times);
}

/** Starts the timer of RTO_AT, which is the retransmission timer or the persist timer. `span`: us. */
export function armTimer(c: Context, s: number, span: number): void {
  c.times[s * TIMES + RTO_AT] = c.now + span;
  c.wheel.arm(s, c.now + span);
}

/** The retransmission timer expired: sends from SND_UNA again, with a window of one segment (RFC 5681 section 3.1). */
export function retransmitAfterTimeout(c: Context, s: number): void {
  const w = c.words;
  const row = s * ROW;
  c.times[s * TIMES + RTO_AT] = 0;
  c.times[s * TIMES + RTT_AT] = 0;
  w[row + RETRIES]!++;
  if (w[row + STATE] === SYN_SENT) {
    w[row + FLAGS]! |= SEND_SYN;
  } else {
    // A path may drop large packets without an ICMP message: a black hole (RFC 4821).
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
    // A window that has shrunk must not stop the first segment.
    if (w[row + HEAD] !== NONE) w[row + FLAGS]! |= WINDOW_PROBE;
  }
  c.makeReady(s);
}

/** The path MTU became smaller: sends what is in flight again in smaller segments. */
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

/** Sends the segment at SND_UNA again (fast retransmit, partial acknowledgement). */
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
