/** Bursts that are faster than a copy can be: with the default options nothing of them is lost. */
// Runs alone: it takes all of the machine.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { ONLINE } from "../../src/demo/network.ts";
import { compareContents, EXACTLY_ONCE } from "../support/compare.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { contentsOf, startServices, TRANSFER } from "../support/served.ts";
import { faultsOf, startCopy } from "../support/xcopy.ts";

let lab: Lab;
beforeAll(() => {
  lab = createLab();
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

test("120 bodies of 1 MB from 10 connections at full speed arrive once, and the start says what bursts find room in", async () => {
  const { online, target } = await startServices(lab);
  const copy = await startCopy(lab, ["-x", TRANSFER]);
  const room = await copy.running.line(/ MB for captured packets that wait to be read \(-B\), up to /);

  const script = join(import.meta.dir, "../support/upload.ts");
  const client = lab.start(lab.client, [process.execPath, script, ONLINE, "80", "1000000", "120", "10"]);
  expect(await client.exited).toBe(0);
  const { code, report } = await copy.finish();

  expect(room).toMatch(/up to \d+ MB for requests that wait to be sent \(-m\)$/);
  const sent = await contentsOf(online);
  expect(sent.length).toBe(120);
  expect(compareContents(sent, await contentsOf(target))).toEqual(EXACTLY_ONCE);
  expect(report.turns).toEqual({ captured: 120, sent: 120, answered: 120, dropped: 0, pending: 0 });
  expect(report.capture.lost).toBe(0);
  expect(faultsOf(copy.reports())).toEqual([]);
  expect(code).toBe(0);
});
