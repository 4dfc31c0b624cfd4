/** Turns that will not be delivered: which, and what becomes of those behind them. */
import { distance } from "../../wire/tcp.ts";
import type { Context } from "../sessions/context.ts";
import { COUNTER, type DropReason } from "../sessions/counters.ts";
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
import { releaseHeld } from "./reassembly.ts";
import { releaseHead } from "./stream.ts";
import { settleTurn } from "./turns.ts";

/** Drops every turn that was captured and not counted, and what is kept of them. */
export function dropAllTurns(c: Context, s: number, reason: DropReason): void {
  releaseHeld(c, s);
  dropStream(c, s, reason);
}

/** Drops every turn before a gap. */
export function dropStream(c: Context, s: number, reason: DropReason): void {
  const w = c.words;
  const row = s * ROW;
  if (w[row + FLAGS]! & TURN_OPEN) rewindTurns(c, s);
  while (w[row + HEAD] !== NONE) releaseHead(c, s);
  c.dropTurns(w[row + TURNS]!, reason);
  w[row + TURNS] = 0;
  w[row + FLAGS] = (w[row + FLAGS]! | SKIP_TURN) & ~(TURN_OPEN | TURN_COUNTED | TURN_ANSWERED);
}

/** Drops the turn that begins with the head of the stream, which is unsent. */
export function dropTurn(c: Context, s: number, reason: DropReason): void {
  const w = c.words;
  const row = s * ROW;
  const g = c.segments.words;
  settleTurn(c, s);
  w[row + TURNS]!--;
  c.dropTurns(1, reason);
  w[row + FLAGS]! &= ~TURN_OPEN;
  do releaseHead(c, s);
  while (w[row + HEAD] !== NONE && !(g[w[row + HEAD]! * SEGMENT + MARKS]! & TURN_START));
  if (w[row + HEAD] === NONE) w[row + FLAGS]! |= SKIP_TURN;
}

/**
 * Turns that were begun and not wholly acknowledged are captured and unsent once more, but for the first: it is sent again
 * if nothing of it was acknowledged, the target said so by a reset, and it is the first time; else it is dropped.
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
    if (reason === "reset" && !isRetried && distance(w[row + SND_UNA]!, first) <= 0) {
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
    // A turn that did not wait for its acknowledgement, and got one for its beginning only.
    w[row + TURNS]!++;
    c.counters[COUNTER.turnsSent]!--;
    c.counters[COUNTER.turnsPending]!++;
  }
  w[row + CURSOR] = head;
  dropTurn(c, s, reason);
}

/**
 * Makes the turn at the head of the stream, which was begun and kept back by the target's window, one to be begun: the
 * target has closed, and a new connection takes it, as often as one that was reset, which is once. False if it has had that,
 * or more of it was sent than a probe that the target did not take.
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
 * Makes every begun turn whose first segment is still kept an unsent one, and takes back those that were counted as sent.
 * True if the open turn is among them. The cursor stays.
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
    c.counters[COUNTER.turnsSent]!--;
    c.counters[COUNTER.turnsPending]!++;
  }
  return isOpenKept;
}
