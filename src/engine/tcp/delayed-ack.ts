/** When the target's segments are acknowledged: at once, delayed, or not too often (RFC 1122 section 4.2.3.2, RFC 5961). */
import type { Context } from "../sessions/context.ts";
import { ACK_AT, ACK_NOW, CHALLENGE_AT, CHALLENGES, FLAGS, ROW, TIMES } from "../sessions/table.ts";

/** RFC 1122 section 4.2.3.2 allows 500 ms; Linux's TCP_DELACK_MIN. */
const DELAYED_ACK = 40_000;
/** So many challenge ACKs in so long, us (RFC 5961 section 7), for each connection: a bound for all would tell of others. */
const MOST_CHALLENGES = 10;
const CHALLENGE_SPAN = 5_000_000;

/** Has an ACK sent with the next dispatch. */
export function acknowledge(c: Context, s: number): void {
  c.words[s * ROW + FLAGS]! |= ACK_NOW;
  c.makeReady(s);
}

/** Has an ACK sent within DELAYED_ACK, unless one is due sooner or goes with data. */
export function delayAck(c: Context, s: number): void {
  const at = s * TIMES + ACK_AT;
  if (c.times[at] !== 0) return;
  c.times[at] = c.now + DELAYED_ACK;
  c.wheel.arm(s, c.times[at]!);
}

/** Has an ACK sent that says to whoever sent a doubtful segment where the connection is; not more than some in a while. */
export function challenge(c: Context, s: number): void {
  const at = s * TIMES + CHALLENGE_AT;
  if (c.now - c.times[at]! >= CHALLENGE_SPAN) {
    c.times[at] = c.now;
    c.words[s * ROW + CHALLENGES] = 0;
  }
  if (c.words[s * ROW + CHALLENGES]!++ < MOST_CHALLENGES) acknowledge(c, s);
}
