/** Acknowledging the target's segments: at once, delayed (RFC 1122 section 4.2.3.2), or as challenge ACK (RFC 5961). */
import type { Context } from "../sessions/context.ts";
import { ACK_AT, ACK_NOW, CHALLENGE_AT, CHALLENGES, FLAGS, ROW, TIMES } from "../sessions/table.ts";

/** us; Linux's TCP_DELACK_MIN. RFC 1122 section 4.2.3.2 allows 500 ms. */
const DELAYED_ACK = 40_000;
/** Most challenge ACKs of a connection in a span of us (RFC 5961 section 7). A limit over all connections is a side channel. */
const MOST_CHALLENGES = 10;
const CHALLENGE_SPAN = 5_000_000;

/** Sends an ACK with the next dispatch. */
export function acknowledge(c: Context, s: number): void {
  c.words[s * ROW + FLAGS]! |= ACK_NOW;
  c.makeReady(s);
}

/** Sends an ACK after DELAYED_ACK, unless one is due earlier or data is sent before. */
export function delayAck(c: Context, s: number): void {
  const at = s * TIMES + ACK_AT;
  if (c.times[at] !== 0) return;
  c.times[at] = c.now + DELAYED_ACK;
  c.wheel.arm(s, c.times[at]!);
}

/** Sends a challenge ACK for a doubtful segment: it tells the real peer our sequence numbers. Rate-limited. */
export function challenge(c: Context, s: number): void {
  const at = s * TIMES + CHALLENGE_AT;
  if (c.now - c.times[at]! >= CHALLENGE_SPAN) {
    c.times[at] = c.now;
    c.words[s * ROW + CHALLENGES] = 0;
  }
  if (c.words[s * ROW + CHALLENGES]!++ < MOST_CHALLENGES) acknowledge(c, s);
}
