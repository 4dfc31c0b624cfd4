/** Makes a report of pairs. No clock, no input: time comes with the calls. Its memory is bounded, whatever the pairs are. */
import { OUTCOMES, type Outcome, type Pair } from "../pairs/pair.ts";
import { brokenBounds } from "./bounds.ts";
import { Differ, type Found, NOT_LOOKED_INTO } from "./differences.ts";
import { Examples, PairTexts } from "./examples.ts";
import { Histogram } from "./histogram.ts";
import { type Judged, judge, poolsOf } from "./judge.ts";
import { hashOf } from "./looks/ids.ts";
import { Masker } from "./mask/masker.ts";
import { type Report, VERSION } from "./report.ts";
import { outcomeCountsOf, type Row, statusCountsOf } from "./row.ts";
import { Rows } from "./rows.ts";
import type { CompareSettings, Progress, RunFacts } from "./settings.ts";
import type { Tally } from "./tally.ts";
import { Timeline } from "./timeline.ts";
import { verdictOf } from "./verdict.ts";
import { oneLine } from "./words.ts";

/** The part of an account that is about the comparison. */
export interface ComparisonAccount {
  requests: number;
  outcomes: Partial<Record<Outcome, number>>;
  endpoints: number;
  errors: number;
  different: number;
  /** Requests with a difference that is noise, and no other. */
  noise: number;
  /** Requests of which content differs that was not looked into. */
  notLookedInto: number;
}

/** Differences that are told apart, of all endpoints. */
const MOST_TALLIES = 4000;
/** Bytes of content that are looked into: of each second, and at once. */
const LOOK_RATE = 16_000_000;
const MOST_LOOK = 32_000_000;
const OUTCOME_INDEX = new Map<Outcome, number>(OUTCOMES.map((outcome, index) => [outcome, index]));

export class Comparison {
  private readonly rows: Rows;
  private readonly differ: Differ;
  private readonly examples: Examples;
  private readonly timeline = new Timeline();
  /** Of all endpoints. */
  private readonly latency = { production: new Histogram(), target: new Histogram() };
  private tallies = 0;
  private notLookedInto = 0;
  /** Bytes that may be looked into now, and when that was reckoned, us. */
  private budget = MOST_LOOK;
  private budgetAt = Number.NEGATIVE_INFINITY;

  constructor(private readonly settings: CompareSettings) {
    this.rows = new Rows(settings, (text) => {
      const masker = new Masker(settings.masks);
      return oneLine(masker.everywhere(masker.text(text)), 1000);
    });
    this.differ = new Differ(settings, (at, bytes) => this.spend(at, bytes));
    this.examples = new Examples(settings);
  }

  /** Counts a pair and compares its answers. Keeps nothing of it that it does not copy. Never throws, whatever its bytes are. */
  take(pair: Pair): void {
    const isNoise = this.settings.targets[pair.copy]?.isNoise ?? false;
    const row = this.rows.of(pair, !isNoise);
    row.revision++;
    const { production, target } = pair;
    const isCompared = pair.outcome === "compared" && production !== null && target !== null;
    if (!isNoise) row.countPair(pair, OUTCOME_INDEX.get(pair.outcome) ?? 0);
    else if (isCompared || pair.outcome === "production only") {
      row.noiseJudged++;
      row.noiseLatency ??= new Histogram();
      if (isCompared) row.noiseLatency.record(target.lastByte);
    }
    const found = this.differ.of(pair);
    const tallies = found.length > 0 ? this.count(row, pair, found, isNoise) : NONE;
    if (isNoise) return;
    const isError = tallies.some((tally) => tally.isError);
    // Times and ids are most likely learned.
    const isDifferent = tallies.some(({ nature }) => nature !== "time" && nature !== "id");
    const isTimed = isCompared && production.lastByte !== -1;
    const [ours, theirs] = isTimed ? [production.lastByte, target.lastByte] : [null, null];
    if (isCompared) {
      this.latency.production.record(production.lastByte);
      this.latency.target.record(target.lastByte);
    }
    this.timeline.take(ours, theirs, isError, isDifferent);
  }

  private count(row: Row, pair: Pair, found: readonly Found[], isNoise: boolean): Tally[] {
    const texts = new PairTexts(pair, this.settings);
    const tallies = new Set<Tally>();
    let request = -1;
    for (const difference of found) {
      const before = row.byIndex.length;
      const tally = row.tallyOf(
        difference,
        (where) => oneLine(texts.mask(where)),
        this.tallies < MOST_TALLIES,
      );
      this.tallies += row.byIndex.length - before;
      tallies.add(tally);
      if (difference.where === NOT_LOOKED_INTO && !isNoise) this.notLookedInto++;
      if (isNoise || difference.nature === "shape") {
        if (!isNoise) tally.sample ??= texts.sample(difference);
        continue;
      }
      tally.sample ??= texts.sample(difference);
      if (request < 0) request = hashOfRequest(pair);
      const { production, target } = difference;
      const at = this.settings.began.ms + (pair.at - this.settings.began.us) / 1000;
      const isEcho = production.length >= 6 && pair.name.includes(production);
      tally.evidence.add({ at, production, target }, request, isEcho);
    }
    const all = [...tallies].sort((one, other) => one.index - other.index);
    if (isNoise) for (const tally of all) tally.noise++;
    else row.countSet(all, pair.production?.status ?? -1);
    if (isNoise) return all;
    // One request is an example of what is told first of it.
    const wanted = all.find((tally) => tally.isError) ?? all.find((tally) => this.examples.wants(row, tally));
    if (wanted !== undefined && this.examples.wants(row, wanted))
      this.examples.keep(row, wanted, pair, texts);
    return all;
  }

  /** Whether there is time to look into so many bytes: the main thread has other work too. */
  private spend(at: number, bytes: number): boolean {
    if (at > this.budgetAt) {
      const since = Math.min(at - this.budgetAt, 60e6);
      this.budget = Math.min(MOST_LOOK, this.budget + (since * LOOK_RATE) / 1e6);
      this.budgetAt = at;
    }
    if (this.budget < bytes) return false;
    this.budget -= bytes;
    return true;
  }

  /** Notes how the run went since the last note; what is taken from now on is of the moments after. */
  note(progress: Progress): void {
    this.timeline.note(progress);
  }

  /** The times to the last byte of each endpoint, counted by `bounds` (us): see Histogram.atMost. */
  times(bounds: readonly number[]) {
    return this.rows.all().map(({ service, protocol, method, name, latency }) => ({
      service: this.settings.services[service] ?? String(service),
      protocol,
      method,
      name,
      production: latency.production.atMost(bounds),
      target: latency.target.atMost(bounds),
    }));
  }

  private judged(): { rows: Row[]; judged: Judged[] } {
    const rows = this.rows.all();
    const pools = poolsOf(rows);
    const serviceOf = ({ service }: Row) => this.settings.services[service] ?? String(service);
    return { rows, judged: rows.map((row) => judge(row, serviceOf(row), pools)) };
  }

  /** All that is known now. Works without any pair too. */
  report(run: RunFacts): Report {
    const { settings } = this;
    const { rows, judged } = this.judged();
    const statuses = new Map<number, number>();
    const outcomes = new Float64Array(OUTCOMES.length);
    for (const row of rows) {
      row.addStatusesTo(statuses);
      for (let index = 0; index < OUTCOMES.length; index++) outcomes[index]! += row.outcomes[index]!;
    }
    outcomes[OUTCOME_INDEX.get("behind")!]! += run.lost;
    const sorted = judged.toSorted(
      ({ endpoint: one }, { endpoint: other }) => other.worse - one.worse || other.count - one.count,
    );
    const endpoints = sorted.map(({ endpoint }) => endpoint);
    const sum = (name: "count" | "errors" | "different") =>
      endpoints.reduce((total, endpoint) => total + endpoint[name], 0);
    const report: Report = {
      xcopy: { report: VERSION, version: settings.version },
      began: settings.began.ms,
      seconds: run.seconds,
      isRunning: run.isRunning,
      mode: settings.mode,
      services: [...settings.services],
      targets: settings.targets.map(({ label, isNoise }) => ({ label, isNoise })),
      body: settings.body,
      notLookedInto: this.notLookedInto,
      verdict: { text: "", isWorse: false, broken: [] },
      count: sum("count") + run.lost,
      outcomes: outcomeCountsOf(outcomes),
      errors: sum("errors"),
      different: sum("different"),
      statuses: statusCountsOf(statuses),
      latency: {
        production: this.latency.production.distribution(),
        target: this.latency.target.distribution(),
      },
      timeline: this.timeline.report(run.seconds),
      endpoints,
      account: run.account,
    };
    report.verdict = { ...verdictOf(report, sorted), broken: brokenBounds(settings.bounds, report) };
    return report;
  }

  /** For the account of the run (--json) and its text. `lost`: as in `RunFacts`. */
  account(lost = 0): ComparisonAccount {
    const { rows, judged } = this.judged();
    const outcomes = new Float64Array(OUTCOMES.length);
    for (const row of rows)
      for (let index = 0; index < OUTCOMES.length; index++) outcomes[index]! += row.outcomes[index]!;
    outcomes[OUTCOME_INDEX.get("behind")!]! += lost;
    const sum = (of: (judged: Judged) => number) => judged.reduce((total, each) => total + of(each), 0);
    const withAny = rows.reduce(
      (total, { sets }) => total + [...sets.values()].reduce((all, count) => all + count, 0),
      0,
    );
    const different = sum(({ endpoint }) => endpoint.different);
    return {
      requests: sum(({ endpoint }) => endpoint.count) + lost,
      outcomes: outcomeCountsOf(outcomes),
      endpoints: rows.length,
      errors: sum(({ endpoint }) => endpoint.errors),
      different,
      noise: withAny - different,
      notLookedInto: this.notLookedInto,
    };
  }
}

const NONE: Tally[] = [];

/** All of a request that may decide its answer: what it asks for, who asks, what it brings. */
function hashOfRequest({ method, name, request, requestBody }: Pair): number {
  const head =
    request.length === 0
      ? ""
      : Buffer.from(request.buffer, request.byteOffset, request.length).toString("latin1");
  const who =
    head.match(/^(?:cookie|authorization|x-api-key|accept-language|accept):.*$/gim)?.join("\n") ?? "";
  const body = requestBody === null ? "" : Buffer.from(requestBody).toString("latin1");
  return hashOf(`${method} ${name}\n${who}\n${body}`);
}
