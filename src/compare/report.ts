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
  /** The status of each side; null: it gave no answer. */
  production: number | null;
  target: number | null;
  count: number;
}

/**
 * What differs. `status`: where says from and to ("200 -> 500"); `answer`: the target gave none; `end`: cut short on one side;
 * `length`; `field`: where is its name; `body`: where is a path ("$.user.name") or "" for content that has none; `count`: rows or
 * records; `latency`: only in `Endpoint.differences`, where it is certain that the target is slower.
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
  /** Why: "noise", "learned" (values that differ in every request, as times and tokens), "ignored" is not listed at all; null. */
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
  /** Requests in which the target failed (no answer, cut short, 5xx; MySQL: an error; DNS: SERVFAIL) and production did not. */
  errors: number;
  /** Requests with a difference that is not noise. */
  different: number;
  /** How much worse the target is, for sorting; 0: not worse. */
  worse: number;
}

/** One second or more of the run; in the timeline all have the same length. */
export interface Moment {
  /** s since the start. */
  at: number;
  /** Requests a second that were sent, and that were paired. */
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
  verdict: { text: string; isWorse: boolean; broken: BrokenBound[] };
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
