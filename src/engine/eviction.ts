/**
 * Making room. When memory is full, the sessions with the most kept bytes are given up; when the table or the ports are used up,
 * those that have been idle longest.
 */
import type { Context } from "./sessions/context.ts";
import { FLAGS, FREE, QUEUED, ROW, SHED, STATE } from "./sessions/table.ts";
import { endSession, loseConnection, nextPath } from "./tcp/connection.ts";
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

/** us; sessions that were idle for less make no room for others. */
const LEAST_IDLE = 60_000_000;
/** The share of the idle sessions that end at a time, for the same reason. */
const DISPLACED_SHARE = 1 / 64;
/** us between two walks, if the first has found nothing. */
const SEARCH_PAUSE = 1_000_000;

/**
 * The table is full, or the ports of `path` are used up: the sessions that have been idle longest end (with a connection on that
 * path; NONE: any). They have no sign of life of their client for LEAST_IDLE, and nothing to send. False if there is none.
 */
export function displace(c: Context, path: number): boolean {
  if (c.now < c.nextDisplacement) return false;
  const idleSince = c.table.activeBefore(c.now - LEAST_IDLE, path);
  if (idleSince.length === 0) {
    c.nextDisplacement = c.now + SEARCH_PAUSE;
    return false;
  }
  idleSince.sort();
  let left = Math.ceil(idleSince.length * DISPLACED_SHARE);
  const last = idleSince[left - 1]!;
  for (let s = 0; s < c.table.end && left > 0; s++) {
    if (!c.table.isIdle(s, last, path)) continue;
    reset(c, s);
    endSession(c, s, "ended", "displaced");
    left--;
  }
  return true;
}

/** As `displace`, where session `s` got no port; false where it has its client's address, which has ports of its own. */
export function displaceOfPath(c: Context, s: number): boolean {
  const path = nextPath(c, s);
  return !c.paths[path]!.fromClient && displace(c, path);
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
