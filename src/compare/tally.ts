/** One difference of one endpoint, counted. */
import type { Found } from "./differences.ts";
import { Evidence } from "./learned.ts";
import type { Nature } from "./looks/nature.ts";
import type { DifferenceKind } from "./report.ts";

export interface Tally {
  kind: DifferenceKind;
  /** As in the report: masked. */
  where: string;
  /** What its values have in common; another nature at the same place is another tally. */
  nature: Nature;
  isError: boolean;
  /** Its place in the row, by which the sets of differences of a request name it. */
  index: number;
  count: number;
  /** The same at the target with the old version. */
  noise: number;
  /** Statuses of the answers that had it, the first 16. */
  statuses: Set<number>;
  evidence: Evidence;
  sample: { production: string; target: string } | null;
  /** Examples that are kept of it. */
  examples: number;
}

/** What a tally is found by. */
export function keyOf({ kind, nature, where }: Pick<Found, "kind" | "nature" | "where">): string {
  return `${kind} ${nature} ${where}`;
}

export function createTally(
  found: Pick<Found, "kind" | "nature" | "isError">,
  where: string,
  index: number,
  isSafe: boolean,
): Tally {
  return {
    kind: found.kind,
    where,
    nature: found.nature,
    isError: found.isError,
    index,
    count: 0,
    noise: 0,
    statuses: new Set(),
    evidence: new Evidence(isSafe),
    sample: null,
    examples: 0,
  };
}
