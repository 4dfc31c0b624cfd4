/** The seed of the property tests of the engine: printed, so that a failure can be repeated. */
const seed = Number(process.env.XCOPY_TEST_SEED ?? Date.now() & 0x7fffffff);
/** Times as many runs, for a long search. */
const scale = Number(process.env.XCOPY_TEST_RUNS ?? 1);
console.log(`test/engine: seed ${seed} (XCOPY_TEST_SEED)`);

/** Parameters of fc.assert for `numRuns` runs. */
export function seeded(numRuns: number): { seed: number; numRuns: number; includeErrorInReport: boolean } {
  return { seed, numRuns: numRuns * scale, includeErrorInReport: true };
}
