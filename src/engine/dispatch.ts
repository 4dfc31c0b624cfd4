/** Sending what is due: each session that is ready is asked once. */
import { displaceOfPath } from "./eviction.ts";
import type { Context } from "./sessions/context.ts";
import { COUNTER, type DropReason } from "./sessions/counters.ts";
import { CLIENT_RST, CURSOR, FLAGS, FREE, NONE, OPEN_AT_ONCE, READY, ROW, STATE } from "./sessions/table.ts";
import { endSession, leaveConnection } from "./tcp/connection.ts";
import { arm, reset } from "./tcp/expiry.ts";
import { transmit } from "./tcp/sender.ts";
import { dropAllTurns } from "./turns/drop.ts";
import { awaitLateness } from "./turns/late.ts";

/** Fills the batches with what is due; false when a batch was full. */
export function dispatch(c: Context): boolean {
  c.turnLimit.settle(c.now);
  invite(c);
  for (let s = c.nextReady(); s !== NONE; s = c.nextReady()) {
    const row = s * ROW;
    const flags = c.words[row + FLAGS]!;
    if (c.words[row + STATE] === FREE || !(flags & READY)) {
      c.removeReady();
      continue;
    }
    const sent = transmit(c, s);
    if (sent === "batch full") return false;
    if (sent === "no port" && displaceOfPath(c, s)) continue;
    c.removeReady();
    c.words[row + FLAGS]! &= ~READY;
    if (sent === "over") {
      endSession(c, s, "ended", c.words[row + FLAGS]! & CLIENT_RST ? "resetSessions" : "closed");
    } else {
      if (sent !== "done") giveUpOpening(c, s, sent === "no port" ? "ports" : "memory");
      if (c.words[row + CURSOR] !== NONE) {
        c.waiting.note(s);
        awaitLateness(c, s);
      }
      arm(c, s);
    }
  }
  c.counters[COUNTER.memory] = c.segments.used;
  return true;
}

/** Makes the sessions ready that may have a connection now, under the limit of users. */
function invite(c: Context): void {
  const { users } = c;
  if (users === null) return;
  for (let s = users.invite(); s !== NONE; s = users.invite()) c.makeReady(s);
}

/** No connection could be opened: drops the session's turns. The next turn tries again, if the client has not closed. */
function giveUpOpening(c: Context, s: number, reason: DropReason): void {
  dropAllTurns(c, s, reason);
  // There is one where memory was missing for what opens it.
  reset(c, s);
  leaveConnection(c, s);
  c.users?.leave(s);
  c.words[s * ROW + FLAGS]! &= ~OPEN_AT_ONCE;
  c.makeReady(s);
}
