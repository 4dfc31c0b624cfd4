/** One seed for all properties of a run; XCOPY_SEED repeats one. */
import fc from "fast-check";

const seed = Number(process.env.XCOPY_SEED ?? Date.now() & 0x7fffffff);
console.log(`fast-check seed: XCOPY_SEED=${seed}`);
fc.configureGlobal({ seed, numRuns: 300 });

export { fc };
