/** `--fail-on`: bounds that make a run fail (exit code 6). */
import type { BrokenBound, Report } from "./report.ts";

export interface Bound {
  /** As the user wrote it. */
  text: string;
}

/** A value of --fail-on: bounds, separated by commas. Throws a Failure (exit code 2). */
export function parseBounds(text: string): Bound[] {
  return text.split(",").map((bound) => ({ text: bound.trim() }));
}

/** The bounds that a report breaks, in their order. */
export function brokenBounds(_bounds: readonly Bound[], _report: Omit<Report, "verdict">): BrokenBound[] {
  return [];
}
