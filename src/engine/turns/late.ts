/**
 * Turns that are late: not begun when --late's time after they were due is over. They are dropped, so that the copy stays at
 * production's present; or spread: where the protocol module says that a request stands alone, it goes over another
 * connection of the same client, as a load balancer or a browser would open one.
 */
import type { Context } from "../sessions/context.ts";
import { COUNTER } from "../sessions/counters.ts";
import { LENGTH, MARKS, NEXT, PREFIX, SEGMENT, TURN_START } from "../sessions/segments.ts";
import { MOST_SIBLINGS } from "../sessions/spread.ts";
import {
  ACTIVE_AT,
  CLIENT_ADDRESS,
  CLOSED,
  COPY,
  CURSOR,
  DUE_AT,
  ESTABLISHED,
  FLAGS,
  HAS_DATA,
  HEAD,
  MULTIPLEXED,
  NONE,
  OFFER_MSS,
  OFFER_WSCALE,
  OFFERS,
  QUEUED,
  ROW,
  SERVICE,
  STATE,
  SUPERSEDED,
  TAIL,
  TARGET,
  TIMES,
  TURN_ACK,
  TURN_AT,
  TURNS,
} from "../sessions/table.ts";
import { dropWaitingTurn } from "./drop.ts";
import { shareHeader } from "./proxy-header.ts";
import { dueAt, isAnsweredByModule, isBegun, noteAnswerBytes } from "./turns.ts";

/**
 * The first segment of the session's next turn, if that is not begun and nothing before it waits to be acknowledged; or NONE.
 * Also NONE with HTTP/2: a turn of it is a part of several requests, and of the state of the header compression.
 */
function waitingTurn(c: Context, s: number): number {
  const w = c.words;
  const row = s * ROW;
  const segment = w[row + CURSOR]!;
  const flags = w[row + FLAGS]!;
  if (segment === NONE || w[row + HEAD] !== segment || flags & MULTIPLEXED) return NONE;
  const isOurs = (c.segments.words[segment * SEGMENT + MARKS]! & PREFIX) !== 0;
  return isOurs || isBegun(c, s, segment) ? NONE : segment;
}

/** Drops the session's turns that are late, where --late says so. Not those of a user that waits for its place. */
export function dropLate(c: Context, s: number): void {
  const { late } = c.config;
  if (!late || late.spreads || (c.users !== null && c.words[s * ROW + STATE] === CLOSED)) return;
  for (let segment = waitingTurn(c, s); segment !== NONE; segment = waitingTurn(c, s)) {
    if (dueAt(c, s, segment) + late.after > c.now) return;
    noteAnswerBytes(c, s, segment);
    dropWaitingTurn(c, s, "late");
  }
}

/** The session was served, and has a turn that waits: it is looked at again when that is late. */
export function awaitLateness(c: Context, s: number): void {
  const { late } = c.config;
  if (!late) return;
  const segment = waitingTurn(c, s);
  if (segment === NONE) return;
  const at = dueAt(c, s, segment) + late.after;
  const timer = s * TIMES + TURN_AT;
  if (at > c.now && (c.times[timer] === 0 || at < c.times[timer]!)) c.times[timer] = at;
}

/** Gives the turn that begins with `segment`, which may not begin yet, to another connection; false if it is not to be spread. */
export function spreadLate(c: Context, s: number, segment: number): boolean {
  const { spread, protocols } = c;
  const { late } = c.config;
  if (spread === null || !late?.spreads || spread.has(s) || waitingTurn(c, s) !== segment) return false;
  if (dueAt(c, s, segment) + late.after > c.now) return false;
  if (!protocols?.owns(s) || !protocols.standsAlone(s, segment)) return false;
  let count = 0;
  let to = spread.first(s);
  for (; to !== NONE && !isIdle(c, to); to = spread.after(to)) count++;
  if (to === NONE) to = count < MOST_SIBLINGS ? openSibling(c, s) : NONE;
  if (to === NONE) return false;
  noteAnswerBytes(c, s, segment);
  protocols.move(s, to, segment);
  moveTurn(c, s, to);
  c.counters[COUNTER.turnsSpread]!++;
  c.makeReady(to);
  return true;
}

/** Whether a sibling can take a request at once. */
function isIdle(c: Context, s: number): boolean {
  const row = s * ROW;
  if (c.words[row + STATE] !== ESTABLISHED || c.words[row + HEAD] !== NONE) return false;
  return c.protocols!.owns(s) && isAnsweredByModule(c, s, c.words[row + TURN_ACK]!);
}

/** A row for a connection of the same client to the same target; NONE if there is none. */
function openSibling(c: Context, s: number): number {
  const w = c.words;
  const to = c.table.allocate();
  if (to === NONE) return NONE;
  const row = to * ROW;
  w.copyWithin(row + CLIENT_ADDRESS, s * ROW + CLIENT_ADDRESS, s * ROW + COPY + 1);
  for (const field of [SERVICE, TARGET, OFFERS, OFFER_MSS, OFFER_WSCALE])
    w[row + field] = w[s * ROW + field]!;
  w[row + FLAGS] = SUPERSEDED | HAS_DATA;
  if (!shareHeader(c, s, to)) {
    c.table.release(to);
    return NONE;
  }
  c.spread!.add(s, to);
  return to;
}

/** Moves the turn at HEAD of session `s` to the sibling `to`, which has none. */
function moveTurn(c: Context, s: number, to: number): void {
  const w = c.words;
  const g = c.segments.words;
  const from = s * ROW;
  const row = to * ROW;
  const first = w[from + HEAD]!;
  let last = first;
  let bytes = g[first * SEGMENT + LENGTH]!;
  let next = g[last * SEGMENT + NEXT]!;
  for (; next !== NONE && !(g[next * SEGMENT + MARKS]! & TURN_START); next = g[last * SEGMENT + NEXT]!) {
    last = next;
    bytes += g[last * SEGMENT + LENGTH]!;
  }
  w[from + HEAD] = next;
  w[from + CURSOR] = next;
  if (next === NONE) w[from + TAIL] = NONE;
  w[from + QUEUED]! -= bytes;
  w[from + TURNS]!--;
  g[last * SEGMENT + NEXT] = NONE;
  w[row + HEAD] = first;
  w[row + CURSOR] = first;
  w[row + TAIL] = last;
  w[row + QUEUED]! += bytes;
  w[row + TURNS]!++;
  // It waited for an answer until now.
  c.times[to * TIMES + DUE_AT] = c.now;
  c.times[to * TIMES + ACTIVE_AT] = c.now;
}
