/**
 * One seed for all properties of a run, printed: XCOPY_TEST_SEED repeats it. XCOPY_TEST_RUNS=10 makes ten times as many runs. Loaded
 * before every test file (bunfig.toml), so that a property has them without a word.
 */
import fc from "fast-check";

export const seed = Number(process.env.XCOPY_TEST_SEED ?? Date.now() & 0x7fffffff);
const scale = Number(process.env.XCOPY_TEST_RUNS ?? 1);
console.log(`seed: XCOPY_TEST_SEED=${seed}`);
fc.configureGlobal(seeded(100));

/** Parameters of fc.assert for `numRuns` runs. */
export function seeded(numRuns: number): { seed: number; numRuns: number; includeErrorInReport: boolean } {
  return { seed, numRuns: numRuns * scale, includeErrorInReport: true };
}
