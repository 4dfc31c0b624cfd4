/** When records count as rare, with a clock of the test's. */
import { expect, test } from "bun:test";
import { Sparse } from "../../src/runtime/sparse.ts";

/** us between two polls. */
const INTERVAL = 2000;

/** Runs rounds `every` us for `span` us, each with so many records; returns the time after them. */
function run(sparse: Sparse, from: number, span: number, every: number, records: number): number {
  let now = from;
  for (; now < from + span; now += every) sparse.count(records, now);
  return now;
}

test.each([
  // us between two rounds that find something; whether records are rare then, from the start and after a quiet second
  [2000, false, false],
  [3000, false, false],
  [5000, false, true],
  [6500, false, true],
  [7500, true, true],
  [20_000, true, true],
  [500_000, true, true],
])("a record every %i us", (every, fromStart, afterQuiet) => {
  const fresh = new Sparse(INTERVAL);
  run(fresh, 0, 3_000_000, every, 1);
  expect(fresh.is).toBe(fromStart);

  // Between the two bounds it stays as it was.
  const quiet = new Sparse(INTERVAL);
  run(quiet, run(quiet, 0, 1_000_000, 100_000, 0), 3_000_000, every, 1);
  expect(quiet.is).toBe(afterQuiet);
});

test("empty polls do not count, and a rush ends the quiet at once", () => {
  const sparse = new Sparse(INTERVAL);
  const now = run(sparse, 0, 300_000, INTERVAL, 0);
  expect(sparse.is).toBe(true);
  run(sparse, now, 60_000, 1000, 5);
  expect(sparse.is).toBe(false);
});

test("the bounds follow the interval of the polls", () => {
  const sparse = new Sparse(5000);
  run(sparse, 0, 1_000_000, 8000, 1);
  expect(sparse.is).toBe(false);
  run(sparse, 1_000_000, 1_000_000, 20_000, 1);
  expect(sparse.is).toBe(true);
});
