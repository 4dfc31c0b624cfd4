/** Two runs of the tests side by side, and an xcopy that copies on the same host: none sees or disturbs the others. */
// Runs alone: two runs and a load take all of the machine.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { createLab, type Lab } from "../support/lab.ts";
import { type Running, start } from "../support/process.ts";
import { startServices, TRANSFER, URL_ONLINE } from "../support/served.ts";
import { load } from "../support/wrk.ts";
import { faultsOf, startCopy } from "../support/xcopy.ts";

let lab: Lab;
beforeAll(() => {
  lab = createLab();
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

/** Tests that look at claims and records under /run/xcopy, at programs in the kernel, and at processes. */
const TESTS = ["capture/live", "commands/intercept"];
const REQUESTS = 500;

function startRun(): Running {
  const command = [process.execPath, join(import.meta.dir, "main.ts"), ...TESTS];
  return start(lab.client, command, { XCOPY_TEST_SLOWNESS: "" });
}

function host(): string[] {
  return [...readdirSync("/run/netns"), ...readdirSync("/run/xcopy")].toSorted();
}

test("two runs beside a copy: both pass, and the copy has each request", async () => {
  await startServices(lab);
  const copy = await startCopy(lab, ["-x", TRANSFER]);
  const before = host();
  const runs = [startRun(), startRun()];
  let requests = 0;
  while (runs.some((run) => !run.ended())) {
    const result = await load(lab, { url: URL_ONLINE, rate: 1000, count: REQUESTS });
    expect(result).toMatchObject({ requests: REQUESTS, errors: 0 });
    requests += REQUESTS;
    expect(host()).toEqual(before);
  }
  for (const run of runs) {
    expect(await run.exited).toBe(0);
    expect(run.output.at(-1)).toMatch(/^[1-9][0-9]+ passed, 0 failed$/);
    expect(run.output.filter((line) => /^(UNSTEADY|FAILED)/.test(line))).toEqual([]);
  }
  const { code, report } = await copy.finish();
  expect(report.turns).toEqual({
    captured: requests,
    sent: requests,
    answered: requests,
    dropped: 0,
    pending: 0,
  });
  expect(faultsOf(copy.reports())).toEqual([]);
  expect(code).toBe(0);
});
