/**
 * Connections that carry many streams at once (HTTP/2): when the target has got as far with its answers as production had.
 *
 * The answers to several turns overlap, and what a client sends too early is no longer a request that waits its turn: it is
 * beyond a window or a number of streams, and the target ends the connection (RFC 9113 sections 5.1.2 and 6.9.1). So bytes
 * are compared over the whole connection, and a silence is believed late.
 */
import { distance } from "../../wire/tcp.ts";
import type { Context } from "../sessions/context.ts";
import { LENGTH, SEGMENT } from "../sessions/segments.ts";
import {
  EXCUSED,
  FIRST_ACK,
  FIRST_RCV,
  FLAGS,
  MULTIPLEXED,
  PROGRESS_AT,
  RCV_NXT,
  RESPONSE_AT,
  RESPONSE_TIME,
  ROW,
  TIMES,
  TOLERATED,
} from "../sessions/table.ts";

/** What begins a client's HTTP/2 connection (RFC 9113 section 3.4); the method PRI is reserved for it. */
const PREFACE = new TextEncoder().encode("PRI * HTTP/2.0");
const beginning = new Uint8Array(PREFACE.length);

/** us of silence after which the target counts as having less to say, at least. */
const LEAST_PATIENCE = 500_000;
/** Or so many times the longest that it took to begin an answer. */
const PATIENCE_FACTOR = 4;

/** Looks for the preface in `segment`, the first of the client's stream. */
export function recognize(c: Context, s: number, segment: number): void {
  if (c.segments.words[segment * SEGMENT + LENGTH]! < PREFACE.length) return;
  c.segments.read(segment, 0, PREFACE.length, beginning, 0);
  for (let i = 0; i < PREFACE.length; i++) if (beginning[i] !== PREFACE[i]) return;
  c.words[s * ROW + FLAGS]! |= MULTIPLEXED;
}

/**
 * Whether the target has sent less on this connection, beyond what is put down to shorter answers, than production had when
 * the client had acknowledged up to `nextAck`. Takes note of how long the target takes for its answers.
 */
export function isBehind(c: Context, s: number, nextAck: number): boolean {
  const row = s * ROW;
  const took = c.times[s * TIMES + RESPONSE_AT]! - c.times[s * TIMES + PROGRESS_AT]!;
  if (took > c.words[row + RESPONSE_TIME]!) {
    c.words[row + RESPONSE_TIME] = Math.min(took, c.config.turnTimeout);
  }
  return deficit(c, s, nextAck) > c.words[row + TOLERATED]!;
}

/** When a target that has begun to answer the open turn, and is behind, has been silent for long enough, us. */
export function patienceEnds(c: Context, s: number): number {
  const time = s * TIMES;
  const measured = PATIENCE_FACTOR * c.words[s * ROW + RESPONSE_TIME]!;
  const patience = c.config.quiet || Math.min(c.config.turnTimeout, Math.max(LEAST_PATIENCE, measured));
  return Math.max(c.times[time + RESPONSE_AT]!, c.times[time + PROGRESS_AT]!) + patience;
}

/**
 * The target will not send what is missing: it is not waited for again. `isShorter`: its answers are shorter than
 * production's, so that as much may be missing from now on without such patience.
 */
export function excuse(c: Context, s: number, nextAck: number, isShorter: boolean): void {
  const row = s * ROW;
  const missing = deficit(c, s, nextAck);
  if (missing <= 0) return;
  c.words[row + EXCUSED]! += missing;
  if (isShorter && 2 * missing > c.words[row + TOLERATED]!) c.words[row + TOLERATED] = 2 * missing;
}

function deficit(c: Context, s: number, nextAck: number): number {
  const w = c.words;
  const row = s * ROW;
  const production = distance(nextAck, w[row + FIRST_ACK]!);
  return production - distance(w[row + RCV_NXT]!, w[row + FIRST_RCV]!) - w[row + EXCUSED]!;
}
