/** Freeing memory when it is full: the sessions with the most kept bytes are given up. */
import type { Context } from "./sessions/context.ts";
import { FLAGS, FREE, QUEUED, ROW, SHED, STATE } from "./sessions/table.ts";
import { loseConnection } from "./tcp/connection.ts";
import { reset } from "./tcp/expiry.ts";
import { dropAllTurns } from "./turns/drop.ts";

/** The share of all memory that one eviction frees: it walks all sessions, which is too much work for every packet. */
const EVICTED_SHARE = 1 / 16;

/**
 * Session `s` has no room for a captured packet: it is given up. If it keeps at most half of its own bound, memory as a
 * whole is full: the sessions that keep at least half as much as the largest one are given up too.
 */
export function evict(c: Context, s: number): void {
  const w = c.words;
  // Read first: `shed` releases what the session keeps.
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

/** Gives a session up for lack of memory: resets its connection and drops its turns. Later turns are still counted. */
function shed(c: Context, s: number): void {
  const row = s * ROW;
  if (c.words[row + STATE] === FREE || c.words[row + FLAGS]! & SHED) return;
  reset(c, s);
  c.words[row + FLAGS]! |= SHED;
  dropAllTurns(c, s, "memory");
  loseConnection(c, s, "memory");
  c.protocols?.loseSync(s);
}
