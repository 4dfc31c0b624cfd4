/** What a comparison is told: what the user asked for, and at its end what the run knows. */
import type { Bound } from "./bounds.ts";
import type { IgnoreRule } from "./content/ignore.ts";
import type { EndpointRule } from "./endpoint/rules.ts";
import type { Mask } from "./mask/pattern.ts";

export interface CompareSettings {
  /** Version of xcopy. */
  version: string;
  mode: string;
  /** Names of the services, by the index that pairs have: "80", "80-10.0.0.2:8080", as a reader of the report should see them. */
  services: readonly string[];
  /** By the index of a pair's `copy`; at most one has the old version (--noise). The others are judged, together. */
  targets: readonly { label: string; isNoise: boolean }[];
  /** Whether content is compared, and which fields of HTTP are, in lower case (as in PairConfig). */
  body: boolean;
  fields: readonly string[];
  /** --endpoint, in the order given: the first that fits counts. */
  endpoints: readonly EndpointRule[];
  /** --ignore. */
  ignore: readonly IgnoreRule[];
  /** --mask, besides what is masked always. */
  masks: readonly Mask[];
  /** --fail-on. */
  bounds: readonly Bound[];
  /** When the run began: ms since 1970, and the same moment in us of the clock that `Pair.at` is of. */
  began: { ms: number; us: number };
}

/** What was sent up to now, for the timeline: noted about once a second. */
export interface Progress {
  /** s since the run began; never less than before. */
  at: number;
  /** Requests (turns, where those are not told apart) that were sent since it began. */
  sent: number;
  /** us, of what was sent since the last note. */
  lag: { p50: number; p99: number };
}

/** What a report says besides what was compared. */
export interface RunFacts {
  /** Length of the run up to now, s. */
  seconds: number;
  isRunning: boolean;
  /** Pairs that were made and got lost on their way here: they count as `behind`, of no endpoint. */
  lost: number;
  /** The account of `copy`. */
  account: Record<string, unknown>;
}
