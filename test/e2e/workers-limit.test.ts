/** --limit holds for all workers together. */
// Runs alone: it compares rates.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { createLab, type Lab } from "../support/lab.ts";
import { contentsOf, startServices, TRANSFER, URL_ONLINE } from "../support/served.ts";
import { load } from "../support/wrk.ts";
import { faultsOf, startCopy } from "../support/xcopy.ts";

let lab: Lab;
beforeAll(() => {
  lab = createLab();
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

test("--limit holds for all workers together, also if one client sends most requests", async () => {
  const { target } = await startServices(lab);
  const copy = await startCopy(lab, ["-x", TRANSFER, "--workers", "2", "--limit", "300/s"]);
  // One connection is one worker's: it may use what the other does not.
  const result = await load(lab, { url: URL_ONLINE, connections: 1, rate: 800, count: 2400 });
  expect(result).toMatchObject({ errors: 0 });
  const { report } = await copy.stop();
  const arrived = (await contentsOf(target)).length;
  expect(report.turns.sent).toBe(arrived);
  expect(arrived).toBeGreaterThan(0.9 * 300 * 3);
  expect(arrived).toBeLessThan(1.1 * 300 * 3 + 15);
  expect(report.dropped.limit).toBe(report.turns.dropped);
  expect(faultsOf(copy.reports())).toEqual([]);
});
