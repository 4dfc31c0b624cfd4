/**
 * The report of a comparison: what `--report FILE.json` writes, the page and the terminal show, and `xcopy report` reads. Times are us,
 * sizes bytes, shares 0 to 1. Everything that came from the network is text here (never markup), with its secrets masked.
 * A reader takes any report with its VERSION; fields may be added, none are renamed or removed without a new one.
 */
import type { Outcome, PairProtocol } from "../pairs/pair.ts";

export const VERSION = 1;

/** Latencies of one side: some percentiles, and a curve of at most 60 points (percentile 0 to 100, us), from a histogram. */
export interface Distribution {
  count: number;
  mean: number;
  p50: number;
  p90: number;
  p99: number;
  p999: number;
  max: number;
  curve: [percentile: number, us: number][];
}

/** Content of one side, bytes; over the answers of which it is known. */
export interface Sizes {
  count: number;
  mean: number;
  max: number;
}

export interface StatusCount {
  /** The status of each side; null: it gave no answer (both: more statuses than are counted). */
  production: number | null;
  target: number | null;
  count: number;
}

/**
 * What differs. `status`: where says from and to ("200 -> 500"); `answer`: the target gave none; `end`: cut short on one side, where says
 * how the answers ended ("complete -> reset"); `length`; `field`: where is its name; `body`: where is a path ("$.user.name"), "" for
 * content that has none, or "(not looked into)"; `count`: rows or records; `latency`: where is the percentile ("p99"); only in
 * `Endpoint.differences`, where it is certain that the target is slower.
 * Behind a name or a path stands what is more than another value: " (missing)" or " (added)" at the target, " (type)", of an array
 * " (length)" or " (order)", of an id as a name " (name)". "(others)": more differences than are told apart.
 */
export type DifferenceKind = "status" | "answer" | "end" | "length" | "field" | "body" | "count" | "latency";

export interface Difference {
  kind: DifferenceKind;
  where: string;
  /** Requests with it, of `of` that were compared. */
  count: number;
  of: number;
  /** The same at the target with the old version (--noise); null: there is none. */
  noise: { count: number; of: number } | null;
  /** Whether it is left out of the verdict: it occurs as much with the old version, or was learned to differ always. */
  isNoise: boolean;
  /** Why: "noise", "learned" (values that differ in every request, as times and tokens); null. What is ignored (--ignore) is not listed. */
  because: "noise" | "learned" | null;
  /** One value of each side, shortened. */
  sample: { production: string; target: string } | null;
}

/** A message as text: bytes that are not UTF-8 are replaced, and what is long is cut (`isCut`). */
export interface MessageText {
  head: string;
  body: string;
  isCut: boolean;
}

export interface Example {
  kind: DifferenceKind;
  where: string;
  /** When it was captured, ms since 1970. */
  at: number;
  request: MessageText;
  production: MessageText | null;
  target: MessageText | null;
  /** us to the last byte; null: no answer. */
  latency: { production: number | null; target: number | null };
}

export interface Endpoint {
  service: string;
  protocol: PairProtocol;
  /** HTTP: method and template ("GET", "/users/{id}"); MySQL: kind and digest; DNS: type and name. `name` "(others)": the rest. */
  method: string;
  name: string;
  /** Requests, and how they ended. */
  count: number;
  outcomes: Partial<Record<Outcome, number>>;
  statuses: StatusCount[];
  /** Time to the last byte, of requests that both answered. */
  latency: { production: Distribution; target: Distribution };
  /** Time to the first byte. */
  firstByte: { production: Distribution; target: Distribution };
  sizes: { production: Sizes; target: Sizes };
  /** The most important first; noise last. */
  differences: Difference[];
  examples: Example[];
  /**
   * Requests in which the target failed (no answer, cut short, 5xx; MySQL: an error; DNS: SERVFAIL) and production did not, without those
   * whose difference is noise.
   */
  errors: number;
  /** Requests with a difference that is not noise. */
  different: number;
  /** How much worse the target is, for sorting; 0: not worse. */
  worse: number;
}

/** One second or more of the run; in the timeline all have the same length, but the last, which may be shorter. */
export interface Moment {
  /** s since the start. */
  at: number;
  /** Requests a second that were sent, that were paired, that failed, and that had a difference not known to be noise by then. */
  sent: number;
  compared: number;
  errors: number;
  different: number;
  /** us, of this moment. */
  lag: { p50: number; p99: number };
  production: { p50: number; p99: number };
  target: { p50: number; p99: number };
}

/** A bound of --fail-on that broke. */
export interface BrokenBound {
  /** As the user wrote it. */
  bound: string;
  /** What was found: "2.3 % of 10,000 requests". */
  found: string;
}

export interface Report {
  xcopy: { report: typeof VERSION; version: string };
  /** When the run began, ms since 1970; its length, s; whether it goes on (a live page). */
  began: number;
  seconds: number;
  isRunning: boolean;
  mode: string;
  services: string[];
  /** The target that is judged first; `isNoise`: the one with the old version. */
  targets: { label: string; isNoise: boolean }[];
  /** Whether content was compared. */
  body: boolean;
  /** Requests of which content differs that was not looked into: too much of it, or not kept. Their difference says so. */
  notLookedInto?: number;
  verdict: { text: string; isWorse: boolean; broken: BrokenBound[] };
  /** Requests, and how they ended: those of all endpoints, and those that got lost on their way to the comparison (`behind`). */
  count: number;
  outcomes: Partial<Record<Outcome, number>>;
  errors: number;
  different: number;
  statuses: StatusCount[];
  latency: { production: Distribution; target: Distribution };
  timeline: Moment[];
  /** Sorted by `worse`, then by `count`. */
  endpoints: Endpoint[];
  /** The account of `copy` (as with --json), for what was sent and lost. */
  account: Record<string, unknown>;
}
