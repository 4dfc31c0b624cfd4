/** What is counted of one endpoint. */
import { OUTCOMES, type Outcome, type Pair, type PairProtocol } from "../pairs/pair.ts";
import type { Found } from "./differences.ts";
import { Histogram } from "./histogram.ts";
import type { Example, Sizes, StatusCount } from "./report.ts";
import { createTally, keyOf, type Tally } from "./tally.ts";

/** Name of the row that has the rest of the endpoints of a service. */
export const OTHERS = "(others)";
/** Differences of an endpoint that are told apart; sets of them that one request had; statuses. */
const MOST_TALLIES = 64;
const MOST_SETS = 64;
const MOST_STATUSES = 64;
const MOST_STATUSES_OF_TALLY = 16;

export class Size {
  count = 0;
  max = 0;
  private sum = 0;

  record(bytes: number): void {
    if (bytes < 0) return;
    this.count++;
    this.sum += bytes;
    if (bytes > this.max) this.max = bytes;
  }

  merge(other: Size): void {
    this.count += other.count;
    this.sum += other.sum;
    this.max = Math.max(this.max, other.max);
  }

  sizes(): Sizes {
    return {
      count: this.count,
      mean: this.count === 0 ? 0 : Math.round(this.sum / this.count),
      max: this.max,
    };
  }
}

function add<Key>(counts: Map<Key, number>, key: Key, by: number): void {
  counts.set(key, (counts.get(key) ?? 0) + by);
}

/** Two histograms or sizes, one for each side. */
interface Sides<Kind> {
  production: Kind;
  target: Kind;
}

export class Row {
  count = 0;
  /** Changes with all that is counted here. */
  revision = 0;
  /** Requests of this endpoint that counted elsewhere, before it had a row. */
  before = 0;
  readonly outcomes = new Float64Array(OUTCOMES.length);
  /** Status of production and target (-1: none), by one number. */
  private readonly statuses = new Map<number, number>();
  readonly latency: Sides<Histogram> = { production: new Histogram(), target: new Histogram() };
  readonly firstByte: Sides<Histogram> = { production: new Histogram(), target: new Histogram() };
  readonly sizes: Sides<Size> = { production: new Size(), target: new Size() };
  /** Time to the last byte at the target with the old version. */
  noiseLatency: Histogram | null = null;
  /** Requests that it was sent and that production answered. */
  noiseJudged = 0;
  readonly tallies = new Map<string, Tally>();
  readonly byIndex: Tally[] = [];
  /** Sets of differences (indexes of tallies, joined) that one request had, and how many had them. */
  readonly sets = new Map<string, number>();
  /** Requests by status of which the content (the fields) of both sides was compared, by hash. */
  readonly comparable = { body: new Map<number, number>(), field: new Map<number, number>() };
  readonly examples: Example[] = [];

  constructor(
    readonly service: number,
    readonly protocol: PairProtocol,
    readonly method: string,
    readonly name: string,
    /** What it is found by. */
    readonly key: string,
  ) {}

  /** Requests that both answered, or only production did. */
  get judged(): number {
    return this.outcomes[0]! + this.outcomes[2]!;
  }

  get frequency(): number {
    return this.count + this.before;
  }

  get isOthers(): boolean {
    return this.name === OTHERS;
  }

  countPair(pair: Pair, outcome: number): void {
    const { production, target } = pair;
    this.count++;
    this.outcomes[outcome]!++;
    if (production !== null || target !== null)
      this.addStatus(production === null ? -1 : production.status, target === null ? -1 : target.status, 1);
    if (pair.outcome !== "compared" || production === null || target === null) return;
    this.latency.production.record(production.lastByte);
    this.latency.target.record(target.lastByte);
    this.firstByte.production.record(production.firstByte);
    this.firstByte.target.record(target.firstByte);
    this.sizes.production.record(production.bytes);
    this.sizes.target.record(target.bytes);
    if (production.status !== target.status) return;
    if (production.digest !== null && target.digest !== null)
      this.addComparable("body", production.status, 1);
    if (production.isHeadWhole && target.isHeadWhole) this.addComparable("field", production.status, 1);
  }

  private addStatus(production: number, target: number, by: number): void {
    const key = (production + 1) * 0x10000 + ((target + 1) & 0xffff);
    if (this.statuses.size < MOST_STATUSES || this.statuses.has(key)) add(this.statuses, key, by);
    else add(this.statuses, -1, by);
  }

  private addComparable(what: "body" | "field", status: number, by: number): void {
    const counts = this.comparable[what];
    add(counts, counts.size < MOST_STATUSES || counts.has(status) ? status : -1, by);
  }

  /** The tally of a difference; a new one if there is room, by `where`, else that of all others. */
  tallyOf(found: Found, where: (raw: string) => string, hasRoom: boolean): Tally {
    const known = this.tallies.get(keyOf(found));
    if (known !== undefined) return known;
    const isFull = !found.isError && (!hasRoom || this.tallies.size >= MOST_TALLIES);
    const kept: Found =
      isFull || this.tallies.size >= 2 * MOST_TALLIES ? { ...found, nature: "shape", where: OTHERS } : found;
    const key = keyOf(kept);
    const before = this.tallies.get(key);
    if (before !== undefined) return before;
    const isSafe = this.protocol !== "http" || this.method === "GET" || this.method === "HEAD";
    const shown = kept.where === OTHERS ? OTHERS : where(kept.where);
    const tally = createTally(kept, shown, this.byIndex.length, isSafe);
    this.tallies.set(key, tally);
    this.byIndex.push(tally);
    return tally;
  }

  /** Counts a request that had these differences, in ascending order of their index. */
  countSet(tallies: readonly Tally[], status: number): void {
    for (const tally of tallies) {
      tally.count++;
      if (tally.statuses.size < MOST_STATUSES_OF_TALLY) tally.statuses.add(status);
    }
    const set = tallies.map(({ index }) => index).join();
    if (this.sets.size < MOST_SETS || this.sets.has(set)) {
      add(this.sets, set, 1);
      return;
    }
    // Of many sets the difference that is least likely noise stands for all.
    const real =
      tallies.find(({ isError }) => isError) ??
      tallies.find(({ nature }) => nature === "shape" || nature === "text");
    add(this.sets, String((real ?? tallies[0]!).index), 1);
  }

  /** Takes all that another row counted, as if its requests had been of this one. */
  merge(other: Row, mostExamples: number): void {
    this.revision++;
    this.count += other.count;
    for (let index = 0; index < OUTCOMES.length; index++) this.outcomes[index]! += other.outcomes[index]!;
    for (const [key, count] of other.statuses) {
      if (key < 0) add(this.statuses, -1, count);
      else this.addStatus(Math.floor(key / 0x10000) - 1, (key % 0x10000) - 1, count);
    }
    for (const what of ["latency", "firstByte"] as const)
      for (const side of ["production", "target"] as const) this[what][side].merge(other[what][side]);
    this.sizes.production.merge(other.sizes.production);
    this.sizes.target.merge(other.sizes.target);
    if (other.noiseLatency !== null) {
      this.noiseLatency ??= new Histogram();
      this.noiseLatency.merge(other.noiseLatency);
    }
    this.noiseJudged += other.noiseJudged;
    for (const what of ["body", "field"] as const)
      for (const [status, count] of other.comparable[what]) this.addComparable(what, status, count);
    const mine = other.byIndex.map((tally) => this.mergeTally(tally));
    for (const [set, count] of other.sets) {
      const merged = [...new Set(set.split(",").map((index) => mine[Number(index)]!.index))].sort(
        (a, b) => a - b,
      );
      const key = merged.join();
      add(this.sets, this.sets.size < MOST_SETS || this.sets.has(key) ? key : String(merged[0]), count);
    }
    this.examples.push(...other.examples.slice(0, Math.max(0, mostExamples - this.examples.length)));
  }

  private mergeTally(other: Tally): Tally {
    const raw: Found = { ...other, production: "", target: "" };
    const tally = this.tallyOf(raw, () => other.where, true);
    tally.count += other.count;
    tally.noise += other.noise;
    for (const status of other.statuses)
      if (tally.statuses.size < MOST_STATUSES_OF_TALLY) tally.statuses.add(status);
    if (tally.count === other.count) tally.evidence = other.evidence;
    tally.sample ??= other.sample;
    tally.examples += other.examples;
    return tally;
  }

  statusCounts(): StatusCount[] {
    return statusCountsOf(this.statuses);
  }

  /** Adds its statuses to those of others. */
  addStatusesTo(all: Map<number, number>): void {
    for (const [key, count] of this.statuses) add(all, key, count);
  }

  outcomeCounts(): Partial<Record<Outcome, number>> {
    return outcomeCountsOf(this.outcomes);
  }
}

/** The status matrix, the most frequent first; what is beyond its bound has no status. */
export function statusCountsOf(statuses: ReadonlyMap<number, number>): StatusCount[] {
  const status = (value: number) => (value < 0 ? null : value);
  return [...statuses]
    .map(([key, count]) =>
      key < 0
        ? { production: null, target: null, count }
        : { production: status(Math.floor(key / 0x10000) - 1), target: status((key % 0x10000) - 1), count },
    )
    .sort((one, other) => other.count - one.count);
}

export function outcomeCountsOf(counts: Float64Array): Partial<Record<Outcome, number>> {
  const named = OUTCOMES.map((outcome, index) => [outcome, counts[index]!] as const);
  return Object.fromEntries(named.filter(([, count]) => count > 0));
}
