/**
 * A log-linear histogram of microseconds in 32-bit words, so that it can live in shared memory: 32 linear steps per
 * power of two, an error of at most 3 %, up to 2^32 us.
 */
const STEPS_LOG2 = 5;
const STEPS = 1 << STEPS_LOG2;

/** Words a histogram takes. */
export const HISTOGRAM_WORDS = (32 - STEPS_LOG2 + 1) * STEPS;

function bucketOf(us: number): number {
  const value = us >>> 0;
  const shift = Math.max(0, 31 - Math.clz32(value | 1) - STEPS_LOG2);
  return shift * STEPS + (value >>> shift);
}

function upperBound(bucket: number): number {
  if (bucket < 2 * STEPS) return bucket;
  const shift = Math.floor(bucket / STEPS) - 1;
  return (bucket - shift * STEPS + 1) * 2 ** shift - 1;
}

/** Counts one value; negative ones count as 0. */
export function record(words: Uint32Array, us: number): void {
  words[bucketOf(Math.min(Math.max(us, 0), 0xffffffff))]!++;
}

/** The smallest upper bound of a bucket, in us, that at least `share` (0 to 1) of the values do not exceed; 0 without values. */
export function percentile(words: Uint32Array, share: number): number {
  let total = 0;
  for (const count of words) total += count;
  if (total === 0) return 0;
  let rest = Math.max(1, Math.ceil(total * share));
  for (let bucket = 0; bucket < words.length; bucket++) {
    rest -= words[bucket]!;
    if (rest <= 0) return upperBound(bucket);
  }
  return upperBound(words.length - 1);
}

/** How many values do not exceed each of `bounds` (us, ascending), with the error of the steps; how many there are, and their sum. */
export function atMost(
  words: Uint32Array,
  bounds: readonly number[],
): { atMost: number[]; count: number; sum: number } {
  const below = bounds.map(() => 0);
  let count = 0;
  let sum = 0;
  for (const [bucket, times] of words.entries()) {
    if (times === 0) continue;
    const value = upperBound(bucket);
    count += times;
    sum += times * value;
    for (let index = below.length - 1; index >= 0 && value <= bounds[index]!; index--) below[index]! += times;
  }
  return { atMost: below, count, sum };
}

/** The histogram of all values of several, at least one; a new array. */
export function merged([first, ...others]: readonly Uint32Array[]): Uint32Array {
  const total = first!.slice();
  for (const other of others) {
    for (let index = 0; index < total.length; index++) total[index]! += other[index]!;
  }
  return total;
}

/**
 * p50 and p99 of a histogram beside the largest value counted, `max`, all in us: what rounds up to a bucket never exceeds it.
 * Without `max` it is rounded up itself.
 */
export function spread(
  words: Uint32Array,
  max = percentile(words, 1),
): { p50: number; p99: number; max: number } {
  const most = Math.round(max);
  const of = (share: number) => Math.min(percentile(words, share), most);
  return { p50: of(0.5), p99: of(0.99), max: most };
}
