/** How far the copy is behind production, and why; and what it waits for where it is not. */
import { number, span } from "../../runtime/figures.ts";

/** Seconds from which on it is said. */
const NOTEWORTHY = 1;

/** The parts of the account that tell it. */
export interface Lateness {
  /** Seconds since the oldest request that waits was due; 0 where none waits. */
  behind: number;
  /** Requests that wait, and how many of them wait for a connection. */
  waiting: number;
  waiting_for_connection: number;
  answer_us: { production: { p50: number }; target: { p50: number } };
}

/** `503 ms`, `1.2 ms`, `3.4 s`. */
function time(us: number): string {
  if (us < 1000) return "less than 1 ms";
  if (us < 10_000) return `${Number((us / 1000).toFixed(1))} ms`;
  return us < 1e6 ? `${Math.round(us / 1000)} ms` : `${(us / 1e6).toFixed(1)} s`;
}

/**
 * `the target takes 503 ms for an answer, production 1 ms: 24,071 requests wait, the oldest for 23 s`, where it is the target
 * that holds them up; null where the copy keeps up.
 */
export function renderLateness({
  behind,
  waiting,
  waiting_for_connection,
  answer_us,
}: Lateness): string | null {
  if (waiting === 0 || behind < NOTEWORTHY) return null;
  const oldest = `the oldest for ${Math.round(behind)} s`;
  const wait = `${number(waiting)} ${waiting === 1 ? "request waits" : "requests wait"}`;
  if (2 * waiting_for_connection > waiting) return `${wait} for a connection to the target, ${oldest}`;
  const { production, target } = answer_us;
  if (target.p50 === 0) return `the target does not answer: ${wait}, ${oldest}`;
  if (target.p50 <= production.p50) return `${wait} for responses of the target, ${oldest}`;
  const here = production.p50 > 0 ? `, production ${time(production.p50)}` : "";
  return `the target takes ${time(target.p50)} for a response${here}: ${wait}, ${oldest}`;
}

/** `next request in 3 h 12 min`; null where it comes sooner than is said (see TracePlayer). */
export function renderPause(seconds: number): string | null {
  return seconds > 0 ? `next request in ${span(seconds * 1e6)}` : null;
}
