/** Round-trip measurement, congestion window and loss recovery (RFC 6298, 5681, 6582). */
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

/** us; Linux's TCP_RTO_MIN. RFC 6298 section 2.4 recommends 1 s, for coarse clocks. */
const LEAST_RTO = 200_000;
/** Bytes. */
const MOST_CWND = 8 << 20;
/** us. */
export const MOST_RTO = 60_000_000;
/** Segments (RFC 6928). */
const INITIAL_WINDOW = 10;

/** The initial congestion window, bytes, of a connection with segments of `mss` payload bytes. */
export function initialWindow(mss: number): number {
  return INITIAL_WINDOW * mss;
}

/** Reduces the congestion window of a connection that has sent nothing for longer than the RTO (RFC 5681 section 4.1). */
export function restartAfterIdle(c: Context, s: number): void {
  const w = c.words;
  const row = s * ROW;
  if (c.now - c.times[s * TIMES + PROGRESS_AT]! <= w[row + RTO]!) return;
  w[row + CWND] = Math.min(w[row + CWND]!, initialWindow(segmentSize(c, s)));
}

/**
 * Updates SRTT, RTTVAR and RTO if `ack` ends the running measurement (RFC 6298). `time`: when the segment was captured, us.
 * Every retransmission stops the measurement (Karn's algorithm).
 */
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

/** Opens the congestion window for `acked` bytes newly acknowledged (RFC 5681), or continues a recovery (RFC 6582). */
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
      // Partial acknowledgement: the next lost segment is sent again (RFC 6582 section 3.2, step 3).
      w[row + CWND] = Math.max(mss, w[row + CWND]! - acked + mss);
      w[row + FLAGS]! |= RETRANSMIT;
    }
    return;
  }
  const cwnd = w[row + CWND]!;
  const growth = cwnd < w[row + SSTHRESH]! ? acked : Math.max(1, Math.floor((mss * acked) / cwnd));
  w[row + CWND] = Math.min(MOST_CWND, cwnd + growth);
}

/** Sets the count of duplicate acknowledgements to 0. */
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
