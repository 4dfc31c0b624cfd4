/** Paths that are held, because responses would not come back to us (the intercept is away): time stands still on them. */
import type { Context } from "./context.ts";
import {
  ACTIVE_AT,
  ANSWERED_AT,
  CLIENT_ADDRESS,
  FREE,
  GAP_AT,
  NONE,
  PATH,
  PORT,
  PROGRESS_AT,
  RESPONSE_AT,
  ROW,
  RTO_AT,
  RTT_AT,
  SINCE,
  STATE,
  TIMES,
} from "./table.ts";

/** Told of an open connection: its port, and its client's address in `words` at `at`, as `openFlow` of EngineConfig. */
export type EachFlow = (port: number, words: Int32Array, at: number) => void;

/** Nothing is sent on a path from now on, and no time passes for its sessions. */
export function holdPath(c: Context, path: number): void {
  if (c.held[path]) return;
  c.held[path] = true;
  c.heldSince[path] = c.now;
}

/** Sends on the path again; what waited goes first. */
export function resumePath(c: Context, path: number): void {
  if (!c.held[path]) return;
  c.held[path] = false;
  for (let s = 0; s < c.table.end; s++) {
    if (c.words[s * ROW + STATE] === FREE) continue;
    if (c.words[s * ROW + PATH] === path) passOver(c, s, c.now - c.heldSince[path]!);
    c.makeReady(s);
    c.wheel.arm(s, c.now + 1);
  }
}

/** Whether the session has a connection, on a path that is held. */
export function isHeld(c: Context, s: number): boolean {
  const path = c.words[s * ROW + PATH]!;
  return path !== NONE && c.held[path]!;
}

/** Calls `each` for every connection that is open on a path. */
export function forEachFlow(c: Context, path: number, each: EachFlow): void {
  const { words, table } = c;
  for (let row = 0; row < table.end * ROW; row += ROW) {
    if (words[row + STATE] === FREE || words[row + PATH] !== path || words[row + PORT] === NONE) continue;
    each(words[row + PORT]!, words, row + CLIENT_ADDRESS);
  }
}

/** For this session the last `span` us did not happen; what the target did not acknowledge is due again at once. */
function passOver(c: Context, s: number, span: number): void {
  const t = c.times;
  const time = s * TIMES;
  for (const past of [RESPONSE_AT, PROGRESS_AT, ACTIVE_AT, SINCE]) {
    t[time + past] = Math.min(c.now, t[time + past]! + span);
  }
  if (t[time + GAP_AT]! > 0) t[time + GAP_AT]! += span;
  if (t[time + ANSWERED_AT]! > 0) t[time + ANSWERED_AT]! += span;
  if (t[time + RTO_AT]! > 0) t[time + RTO_AT] = c.now;
  t[time + RTT_AT] = 0;
}
