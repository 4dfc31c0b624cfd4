/** What happens when memory runs out: the sessions with the longest backlogs go (design section 4.8). */
import type { Context } from "./sessions/context.ts";
import { FLAGS, FREE, QUEUED, ROW, SHED, STATE } from "./sessions/table.ts";
import { loseConnection } from "./tcp/connection.ts";
import { reset } from "./tcp/expiry.ts";
import { dropAllTurns } from "./turns/drop.ts";

/** The share of it that is freed at a time when it has run out: looking for backlogs is not for every packet. */
const EVICTED_SHARE = 1 / 16;

/** One session keeps too much, or memory has run out: then the sessions with the longest backlogs go. */
export function evict(c: Context, s: number): void {
  const w = c.words;
  // The packet that found no room is lost to its own session in any case.
  const isOverOwnBound = w[s * ROW + QUEUED]! > c.config.sessionBytes / 2;
  shed(c, s);
  if (isOverOwnBound) return;
  let longest = 0;
  for (let i = 0; i < c.table.end; i++) {
    if (w[i * ROW + STATE] !== FREE) longest = Math.max(longest, w[i * ROW + QUEUED]!);
  }
  let freed = 0;
  for (let i = 0; i < c.table.end && freed < c.config.memory * EVICTED_SHARE; i++) {
    const queued = w[i * ROW + QUEUED]!;
    if (w[i * ROW + STATE] === FREE || queued === 0 || queued * 2 < longest) continue;
    freed += queued;
    shed(c, i);
  }
}

/** Gives a session up for memory; its turns are counted on. */
function shed(c: Context, s: number): void {
  const row = s * ROW;
  if (c.words[row + STATE] === FREE || c.words[row + FLAGS]! & SHED) return;
  reset(c, s);
  c.words[row + FLAGS]! |= SHED;
  dropAllTurns(c, s, "memory");
  loseConnection(c, s, "memory");
  c.protocols?.loseSync(s);
}
