/** Paths that are held while responses would not come back to us, or nothing gets there: nothing is sent, timers stop. */
import type { Context } from "./context.ts";
import {
  ACTIVE_AT,
  ANSWERED_AT,
  CLIENT_ADDRESS,
  FREE,
  GAP_AT,
  ISS,
  NONE,
  PATH,
  PORT,
  PROGRESS_AT,
  RCV_NXT,
  RESPONSE_AT,
  ROW,
  RTO_AT,
  RTT_AT,
  SINCE,
  SND_MAX,
  SND_UNA,
  STATE,
  SYN_SENT,
  TIMES,
} from "./table.ts";

/**
 * Called for a connection: its port, and its client's address in `words` at `at`, as `openFlow` of EngineConfig; then SND.UNA,
 * the highest sequence number sent, and RCV.NXT, or while its handshake goes on twice the number after that of its SYN, and 0.
 */
export type EachFlow = (
  port: number,
  words: Int32Array,
  at: number,
  isOpen: boolean,
  una: number,
  max: number,
  rcv: number,
) => void;

/** Why a path is held, as bits: the intercept that catches its responses is away; its target cannot be reached. */
export const INTERCEPT_AWAY = 1;
export const WAY_GONE = 2;

/** Sends nothing on a path until `resumePath` for this reason, and stops the timers of its sessions. */
export function holdPath(c: Context, path: number, reason: number): void {
  if (c.held[path] === 0) c.heldSince[path] = c.now;
  c.held[path]! |= reason;
}

/** Ends `holdPath` for a reason; at the last one it moves the timers of the path's sessions by the time that it was held. */
export function resumePath(c: Context, path: number, reason: number): void {
  if (!(c.held[path]! & reason)) return;
  c.held[path]! &= ~reason;
  if (c.held[path] !== 0) return;
  for (let s = 0; s < c.table.end; s++) {
    if (c.words[s * ROW + STATE] === FREE) continue;
    if (c.words[s * ROW + PATH] === path) shiftTimes(c, s, c.now - c.heldSince[path]!);
    c.makeReady(s);
    c.wheel.arm(s, c.now + 1);
  }
}

/** Whether the session has a connection, on a path that is held. */
export function isHeld(c: Context, s: number): boolean {
  const path = c.words[s * ROW + PATH]!;
  return path !== NONE && c.held[path] !== 0;
}

/** Calls `each` for every connection that is open on a path. */
export function forEachFlow(c: Context, path: number, each: EachFlow): void {
  const { words, table } = c;
  for (let row = 0; row < table.end * ROW; row += ROW) {
    if (words[row + STATE] === FREE || words[row + PATH] !== path || words[row + PORT] === NONE) continue;
    const isOpen = words[row + STATE] !== SYN_SENT;
    const afterSyn = (words[row + ISS]! + 1) | 0;
    const una = isOpen ? words[row + SND_UNA]! : afterSyn;
    const max = isOpen ? words[row + SND_MAX]! : afterSyn;
    const rcv = isOpen ? words[row + RCV_NXT]! : 0;
    each(words[row + PORT]!, words, row + CLIENT_ADDRESS, isOpen, una, max, rcv);
  }
}

/** Moves the session's times by `span` us; what the target did not acknowledge is due for retransmission at once. */
function shiftTimes(c: Context, s: number, span: number): void {
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
