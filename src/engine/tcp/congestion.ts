/** Round trips, the congestion window and the recovery from loss (RFC 6298, 5681, 6582). */
import { distance } from "../../wire/tcp.ts";
import type { Context } from "../sessions/context.ts";
import {
  CWND,
  DUPLICATE_ACKS,
  FLAGS,
  HAS_DUPLICATES,
  IN_RECOVERY,
  PROGRESS_AT,
  RECOVER,
  RETRANSMIT,
  ROW,
  RTO,
  RTT_AT,
  RTT_SEQ,
  RTTVAR,
  SND_MAX,
  SND_UNA,
  SRTT,
  SSTHRESH,
  TIMES,
} from "../sessions/table.ts";
import { segmentSize } from "./emit.ts";

/** RFC 6298 allows less than its 1 s where the clock is fine; Linux's TCP_RTO_MIN. */
const LEAST_RTO = 200_000;
const MOST_CWND = 8 << 20;
export const MOST_RTO = 60_000_000;
/** Segments (RFC 6928). */
const INITIAL_WINDOW = 10;

/** The congestion window of a connection whose segments have `mss` payload bytes, before it knows the path. */
export function initialWindow(mss: number): number {
  return INITIAL_WINDOW * mss;
}

/** What a connection learnt of the path is old when it has sent nothing for longer than the RTO (RFC 5681 section 4.1). */
export function restartAfterIdle(c: Context, s: number): void {
  const w = c.words;
  const row = s * ROW;
  if (c.now - c.times[s * TIMES + PROGRESS_AT]! <= w[row + RTO]!) return;
  w[row + CWND] = Math.min(w[row + CWND]!, initialWindow(segmentSize(c, s)));
}

/** RFC 6298, Karn's rule kept by the caller; the clock is that of the capture. */
export function measureRoundTrip(c: Context, s: number, ack: number, time: number): void {
  const w = c.words;
  const row = s * ROW;
  const began = c.times[s * TIMES + RTT_AT]!;
  if (began === 0 || distance(ack, w[row + RTT_SEQ]!) < 0) return;
  c.times[s * TIMES + RTT_AT] = 0;
  const sample = Math.max(1, Math.round(time - began));
  if (w[row + SRTT] === 0) {
    w[row + SRTT] = sample;
    w[row + RTTVAR] = sample >> 1;
  } else {
    const error = Math.abs(w[row + SRTT]! - sample);
    w[row + RTTVAR] = Math.round((3 * w[row + RTTVAR]! + error) / 4);
    w[row + SRTT] = Math.max(1, Math.round((7 * w[row + SRTT]! + sample) / 8));
  }
  w[row + RTO] = Math.min(MOST_RTO, Math.max(LEAST_RTO, w[row + SRTT]! + 4 * w[row + RTTVAR]!));
}

/** Opens the congestion window for `acked` bytes newly acknowledged (RFC 5681), or goes on with a recovery (RFC 6582). */
export function openCongestionWindow(c: Context, s: number, acked: number): void {
  const w = c.words;
  const row = s * ROW;
  const mss = segmentSize(c, s);
  if (w[row + FLAGS]! & HAS_DUPLICATES) clearDuplicates(c, s);
  if (w[row + FLAGS]! & IN_RECOVERY) {
    if (distance(w[row + SND_UNA]!, w[row + RECOVER]!) >= 0) {
      w[row + FLAGS]! &= ~IN_RECOVERY;
      w[row + CWND] = w[row + SSTHRESH]!;
    } else {
      // Partial acknowledgement: the next hole (RFC 6582 section 3.2, step 3).
      w[row + CWND] = Math.max(mss, w[row + CWND]! - acked + mss);
      w[row + FLAGS]! |= RETRANSMIT;
    }
    return;
  }
  const cwnd = w[row + CWND]!;
  const growth = cwnd < w[row + SSTHRESH]! ? acked : Math.max(1, Math.floor((mss * acked) / cwnd));
  w[row + CWND] = Math.min(MOST_CWND, cwnd + growth);
}

/** New data was acknowledged: the count of duplicates begins anew. */
export function clearDuplicates(c: Context, s: number): void {
  c.words[s * ROW + DUPLICATE_ACKS] = 0;
  c.words[s * ROW + FLAGS]! &= ~HAS_DUPLICATES;
}

/** Takes a duplicate acknowledgement; the third begins fast retransmit (RFC 5681 section 3.2). */
export function takeDuplicate(c: Context, s: number): void {
  const w = c.words;
  const row = s * ROW;
  const mss = segmentSize(c, s);
  const count = ++w[row + DUPLICATE_ACKS]!;
  w[row + FLAGS]! |= HAS_DUPLICATES;
  if (w[row + FLAGS]! & IN_RECOVERY) {
    w[row + CWND] = Math.min(MOST_CWND, w[row + CWND]! + mss);
    return;
  }
  if (count !== 3 || distance(w[row + SND_UNA]!, w[row + RECOVER]!) <= 0) return;
  const inFlight = distance(w[row + SND_MAX]!, w[row + SND_UNA]!);
  w[row + SSTHRESH] = Math.max(inFlight >> 1, 2 * mss);
  w[row + CWND] = w[row + SSTHRESH]! + 3 * mss;
  w[row + RECOVER] = w[row + SND_MAX]!;
  w[row + FLAGS]! |= IN_RECOVERY | RETRANSMIT;
}
