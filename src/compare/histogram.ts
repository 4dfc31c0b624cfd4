/**
 * A log-linear (HDR) histogram of us: 64 linear steps per power of two, an error of at most 1.6 %, up to 2^32 us. It stores only the
 * buckets between its smallest and its largest value, in 16 bits as long as they suffice: an endpoint needs some 1 kB.
 */
import type { Distribution } from "./report.ts";

const STEPS_LOG2 = 6;
const STEPS = 1 << STEPS_LOG2;
const BUCKETS = (32 - STEPS_LOG2 + 1) * STEPS;
/** Buckets by which it grows beyond what it must. */
const SLACK = 32;

function bucketOf(us: number): number {
  const shift = Math.max(0, 31 - Math.clz32(us | 1) - STEPS_LOG2);
  return shift * STEPS + (us >>> shift);
}

function upperBound(bucket: number): number {
  if (bucket < 2 * STEPS) return bucket;
  const shift = Math.floor(bucket / STEPS) - 1;
  return (bucket - shift * STEPS + 1) * 2 ** shift - 1;
}

const CURVE = [
  ...Array.from({ length: 19 }, (_, index) => index * 5),
  ...Array.from({ length: 10 }, (_, index) => 90 + index),
  ...[99.2, 99.4, 99.5, 99.6, 99.7, 99.8, 99.9, 99.95, 99.99, 99.999],
];

export class Histogram {
  count = 0;
  max = 0;
  private sum = 0;
  /** Number of the first stored bucket. */
  private first = 0;
  private counts: Uint16Array | Uint32Array = new Uint16Array(0);
  private known: Distribution | null = null;

  /** Counts one value, us; other negative ones than -1 (not known: not counted) as 0. */
  record(us: number): void {
    if (us === -1) return;
    const value = us > 0 ? Math.min(Math.round(us), 0xffffffff) : 0;
    this.count++;
    this.sum += value;
    if (value > this.max) this.max = value;
    this.add(bucketOf(value), 1);
  }

  private add(bucket: number, count: number): void {
    let at = bucket - this.first;
    if (at < 0 || at >= this.counts.length) {
      this.grow(bucket);
      at = bucket - this.first;
    }
    if (this.counts[at]! + count > 0xffff && this.counts instanceof Uint16Array)
      this.counts = Uint32Array.from(this.counts);
    this.counts[at]! += count;
  }

  private grow(bucket: number): void {
    const isFirst = this.counts.length === 0;
    const from = Math.max(0, isFirst ? bucket - SLACK : bucket < this.first ? bucket - SLACK : this.first);
    const end = isFirst ? bucket + 1 : Math.max(this.first + this.counts.length, bucket + 1);
    const to = Math.min(BUCKETS, bucket + 1 === end ? end + SLACK + (this.counts.length >> 1) : end);
    const grown =
      this.counts instanceof Uint16Array ? new Uint16Array(to - from) : new Uint32Array(to - from);
    if (!isFirst) grown.set(this.counts, this.first - from);
    this.counts = grown;
    this.first = from;
  }

  merge(other: Histogram): void {
    this.count += other.count;
    this.sum += other.sum;
    this.max = Math.max(this.max, other.max);
    for (let at = 0; at < other.counts.length; at++) {
      if (other.counts[at]! > 0) this.add(other.first + at, other.counts[at]!);
    }
  }

  get mean(): number {
    return this.count === 0 ? 0 : this.sum / this.count;
  }

  /** The value that `rank` values (1 to count) do not exceed, rounded up to a bucket; 0 without values. */
  atRank(rank: number): number {
    return this.atRanks([rank])[0]!;
  }

  /** The value that a share (0 to 1) of the values do not exceed. */
  quantile(share: number): number {
    return this.atRank(Math.ceil(this.count * share));
  }

  /** The same for several ranks, which must not descend. */
  private atRanks(ranks: readonly number[]): number[] {
    const values: number[] = [];
    let seen = 0;
    let at = -1;
    for (const rank of ranks) {
      const wanted = Math.min(Math.max(1, rank), this.count);
      while (seen < wanted) seen += this.counts[++at]!;
      values.push(this.count === 0 ? 0 : Math.min(upperBound(this.first + at), this.max));
    }
    return values;
  }

  /** How many values are larger than `us`, by whole buckets. */
  above(us: number): number {
    const from = Math.max(0, bucketOf(Math.min(Math.max(0, Math.round(us)), 0xffffffff)) + 1 - this.first);
    let count = 0;
    for (let at = from; at < this.counts.length; at++) count += this.counts[at]!;
    return count;
  }

  /** How many values do not exceed each of `bounds` (us), by whole buckets; how many there are, and their sum. */
  atMost(bounds: readonly number[]): { atMost: number[]; count: number; sum: number } {
    return { atMost: bounds.map((us) => this.count - this.above(us)), count: this.count, sum: this.sum };
  }

  /** Its percentiles and its curve of 40 points. The same object as long as nothing was counted. */
  distribution(): Distribution {
    if (this.known?.count === this.count) return this.known;
    const values = this.atRanks(CURVE.map((percentile) => Math.ceil((this.count * percentile) / 100)));
    const at = (percentile: number) => values[CURVE.indexOf(percentile)]!;
    const curve = CURVE.map((percentile, index): [number, number] => [percentile, values[index]!]);
    this.known = {
      count: this.count,
      mean: Math.round(this.mean),
      p50: at(50),
      p90: at(90),
      p99: at(99),
      p999: at(99.9),
      max: this.max,
      curve: this.count > 0 ? [...curve, [100, this.max]] : [],
    };
    return this.known;
  }
}
