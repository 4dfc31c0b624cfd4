/** Targets that are slower than production: nearly as fast as is needed, and too slow for the rate. */
// Runs alone: it compares rates.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import type { Account } from "../../src/copy/account/account.ts";
import { ONLINE, TARGET } from "../../src/demo/network.ts";
import { compareContents, EXACTLY_ONCE } from "../support/compare.ts";
import { startIntercept } from "../support/intercept.ts";
import { createLab, type Lab } from "../support/lab.ts";
import type { Running } from "../support/process.ts";
import { startScript, startService } from "../support/scripts.ts";
import { TRANSFER } from "../support/served.ts";
import { faultsOf, startCopy } from "../support/xcopy.ts";

let lab: Lab;
beforeAll(() => {
  lab = createLab({ manyClients: false });
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

interface Scenario {
  /** Of the target, ms. */
  delay: number;
  /** Of every answer. */
  bytes: number;
  connections: number;
  /** Of each connection, per second and in all. */
  rate: number;
  count: number;
}

/** Runs the load with these options of copy, which send each request so many times, until no request waits. */
async function copyLoad({ delay, bytes, connections, rate, count }: Scenario, args: string[], times = 1) {
  const online = await startService(lab, lab.online, "slow.ts", "80", "0", `${bytes}`);
  const target = await startService(lab, lab.target, "slow.ts", "8080", `${delay}`, `${bytes}`);
  const copy = await startCopy(lab, ["-x", TRANSFER, ...args]);
  const words = [connections, rate, count].map(String);
  const client = startScript(lab, lab.client, "paced.ts", ONLINE, "80", ...words);
  await client.line(/^sent /, 30_000);
  const all = connections * count * times;
  const isOver = ({ turns }: { turns: { captured: number; answered: number; dropped: number } }) =>
    turns.captured === all && turns.answered + turns.dropped === all;
  await copy.report("the end of every request", isOver, 60_000);
  const { code, report } = await copy.stop();
  expect(faultsOf(copy.reports())).toEqual([]);
  expect(code).toBe(0);
  return { online: pathsOf(online), target: pathsOf(target), copy, report, all };
}

/** How many requests wait for the answer to the one before. */
const waitForAnswers = ({ waiting, waiting_for_connection }: Account) => waiting - waiting_for_connection;

const pathsOf = ({ output }: Running) => output.filter((line) => line.startsWith("/"));

/** Whether the requests of each connection are in the order in which they were made, some may be missing. */
function isInOrder(paths: string[]): boolean {
  const last = new Map<string, number>();
  return paths.every((path) => {
    const [connection, request] = path.slice(1).split("-") as [string, string];
    const isLater = Number(request) > (last.get(connection) ?? -1);
    last.set(connection, Number(request));
    return isLater;
  });
}

for (const { delay, bytes } of [
  { delay: 5, bytes: 12_000 },
  { delay: 30, bytes: 100 },
]) {
  test(`a target ${delay} ms slower, answers of ${bytes} bytes: everything in order, and nothing waits in the end`, async () => {
    const scenario = { delay, bytes, connections: 10, rate: 20, count: 50 };
    const { online, target, report, all } = await copyLoad(scenario, []);
    expect(compareContents(online, target)).toEqual(EXACTLY_ONCE);
    expect(isInOrder(target)).toBe(true);
    expect(report.turns).toEqual({ captured: all, sent: all, answered: all, dropped: 0, pending: 0 });
    expect([report.behind, report.waiting, report.overdue]).toEqual([0, 0, 0]);
    expect(report.answer_us.target.p50).toBeGreaterThanOrEqual(delay * 1000);
    expect(report.answer_us.production.p50).toBeLessThan(report.answer_us.target.p50);
  });
}

/** A quarter of a second for each answer: 4 of 20 requests/s. */
const TOO_SLOW: Scenario = { delay: 250, bytes: 100, connections: 40, rate: 20, count: 30 };

test("too slow a target, --late wait: it is said who takes how long, and everything is sent in the end", async () => {
  const { online, target, copy, report, all } = await copyLoad(TOO_SLOW, []);
  expect(compareContents(online, target)).toEqual(EXACTLY_ONCE);
  expect(isInOrder(target)).toBe(true);
  expect(report.turns).toEqual({ captured: all, sent: all, answered: all, dropped: 0, pending: 0 });
  expect(Math.max(...copy.reports().map(waitForAnswers))).toBeGreaterThan(500);
  const said = copy.running.errors.find((line) => line.startsWith("warning: the target takes"));
  expect(said).toMatch(
    /^warning: the target takes [0-9]+ ms for a response, production [0-9.]+ ms: [0-9,]+ requests wait, the oldest for [0-9]+ s$/,
  );
  expect(copy.running.errors.join("\n")).toContain("--late drop:SECONDS leaves out what is older");
});

test("too slow a target, --late drop: what is older is dropped and counted, the rest goes in order", async () => {
  const { online, target, report, all } = await copyLoad(TOO_SLOW, ["--late", "drop:0.5"]);
  const comparison = compareContents(online, target);
  expect(comparison).toMatchObject({ doubled: [], foreign: [] });
  expect(comparison.missing.length).toBe(report.dropped.late);
  expect(report.dropped.late).toBeGreaterThan(all / 4);
  expect(report.turns).toMatchObject({ captured: all, sent: all - report.dropped.late, pending: 0 });
  expect(report.turns.dropped).toBe(report.dropped.late);
  expect(isInOrder(target)).toBe(true);
});

for (const mode of ["direct", "target"]) {
  test(`too slow a target, --late spread, ${mode}: every request goes once, over more connections`, async () => {
    const args = ["--late", "spread"];
    if (mode === "target") {
      await startIntercept(lab, lab.target, ["-o", ":8080"]);
      args.push("-s", TARGET);
    }
    const { online, target, copy, report, all } = await copyLoad(TOO_SLOW, args);
    expect(compareContents(online, target)).toEqual(EXACTLY_ONCE);
    expect(report.turns).toEqual({ captured: all, sent: all, answered: all, dropped: 0, pending: 0 });
    expect(report.spread).toBeGreaterThan(all / 2);
    expect(report.sessions).toMatchObject({ opened: 40, failed: 0 });
    // Never many wait for the answer to the one before. How many are without an answer is the target's doing.
    expect(Math.max(...copy.reports().map(waitForAnswers))).toBeLessThan(all / 4);
  });
}

for (const { name, args, times } of [
  { name: "2 workers", args: ["--workers", "2"], times: 1 },
  { name: "2 replicas", args: ["-n", "2"], times: 2 },
]) {
  const scenario = { ...TOO_SLOW, connections: 20, count: 20 };
  const wanted = (paths: string[]) => paths.flatMap((path) => new Array<string>(times).fill(path));

  test(`too slow a target, --late drop, ${name}: what is missing is counted`, async () => {
    const { online, target, report, all } = await copyLoad(scenario, ["--late", "drop:0.5", ...args], times);
    const comparison = compareContents(wanted(online), target);
    expect(comparison).toMatchObject({ doubled: [], foreign: [] });
    expect(comparison.missing.length).toBe(report.dropped.late);
    expect(report.dropped.late).toBeGreaterThan(all / 5);
    expect(report.turns).toMatchObject({ captured: all, sent: all - report.dropped.late, pending: 0 });
  });

  test(`too slow a target, --late spread, ${name}: every request goes as often as it should`, async () => {
    const { online, target, report, all } = await copyLoad(scenario, ["--late", "spread", ...args], times);
    expect(compareContents(wanted(online), target)).toEqual(EXACTLY_ONCE);
    expect(report.turns).toEqual({ captured: all, sent: all, answered: all, dropped: 0, pending: 0 });
    expect(report.spread).toBeGreaterThan(all / 3);
    expect(report.sessions).toMatchObject({ opened: 20 * times, failed: 0 });
  });
}
