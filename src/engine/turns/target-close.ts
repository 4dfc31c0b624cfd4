/**
 * Connections that the target closes although production's service keeps them open. The service's own close is not captured: it is
 * known only by what the client does.
 *
 * - The client sends another turn after the target has closed, or had sent one that still waits: production kept the connection.
 * - It neither sends nor closes for a long time after a close that came right behind a request or answer: production kept it too.
 * - It closes soon (as where the service closes after its answer): nothing is known, and nothing is counted.
 * - The target closes an idle connection, and the client never sends again: the same, as the service may have closed it then too,
 *   which many pools of connections notice only when they need one.
 */
import type { Context } from "../sessions/context.ts";
import { COUNTER } from "../sessions/counters.ts";
import {
  CLIENT_FIN,
  CLIENT_RST,
  CLIENTLESS,
  CLOSED,
  CONNECTIONS,
  FLAGS,
  RESPONSE_AT,
  ROW,
  SENT_AT,
  SERVICE,
  SINCE,
  STATE,
  SUPERSEDED,
  TIMES,
  TURN_COUNTED,
  TURN_OPEN,
  TURNS,
} from "../sessions/table.ts";

/** us after the target's close in which a client that got its service's close too would have closed. */
const SETTLED = 10_000_000;
/** us after the last request or answer in which a close is about that, and no time-out of an idle connection. */
const AT_ONCE = 1_000_000;

/** The target closes or resets the session's connection, before the state of that changes. */
export function noteTargetClose(c: Context, s: number): void {
  const w = c.words;
  const row = s * ROW;
  const flags = w[row + FLAGS]!;
  if (flags & CLIENTLESS || c.hasClosed[s] || c.spread?.has(s)) return;
  const isOpenPending = (flags & (TURN_OPEN | TURN_COUNTED)) === TURN_OPEN;
  if (w[row + TURNS]! > (isOpenPending ? 1 : 0)) {
    c.counters[COUNTER.closedByTarget]!++;
  } else if (!(flags & (CLIENT_FIN | CLIENT_RST | SUPERSEDED))) {
    c.hasClosed[s] = 1;
    c.times[s * TIMES + SINCE] = c.now;
  }
}

/** The client sends a turn: if the target had closed the connection before, production had not. */
export function noteTurn(c: Context, s: number): void {
  if (!c.hasClosed[s]) return;
  c.hasClosed[s] = 0;
  c.counters[COUNTER.closedByTarget]!++;
}

/** When it is known what the target's close was, us; 0: it is, or the connection is not closed. */
export function closeSettlesAt(c: Context, s: number): number {
  if (!c.hasClosed[s] || c.words[s * ROW + STATE] !== CLOSED) return 0;
  return c.times[s * TIMES + SINCE]! + SETTLED;
}

/** Counts a close of the target after which the client has neither sent nor closed for long, once. */
export function settleClose(c: Context, s: number): void {
  const time = s * TIMES;
  const at = closeSettlesAt(c, s);
  if (at === 0 || at > c.now) return;
  c.hasClosed[s] = 0;
  if (c.words[s * ROW + FLAGS]! & (CLIENT_FIN | CLIENT_RST | SUPERSEDED)) return;
  const last = Math.max(c.times[time + RESPONSE_AT]!, c.times[time + SENT_AT]!);
  if (c.times[time + SINCE]! - last < AT_ONCE) c.counters[COUNTER.closedByTarget]!++;
}

/**
 * Counts the open turn as sent (`by` 1), or undoes that (-1). Turns on a connection after the session's first are counted apart:
 * the target does not know what came before, unless a protocol module tells it.
 */
export function countSent(c: Context, s: number, by: 1 | -1): void {
  const row = s * ROW;
  c.counters[COUNTER.turnsSent]! += by;
  c.counters[COUNTER.turnsPending]! -= by;
  const hasModule = c.protocols !== null && c.config.modules![c.words[row + SERVICE]!] !== null;
  if (c.words[row + CONNECTIONS]! > 1 && !hasModule) c.counters[COUNTER.turnsOutOfContext]! += by;
}
