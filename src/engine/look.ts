/** Counters that are true at a moment: of the turns that wait. */
import type { Context } from "./sessions/context.ts";
import { COUNTER } from "./sessions/counters.ts";
import { isHeld } from "./sessions/hold.ts";
import { CURSOR, ESTABLISHED, ROW, STATE } from "./sessions/table.ts";
import { dueAt, waitingTurns } from "./turns/turns.ts";

/** Sets the counters `waiting`, `waitingForConnection` and `behind` to what is true now. */
export function look(c: Context): void {
  let [waiting, unconnected, oldest] = [0, 0, c.now];
  c.waiting.keep((s) => {
    const turns = waitingTurns(c, s);
    if (turns === 0) return false;
    waiting += turns;
    if (c.words[s * ROW + STATE]! < ESTABLISHED || isHeld(c, s)) unconnected += turns;
    oldest = Math.min(oldest, dueAt(c, s, c.words[s * ROW + CURSOR]!));
    return true;
  });
  c.counters[COUNTER.waiting] = waiting;
  c.counters[COUNTER.waitingForConnection] = unconnected;
  c.counters[COUNTER.behind] = c.now - oldest;
}
