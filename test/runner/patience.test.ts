/** Waits are longer where the machine is slow. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Patience, patient, slowness } from "../support/patience.ts";
import { until } from "../support/until.ts";
import { startGauge } from "./slowness.ts";

let directory: string;
const before = process.env.XCOPY_TEST_SLOWNESS;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "patience-"));
});
afterAll(() => {
  rmSync(directory, { recursive: true });
  if (before !== undefined) process.env.XCOPY_TEST_SLOWNESS = before;
});

/** Makes the machine that slow, as far as `slowness` says. */
async function slow(factor: number): Promise<void> {
  process.env.XCOPY_TEST_SLOWNESS = join(directory, `${factor}`);
  writeFileSync(process.env.XCOPY_TEST_SLOWNESS, `${factor}`);
  await until("the factor is read", () => slowness() === factor);
}

test("a bound is used up more slowly where the machine is slower, from moment to moment", async () => {
  let now = 0;
  await slow(4);
  const patience = new Patience(1000, () => now);
  now = 3900;
  expect(patience.isOver()).toBe(false);
  await slow(1);
  now += 20;
  expect(patience.isOver()).toBe(false);
  now += 10;
  expect(patience.isOver()).toBe(true);
  expect(`${patience}`).toBe("1,000 ms of a free machine (3,930 ms here)");
  await slow(3);
  expect(patient(1000)).toBe(3000);
});

test("the gauge says at least 1, and more where threads wait for the CPUs", async () => {
  const file = join(directory, "gauge");
  const gauge = startGauge(file);
  const factor = () => Number(readFileSync(file, "latin1"));
  expect(factor()).toBeGreaterThanOrEqual(1);
  const threads = 3 * navigator.hardwareConcurrency;
  const busy = Array.from({ length: threads }, () => Bun.spawn(["sh", "-c", "while :; do :; done"]));
  try {
    await until("it has seen them", () => factor() > 2, 60_000);
    expect(gauge.overall().most).toBeGreaterThan(2);
  } finally {
    for (const one of busy) one.kill();
    gauge.stop();
  }
});
