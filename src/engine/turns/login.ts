/**
 * Turns of clients that production did not let in are not for the target: where the protocol has logins, its module says what
 * production answered. A turn waits for that, as its record may come after that of the turn, but not for ever: the capture may
 * have lost it, or the client never had a connection.
 */
import { ADMITTED, REFUSED } from "../../protocol/module.ts";
import type { Context } from "../sessions/context.ts";
import { MARKS, PREFIX, SEGMENT } from "../sessions/segments.ts";
import { CURSOR, HEAD, NONE, QUEUED, ROW } from "../sessions/table.ts";
import { dropWaitingTurn } from "./drop.ts";
import { hasCome, isBegun } from "./turns.ts";

/** us for which a turn waits for production's answer to the login. A client that is let in sends none before it. */
const PATIENCE = 5_000_000;
/** Bytes of turns that wait so, in one session. */
const MOST_BYTES = 1 << 20;

/**
 * Whether the next turn may go by what production answered to its client's login; true if there is none. Drops the turns that may
 * not. If only time is missing, sets TURN_AT.
 */
export function awaitLogin(c: Context, s: number): boolean {
  const { protocols } = c;
  if (protocols === null) return true;
  const w = c.words;
  const row = s * ROW;
  for (;;) {
    const segment = w[row + CURSOR]!;
    if (segment === NONE || isBegun(c, s, segment) || c.segments.words[segment * SEGMENT + MARKS]! & PREFIX)
      return true;
    const login = protocols.login(s, segment);
    if (login === ADMITTED) return true;
    // What is in flight still needs the queue.
    if (w[row + HEAD] !== segment) return false;
    if (login === REFUSED) {
      dropWaitingTurn(c, s, "login");
      continue;
    }
    if (w[row + QUEUED]! <= MOST_BYTES && !hasCome(c, s, c.segments.times[segment]! + PATIENCE)) return false;
    protocols.undecided(s);
    dropWaitingTurn(c, s, "undecided");
  }
}
