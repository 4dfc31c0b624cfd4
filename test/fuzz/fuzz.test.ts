/**
 * Every fuzzing target: its seeds, among which are the inputs of all faults that were found, and some thousand fresh inputs made from
 * them, without a look at what code they run. `bin/fuzz all --time 1m` searches for a minute each.
 */
import { describe, expect, test } from "bun:test";
import { seed, seeded } from "../support/seed.ts";
import { loadTarget, readSeeds, targetNames, writeCrash } from "./files.ts";
import { mutate } from "./mutate.ts";
import { hashOf, Random } from "./random.ts";
import { minimized, tryInput, wordsOf } from "./search.ts";

describe.each(targetNames())("%s", (name) => {
  test("seeds", async () => {
    const target = await loadTarget(name);
    const seeds = readSeeds(name);
    expect(seeds.length).toBeGreaterThan(0);
    for (const { name: file, bytes } of seeds) {
      const error = tryInput(target, bytes);
      if (error !== null)
        throw new Error(`bin/fuzz ${name} test/fuzz/seeds/${name}/${file}`, { cause: error });
    }
  });

  test("fresh inputs", async () => {
    const target = await loadTarget(name);
    const corpus = readSeeds(name).map(({ bytes }) => bytes);
    const words = wordsOf(target);
    const random = new Random(seed ^ hashOf(Buffer.from(name)));
    const { numRuns } = seeded(target.rounds);
    for (let i = 0; i < numRuns; i++) {
      const input = mutate(random.of(corpus), corpus, words, target.longest, random);
      const error = tryInput(target, input);
      if (error === null) continue;
      const path = writeCrash(name, minimized(target, input, error));
      throw new Error(`bin/fuzz ${name} ${path}`, { cause: error });
    }
  });
});
