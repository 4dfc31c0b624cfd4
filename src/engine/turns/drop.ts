/** Dropping turns that cannot be delivered, and making turns whose connection is gone unsent again. */
import { distance } from "../../wire/tcp.ts";
import type { Context } from "../sessions/context.ts";
import type { DropReason } from "../sessions/counters.ts";
import { BEGUN, LENGTH, MARKS, NEXT, SEGMENT, SEQ, TURN_START } from "../sessions/segments.ts";
import {
  CURSOR,
  FLAGS,
  HEAD,
  NONE,
  ROW,
  SEQ_DELTA,
  SKIP_TURN,
  SND_MAX,
  SND_UNA,
  TURN_ANSWERED,
  TURN_COUNTED,
  TURN_OPEN,
  TURN_RETRIED,
  TURN_SEQ,
  TURNS,
} from "../sessions/table.ts";
import { endHeader } from "./proxy-header.ts";
import { releaseHeld } from "./reassembly.ts";
import { releaseHead } from "./stream.ts";
import { countSent } from "./target-close.ts";
import { settleTurn } from "./turns.ts";

/** Drops every turn that was captured and not counted as sent, and releases all segments, also those beyond a gap. */
export function dropAllTurns(c: Context, s: number, reason: DropReason): void {
  releaseHeld(c, s);
  dropStream(c, s, reason);
}

/** Drops every turn that was captured and not counted as sent, and releases the segments in order. */
export function dropStream(c: Context, s: number, reason: DropReason): void {
  const w = c.words;
  const row = s * ROW;
  endHeader(c, s);
  if (w[row + FLAGS]! & TURN_OPEN) rewindTurns(c, s);
  while (w[row + HEAD] !== NONE) releaseHead(c, s);
  c.dropTurns(w[row + TURNS]!, reason);
  w[row + TURNS] = 0;
  w[row + FLAGS] = (w[row + FLAGS]! | SKIP_TURN) & ~(TURN_OPEN | TURN_COUNTED | TURN_ANSWERED);
}

/** Drops the turn that begins at HEAD, which was not sent. */
export function dropTurn(c: Context, s: number, reason: DropReason): void {
  settleTurn(c, s);
  c.words[s * ROW + FLAGS]! &= ~TURN_OPEN;
  dropWaitingTurn(c, s, reason);
}

/** The same of a turn that waits for the answer to the open turn, which stays open. */
export function dropWaitingTurn(c: Context, s: number, reason: DropReason): void {
  const w = c.words;
  const row = s * ROW;
  const g = c.segments.words;
  w[row + TURNS]!--;
  c.dropTurns(1, reason);
  do releaseHead(c, s);
  while (w[row + HEAD] !== NONE && !(g[w[row + HEAD]! * SEGMENT + MARKS]! & TURN_START));
  if (w[row + HEAD] === NONE) w[row + FLAGS]! |= SKIP_TURN;
}

/**
 * The connection is gone: makes the begun turns that were not wholly acknowledged unsent again. The first of them is only
 * sent again if nothing of it was acknowledged, the reason is "reset", and it was not sent again before; else it is dropped.
 */
export function loseTurns(c: Context, s: number, reason: DropReason): void {
  const w = c.words;
  const row = s * ROW;
  settleTurn(c, s);
  const flags = w[row + FLAGS]!;
  if (!(flags & TURN_OPEN)) return;
  const head = w[row + HEAD]!;
  if (head === NONE) {
    w[row + FLAGS] = (flags | SKIP_TURN) & ~TURN_OPEN;
    return;
  }
  const g = c.segments.words;
  const at = head * SEGMENT;
  const isBegun = !(g[at + MARKS]! & TURN_START);
  const isOpenKept = rewindTurns(c, s);
  w[row + FLAGS]! &= ~TURN_OPEN;
  if (!isBegun) return;
  if (g[at + MARKS]! & TURN_START) {
    const isRetried = (flags & TURN_RETRIED) !== 0 && w[row + TURN_SEQ] === g[at + SEQ];
    const first = (g[at + SEQ]! + w[row + SEQ_DELTA]!) | 0;
    if ((reason === "reset" || reason === "moved") && !isRetried && distance(w[row + SND_UNA]!, first) <= 0) {
      w[row + FLAGS]! |= TURN_RETRIED;
      w[row + TURN_SEQ] = g[at + SEQ]!;
      w[row + CURSOR] = head;
      return;
    }
    w[row + CURSOR] = head;
    dropTurn(c, s, reason);
    return;
  }
  if (flags & TURN_COUNTED || isOpenKept) {
    // The turn was counted as sent before it was acknowledged, and only its beginning was.
    w[row + TURNS]!++;
    countSent(c, s, -1);
  }
  w[row + CURSOR] = head;
  dropTurn(c, s, reason);
}

/**
 * Makes the begun turn at HEAD, which the target's window held back, unsent: the target has closed, and a new connection takes
 * the turn, but only once. False if that was done before, or if more of it was sent than a window probe.
 */
export function takeBackTurn(c: Context, s: number): boolean {
  const w = c.words;
  const row = s * ROW;
  const g = c.segments.words;
  const at = w[row + HEAD]! * SEGMENT;
  const una = w[row + SND_UNA]!;
  const sent = distance(w[row + SND_MAX]!, una);
  if (w[row + HEAD] === NONE || !(g[at + MARKS]! & BEGUN)) return false;
  if (w[row + FLAGS]! & (TURN_RETRIED | TURN_COUNTED) || w[row + TURN_SEQ] !== g[at + SEQ]) return false;
  if (((g[at + SEQ]! + w[row + SEQ_DELTA]!) | 0) !== una || sent > 1 || sent === g[at + LENGTH]) return false;
  g[at + MARKS] = (g[at + MARKS]! & ~BEGUN) | TURN_START;
  w[row + FLAGS] = (w[row + FLAGS]! | TURN_RETRIED) & ~TURN_OPEN;
  return true;
}

/**
 * Makes every begun turn whose first segment is still kept unsent, and undoes the count of those that were counted as sent.
 * True if the open turn is among them. CURSOR stays.
 */
function rewindTurns(c: Context, s: number): boolean {
  const w = c.words;
  const row = s * ROW;
  const g = c.segments.words;
  const isOpenCounted = (w[row + FLAGS]! & TURN_COUNTED) !== 0;
  let isOpenKept = false;
  for (let segment = w[row + HEAD]!; segment !== NONE; segment = g[segment * SEGMENT + NEXT]!) {
    const at = segment * SEGMENT;
    if (!(g[at + MARKS]! & BEGUN)) continue;
    g[at + MARKS] = (g[at + MARKS]! & ~BEGUN) | TURN_START;
    if (g[at + SEQ] === w[row + TURN_SEQ]) {
      isOpenKept = true;
      if (!isOpenCounted) continue;
    }
    w[row + TURNS]!++;
    countSent(c, s, -1);
  }
  return isOpenKept;
}
