/** The persist timer: when the target's window is closed or small (RFC 9293 sections 3.8.6.1 and 3.8.6.2.1). */
import { ACK, distance } from "../../wire/tcp.ts";
import type { Context } from "../sessions/context.ts";
import { COUNTER } from "../sessions/counters.ts";
import {
  ESTABLISHED,
  FLAGS,
  PROBES,
  ROW,
  RTO_AT,
  SND_MAX,
  SND_NXT,
  SND_UNA,
  STATE,
  TIMES,
  WINDOW_PROBE,
} from "../sessions/table.ts";
import { emit } from "./emit.ts";
import { armTimer, backoff } from "./retransmission.ts";

/** us after which less than a full segment is sent into a small window (RFC 9293 section 3.8.6.2.1: 0.1 to 1 s). */
const OVERRIDE = 1_000_000;

/**
 * Whether the running timer is the persist timer: the connection is established and nothing is in flight. A window probe
 * does not count as in flight, because SND_NXT does not move for it.
 */
export function awaitsWindow(c: Context, s: number): boolean {
  const row = s * ROW;
  return c.words[row + STATE]! >= ESTABLISHED && c.words[row + SND_NXT] === c.words[row + SND_UNA];
}

/** Starts the persist timer, unless it runs: for the next probe, or for sending into a small window of `room` bytes. */
export function awaitWindow(c: Context, s: number, room: number): void {
  if (c.times[s * TIMES + RTO_AT] !== 0) return;
  const span = backoff(c, s, c.words[s * ROW + PROBES]!);
  armTimer(c, s, room > 0 ? Math.min(span, OVERRIDE) : span);
}

/** The persist timer expired: a probe is due. The session timeout limits how long a window may stay closed. */
export function probeWindow(c: Context, s: number): void {
  c.times[s * TIMES + RTO_AT] = 0;
  c.words[s * ROW + FLAGS]! |= WINDOW_PROBE;
  c.makeReady(s);
}

/** Sends the first byte beyond the window. SND_NXT stays: the target may take the byte or not. */
export function sendProbe(c: Context, s: number, segment: number, from: number): void {
  const w = c.words;
  const row = s * ROW;
  const next = w[row + SND_NXT]!;
  w[row + FLAGS]! &= ~WINDOW_PROBE;
  w[row + PROBES]!++;
  emit(c, s, ACK, next, segment, from, 1, 1, 0);
  const end = (next + 1) | 0;
  if (distance(end, w[row + SND_MAX]!) > 0) w[row + SND_MAX] = end;
  else c.counters[COUNTER.retransmitted]!++;
}

/** The window has opened: stops the persist timer. */
export function endProbing(c: Context, s: number): void {
  c.times[s * TIMES + RTO_AT] = 0;
  c.words[s * ROW + PROBES] = 0;
}
