/**
 * Connections that carry several streams at once (HTTP/2): whether the target has sent as much as production had.
 *
 * The answers to several turns overlap. What is sent too early may exceed a flow-control window or the limit of streams, and
 * the target ends the connection (RFC 9113 sections 5.1.2 and 6.9.1). So bytes are compared over the whole connection, and
 * a target that is behind production is waited for longer.
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

/** The start of the client's HTTP/2 connection preface (RFC 9113 section 3.4). */
const PREFACE = new TextEncoder().encode("PRI * HTTP/2.0");
const beginning = new Uint8Array(PREFACE.length);

/** The shortest silence, us, after which a target that is behind production counts as having answered. */
const LEAST_PATIENCE = 500_000;
/** The silence in multiples of the longest time that the target took to answer. */
const PATIENCE_FACTOR = 4;

/** Sets MULTIPLEXED if `segment`, the first of the client's stream, begins with the preface. */
export function recognize(c: Context, s: number, segment: number): void {
  if (c.segments.words[segment * SEGMENT + LENGTH]! < PREFACE.length) return;
  c.segments.read(segment, 0, PREFACE.length, beginning, 0);
  for (let i = 0; i < PREFACE.length; i++) if (beginning[i] !== PREFACE[i]) return;
  c.words[s * ROW + FLAGS]! |= MULTIPLEXED;
}

/**
 * Whether the target has sent less on this connection than production had when the client had acknowledged up to `nextAck`,
 * by more than TOLERATED bytes (EXCUSED bytes do not count). Updates RESPONSE_TIME.
 */
export function isBehind(c: Context, s: number, nextAck: number): boolean {
  const row = s * ROW;
  const took = c.times[s * TIMES + RESPONSE_AT]! - c.times[s * TIMES + PROGRESS_AT]!;
  if (took > c.words[row + RESPONSE_TIME]!) {
    c.words[row + RESPONSE_TIME] = Math.min(took, c.config.turnTimeout);
  }
  return deficit(c, s, nextAck) > c.words[row + TOLERATED]!;
}

/** When the silence of a target that is behind production ends its answer to the open turn, us. */
export function patienceEnds(c: Context, s: number): number {
  const time = s * TIMES;
  const measured = PATIENCE_FACTOR * c.words[s * ROW + RESPONSE_TIME]!;
  const patience = c.config.quiet || Math.min(c.config.turnTimeout, Math.max(LEAST_PATIENCE, measured));
  return Math.max(c.times[time + RESPONSE_AT]!, c.times[time + PROGRESS_AT]!) + patience;
}

/**
 * Adds the bytes that the target is behind to EXCUSED: they are not waited for again. `isShorter`: its answers are shorter
 * than production's, so that later turns tolerate twice as many missing bytes.
 */
export function excuse(c: Context, s: number, nextAck: number, isShorter: boolean): void {
  const row = s * ROW;
  const missing = deficit(c, s, nextAck);
  if (missing <= 0) return;
  c.words[row + EXCUSED]! += missing;
  if (isShorter && 2 * missing > c.words[row + TOLERATED]!) c.words[row + TOLERATED] = 2 * missing;
}

/** Bytes by which the target is behind production on this connection, without EXCUSED. */
function deficit(c: Context, s: number, nextAck: number): number {
  const w = c.words;
  const row = s * ROW;
  const production = nextAck - w[row + FIRST_ACK]!;
  // Each may be any number of bytes, but they differ by less than 2 GiB.
  return distance(production - (w[row + RCV_NXT]! - w[row + FIRST_RCV]!), w[row + EXCUSED]!);
}
