/**
 * Learns which values differ always without that anything is wrong: times, ids, tokens. All of it is doubt in favour of the difference: what
 * is learned is left out of the verdict, and a fault that is left out is found by nobody.
 */
import { hashOf } from "./looks/ids.ts";
import type { Nature } from "./looks/nature.ts";
import { timeOf } from "./looks/times.ts";

const SAMPLES = 32;
const MOST_VALUE = 40;
const MOST_REQUESTS = 64;

/** Requests with the difference before ids are learned, and before numbers and texts are. */
const LEAST_IDS = 8;
const LEAST_NUMBERS = 30;
/** Share of the answers that could have it in which a value must differ. */
const NEARLY_ALL = 0.9;
/** Share of the values of a side that must be unlike all others of it. */
const DISTINCT = 0.9;
/** ms: how far a time may be from the request's, and from the other side's, to be "now" (or "in an hour", "tomorrow"). */
const NEAR = 25 * 3_600_000;
const CLOSE = 60_000;
const MINUTE = 60_000;
const QUARTER = 900_000;

export interface Sample {
  /** When the request was captured, ms since 1970. */
  at: number;
  production: string;
  target: string;
}

/** Values are cut; hashes and lengths are those of all of them. */
interface Kept extends Sample {
  productionHash: number;
  targetHash: number;
  productionLength: number;
  targetLength: number;
}

/** A copy of the beginning of a text, that does not keep all of it in memory. */
function beginningOf(text: string): string {
  return Buffer.from(text.slice(0, MOST_VALUE), "utf16le").toString("utf16le");
}

/** What was seen of the values of one difference. */
export class Evidence {
  seen = 0;
  readonly samples: Kept[] = [];
  /** Requests that were sent before, by a hash of all that may decide the answer, and a hash of what production answered. */
  private readonly requests = new Map<number, number>();
  /** How often the same request was answered by production with the same value, and with another. */
  same = 0;
  other = 0;
  /** How often production's value stands in the request: then the request decides it. */
  echoed = 0;

  /** Of numbers: by how much the target's is larger, how often it is, and the sums of that and of its squares. */
  more = 0;
  sum = 0;
  squares = 0;

  /** `isSafe`: the request changes nothing (GET), so that what it is answered does not count up with each. */
  constructor(private readonly isSafe: boolean) {}

  /** Whether the values may count what was made on each side. */
  get mayCount(): boolean {
    return !this.isSafe || (this.other >= 5 && this.same === 0);
  }

  /** `request`: a hash of the request. `isEcho`: production's value stands in it. */
  add(sample: Sample, request: number, isEcho: boolean): void {
    const hash = hashOf(sample.production);
    const before = this.requests.get(request);
    if (before === hash) this.same++;
    else if (before !== undefined) this.other++;
    if (before !== undefined || this.requests.size < MOST_REQUESTS) this.requests.set(request, hash);
    if (isEcho) this.echoed++;
    const by = Number(sample.target) - Number(sample.production);
    if (by > 0) this.more++;
    if (Number.isFinite(by)) {
      this.sum += by;
      this.squares += by * by;
    }
    const kept: Kept = {
      at: sample.at,
      production: beginningOf(sample.production),
      target: beginningOf(sample.target),
      productionHash: hash,
      targetHash: hashOf(sample.target),
      productionLength: sample.production.length,
      targetLength: sample.target.length,
    };
    // The first ones, and of the others the last ones.
    const half = SAMPLES / 2;
    this.samples[this.seen < SAMPLES ? this.seen : half + (this.seen % half)] = kept;
    this.seen++;
  }

  /** The samples by their time. */
  ordered(): Kept[] {
    return [...this.samples].sort((one, other) => one.at - other.at);
  }

  /** As if all of it had been seen at one place. */
  static pool(all: readonly Evidence[]): Evidence {
    const pool = new Evidence(all.every(({ isSafe }) => isSafe));
    for (const evidence of all) {
      pool.seen += evidence.seen;
      pool.same += evidence.same;
      pool.other += evidence.other;
      pool.echoed += evidence.echoed;
      pool.samples.push(...evidence.samples);
    }
    return pool;
  }
}

function isDistinct(samples: readonly Kept[]): boolean {
  return (["productionHash", "targetHash"] as const).every(
    (hash) => new Set(samples.map((sample) => sample[hash])).size >= DISTINCT * samples.length,
  );
}

/** Whether production gives another value each time, as far as requests came again. */
function isFree({ same, other, echoed, seen }: Evidence): boolean {
  return same <= 0.1 * (same + other) && echoed <= 0.1 * seen;
}

const share = (samples: readonly Kept[], holds: (sample: Kept) => boolean) =>
  samples.length === 0 ? 0 : samples.filter(holds).length / samples.length;

/** Both sides say "now", or a time that is as far from now. */
function areNow(samples: readonly Kept[]): boolean {
  return (
    share(samples, ({ at, production, target }) => {
      const [one, other] = [timeOf(production), timeOf(target)];
      return one !== null && other !== null && Math.abs(one - at) < NEAR && Math.abs(other - one) < CLOSE;
    }) >= NEARLY_ALL
  );
}

/**
 * Whether the target's times are off by what somebody wrote into a program: whole minutes, as an expiry that is another; or, where nothing is
 * near the time of the request (it was recorded long ago, and the target says "now"), what time zones differ in. Within seconds, always.
 */
function isOff(samples: readonly Kept[]): boolean {
  const off = samples.map(({ at, production, target }) => {
    const [one, other] = [timeOf(production)!, timeOf(target)!];
    const [unit, within] = Math.abs(one - at) < NEAR ? [MINUTE, 2500] : [QUARTER, 10_000];
    const units = Math.round((other - one) / unit);
    const isNear = Math.abs(other - one - units * unit) < within;
    return isNear && units !== 0 && (unit === MINUTE || Math.abs(units) <= 4 * 14) ? units * unit : 0;
  });
  const same = off.filter((ms) => ms !== 0 && ms === off[0]);
  return same.length >= NEARLY_ALL * samples.length;
}

/** Spearman's correlation of the ranks of two columns. */
function correlation(ours: readonly number[], theirs: readonly number[]): number {
  const ranks = (values: readonly number[]) => {
    const order = values.map((_, index) => index).sort((one, other) => values[one]! - values[other]!);
    const result: number[] = [];
    for (const [rank, index] of order.entries()) result[index] = rank;
    return result;
  };
  const [one, other] = [ranks(ours), ranks(theirs)];
  const squares = one.reduce((sum, rank, index) => sum + (rank - other[index]!) ** 2, 0);
  const count = ours.length;
  return count < 2 ? 1 : 1 - (6 * squares) / (count * (count * count - 1));
}

const median = (values: readonly number[]) =>
  [...values].sort((one, other) => one - other)[values.length >> 1] ?? 0;

/** Whole numbers that each new answer raises: ids that a database counts. */
function isSequence(values: readonly number[]): boolean {
  if (values.some((value) => !Number.isInteger(value) || value < 0)) return false;
  let up = 0;
  for (let index = 1; index < values.length; index++) if (values[index]! > values[index - 1]!) up++;
  return up >= 0.95 * (values.length - 1);
}

function areFreeNumbers(evidence: Evidence): boolean {
  const samples = evidence.ordered();
  const ours = samples.map(({ production }) => Number(production));
  const theirs = samples.map(({ target }) => Number(target));
  if (isSequence(ours) && isSequence(theirs)) {
    if (!evidence.mayCount) return false;
    // What grows on both sides by the same factor is an amount: 1,000 -> 1,100, 2,000 -> 2,200.
    const factors = samples.map((_, index) => theirs[index]! / ours[index]!);
    const offsets = samples.map((_, index) => theirs[index]! - ours[index]!);
    const isScaled = Math.max(...factors) / Math.min(...factors) < 1.0001 && median(factors) !== 1;
    return !isScaled || new Set(offsets).size === 1;
  }
  if (Math.abs(correlation(ours, theirs)) > 0.5) return false;
  const ratio = median(theirs) / median(ours);
  if (!(ratio > 0.5 && ratio < 2)) return false;
  // Prices and amounts have few digits: they are learned only where production itself cannot repeat them.
  const isLong = (text: string) => text.replace(/^[-+]?0*\.?0*|\.|e.*$/gi, "").length >= 7;
  return (
    evidence.other >= 5 ||
    share(samples, ({ production, target }) => isLong(production) && isLong(target)) >= 0.9
  );
}

/**
 * Lengths that differ up and down: of content with something of random length in it, not with more or less in it. They are often equal
 * all the same, also where production answers the same request again.
 */
function areFreeLengths({ seen, more, sum, squares, same, other }: Evidence): boolean {
  const mean = sum / seen;
  const spread = Math.sqrt(Math.max(0, squares / seen - mean * mean));
  return (
    Math.abs(more - seen / 2) <= 1.5 * Math.sqrt(seen) &&
    Math.abs(mean) <= (3 * spread) / Math.sqrt(seen) &&
    // A few may be by chance.
    (same < 5 || other >= 0.1 * (same + other))
  );
}

/**
 * Whether a difference is only that of values that differ in (nearly) every answer, whatever the version. `differs`: the share (0 to 1) of
 * the answers that could have it in which it is. Real, so never learned, are:
 * what is missing or of another type; what production answers alike to the same request; values that the request itself has; values of
 * which either side has few; numbers that follow production's (by a factor, by an amount), unless both only count up; times that are
 * off by a time zone; words. Learned are:
 * times, where both are "now" (from the first on), or never equal; random ids (from 8 on); numbers that both count up with requests that change something (POST) or that production answers otherwise each time, or that are long and
 * have nothing to do with each other (from 30 on); texts and short numbers only if production itself gave another one in answer to the
 * same request, 10 times and more.
 */
export function isLearned(nature: Nature, evidence: Evidence, differs: number): boolean {
  const { samples, seen } = evidence;
  if (samples.length === 0) return false;
  if (nature === "time" && areNow(samples)) return true;
  if (nature === "length") return seen >= LEAST_NUMBERS && differs >= 0.05 && areFreeLengths(evidence);
  if (nature === "shape" || nature === "unknown" || differs < NEARLY_ALL) return false;
  if (!isFree(evidence) || !isDistinct(samples)) return false;
  if (nature === "time") return seen >= LEAST_IDS && samples.every(isTime) && !isOff(samples);
  if (nature === "id") return seen >= LEAST_IDS;
  if (seen < LEAST_NUMBERS) return false;
  if (nature === "number") return areFreeNumbers(evidence);
  return evidence.other >= 10 && evidence.same === 0;
}

function isTime({ production, target }: Kept): boolean {
  return timeOf(production) !== null && timeOf(target) !== null;
}

/**
 * Whether values that did not look like random ids are of the same kind as those at the same place that do (a random text may lack what
 * is looked for): one word each, and as long as those.
 */
export function isAlike(evidence: Evidence, ids: Evidence): boolean {
  return (["production", "target"] as const).every((side) => {
    const lengths = ids.samples.map((sample) => sample[`${side}Length`]);
    const [least, most] = [Math.min(...lengths), Math.max(...lengths)];
    return evidence.samples.every((sample) => {
      const length = sample[`${side}Length`];
      return length >= least - 1 && length <= most + 1 && length >= 6 && /^[\w+/=.-]+$/.test(sample[side]);
    });
  });
}
