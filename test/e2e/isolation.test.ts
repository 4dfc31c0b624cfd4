/** On a busy host only the copy runs short of CPU: production gets all its answers, and what is not copied is counted. */
// Runs alone: it takes all of the machine.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { brokenConnections } from "../support/capture.ts";
import { compareContents } from "../support/compare.ts";
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

const COUNT = 100_000;

for (const workers of [1, 2]) {
  test(`${workers} without CPU time: the rings are full, which is counted, and production has all its responses`, async () => {
    const { online, target } = await startServices(lab);
    const broken = brokenConnections(lab.client);
    // Rings of 1 % of the memory of a large host would take the whole load.
    const limits = ["--cpu-limit", "10", "--drain", "0", "-B", "32"];
    const words = ["-x", TRANSFER, "--workers", `${workers}`, ...limits];
    const copy = await startCopy(lab, words);
    const result = await load(lab, { url: URL_ONLINE, rate: 0, count: COUNT });
    const { code, report } = await copy.stop();

    expect(result).toMatchObject({ requests: COUNT, errors: 0 });
    expect(brokenConnections(lab.client)).toBe(broken);
    const { lost, lost_by_cpu: byCpu = [] } = report.capture;
    expect(lost).toBeGreaterThan(0);
    expect(byCpu.reduce((sum, count) => sum + count, 0)).toBe(lost);
    expect(copy.running.errors.join("\n")).toMatch(/packets found no room in the rings, [0-9,]+ on CPU [01]/);
    // Each request is one packet; what is in none of these counts is none.
    const { unread, inert } = report.capture;
    expect(report.turns.captured + lost + unread + inert).toBeGreaterThanOrEqual(COUNT);
    const comparison = compareContents(await contentsOf(online), await contentsOf(target));
    expect(comparison).toMatchObject({ doubled: [], foreign: [] });
    expect(faultsOf(copy.reports())).toEqual([]);
    expect(code).toBe(0);
  });
}
