/** The search itself finds what it should: an input that is reached step by step, made small. */
import { expect, test } from "bun:test";
import { Coverage } from "./coverage.ts";
import { Search } from "./search.ts";
import { Fault, type Target } from "./target.ts";

const WORD = "xcopy";

/** Throws where `WORD` stands in an input; says how much of it does. */
const findable: Target = {
  about: "",
  longest: 64,
  words: [],
  rounds: 0,
  take(input) {
    let best = 0;
    const text = Buffer.from(input).toString("latin1");
    while (best < WORD.length && text.includes(WORD.slice(0, best + 1))) best++;
    if (best === WORD.length) throw new Fault("it is there");
    return best;
  },
};

test("a fault is found step by step, told once, and its input made as small as it can be", async () => {
  const coverage = new Coverage();
  await coverage.start();
  const kept: Uint8Array[] = [];
  let noted = 0;
  const search = new Search(
    findable,
    1,
    coverage,
    () => noted++,
    (input) => kept.push(input),
  );
  await search.begin([Uint8Array.of(1, 2, 3)]);
  for (let round = 0; round < 2000 && search.crashes.size === 0; round++) await search.round();
  for (let round = 0; round < 10; round++) await search.round();
  coverage.stop();
  expect([...search.crashes.values()].map(({ input }) => Buffer.from(input).toString("latin1"))).toEqual([
    WORD,
  ]);
  expect(kept.length).toBeGreaterThanOrEqual(WORD.length - 1);
  expect(noted).toBeGreaterThanOrEqual(search.inputs);
});
