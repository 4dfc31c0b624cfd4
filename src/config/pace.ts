/** `--pace` and `--late`: when requests go, and what becomes of those that the target does not take in time. */
import { Failure } from "../native/failure.ts";
import { isDecimal, type Range } from "./number.ts";

/**
 * When a request goes, once the one before is answered: at the time of production's clock (at once if that is past), after
 * the client's think time, or at once.
 */
export type Pace = "clock" | "think" | "fast";

/** A value of `--pace`. Throws a Failure (exit code 2). */
export function parsePace(text: string): Pace {
  if (text === "clock" || text === "think" || text === "fast") return text;
  // The name that "think" had.
  if (text === "client") return "think";
  throw new Failure(`Cannot use --pace "${text}": no such pace`, "Give clock, think or fast.", 2);
}

/** Requests that are not begun `after` us after they were due are dropped, or spread over other connections of their client. */
export interface LateRule {
  after: number;
  spreads: boolean;
}

const SECONDS: Range = { first: 0.001, last: 86400 };
/** us: `spread` without a time. */
const SPREAD_AFTER = 100_000;

/** A value of `--late`; null: they wait. Throws a Failure (exit code 2). */
export function parseLate(text: string): LateRule | null {
  const [, what, time] = /^(wait|drop|spread)(?::(.*))?$/s.exec(text) ?? [];
  if (what === "wait" && time === undefined) return null;
  if (what === "spread" && time === undefined) return { after: SPREAD_AFTER, spreads: true };
  if ((what === "drop" || what === "spread") && time !== undefined) {
    if (isDecimal(time, SECONDS))
      return { after: Math.round(Number(time) * 1e6), spreads: what === "spread" };
    const cause = `"${time}" is not a number from ${SECONDS.first} to ${SECONDS.last}`;
    throw new Failure(`Cannot use --late "${text}": ${cause}`, "Give seconds, for example drop:2.", 2);
  }
  const fix = "Give wait, drop:SECONDS, spread or spread:SECONDS, for example drop:2.";
  throw new Failure(`Cannot use --late "${text}": not a rule for late requests`, fix, 2);
}
