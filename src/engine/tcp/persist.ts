/** The persist timer: a window of the target that is closed or hardly open (RFC 9293 sections 3.8.6.1 and 3.8.6.2.1). */
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

/** us after which less than a segment goes into a window that is hardly open (RFC 9293 section 3.8.6.2.1: 0.1 to 1 s). */
const OVERRIDE = 1_000_000;

/**
 * Whether the connection waits for the target's window: there is data, none of it is in flight, and the timer that runs is
 * the persist timer. A probe is not in flight: nothing but the window holds it up.
 */
export function awaitsWindow(c: Context, s: number): boolean {
  const row = s * ROW;
  return c.words[row + STATE]! >= ESTABLISHED && c.words[row + SND_NXT] === c.words[row + SND_UNA];
}

/** Starts the persist timer: for the next probe, or for what fits a window of `room` bytes that is hardly open. */
export function awaitWindow(c: Context, s: number, room: number): void {
  if (c.times[s * TIMES + RTO_AT] !== 0) return;
  const span = backoff(c, s, c.words[s * ROW + PROBES]!);
  armTimer(c, s, room > 0 ? Math.min(span, OVERRIDE) : span);
}

/** The persist timer ran out. How long a window may stay closed is for the session timeout to say. */
export function probeWindow(c: Context, s: number): void {
  c.times[s * TIMES + RTO_AT] = 0;
  c.words[s * ROW + FLAGS]! |= WINDOW_PROBE;
  c.makeReady(s);
}

/** The first byte that the window keeps back; SND_NXT stays, the target may take it or not. */
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

/** The window has opened. */
export function endProbing(c: Context, s: number): void {
  c.times[s * TIMES + RTO_AT] = 0;
  c.words[s * ROW + PROBES] = 0;
}
