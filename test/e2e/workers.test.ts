/** Several workers do what one does: each request arrives once, bounds hold for all together, a dead worker is reported. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { parseAddress } from "../../src/config/address.ts";
import type { Account } from "../../src/copy/account/account.ts";
import { ONLINE6, TARGET, TARGET6 } from "../../src/demo/network.ts";
import { mapAddress } from "../../src/wire/address-words.ts";
import { workerOfClient } from "../../src/wire/shard.ts";
import { brokenConnections } from "../support/capture.ts";
import { compareContents, EXACTLY_ONCE } from "../support/compare.ts";
import { startIntercept } from "../support/intercept.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { launchMortalCopy, startMortalCopy } from "../support/mortal-copy.ts";
import { readRequests } from "../support/nginx.ts";
import { startScript } from "../support/scripts.ts";
import { contentsOf, startServices, TRANSFER, URL_ONLINE } from "../support/served.ts";
import { createThird, setForwarding, THIRD } from "../support/third.ts";
import { type LoadOptions, load, startLoad } from "../support/wrk.ts";
import { type Copy, faultsOf, runXcopy, startCopy } from "../support/xcopy.ts";

let lab: Lab;
let third: string;
beforeAll(() => {
  lab = createLab();
  third = createThird(lab);
  setForwarding(third, true);
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

/** What the workers have counted together. */
function sumOf({ workers = [] }: Account): Account["turns"] {
  const sum = { captured: 0, sent: 0, answered: 0, dropped: 0, pending: 0 };
  for (const { turns } of workers) {
    for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += turns[name];
  }
  return sum;
}

/** Expects that the counts of the workers add up to the account's. */
function expectSums(reports: Account[]): void {
  expect(faultsOf(reports)).toEqual([]);
  for (const report of reports) expect(sumOf(report)).toEqual(report.turns);
}

/** And that all had something to do. */
function expectShared(reports: Account[], workers: number): void {
  expectSums(reports);
  const last = reports.at(-1)!;
  expect(last.workers!.length).toBe(workers);
  for (const { turns } of last.workers!)
    expect(turns.captured).toBeGreaterThan(last.turns.captured / workers / 4);
}

const POOL = ["-c", "10.9.0.1-10.9.0.3"];
const ON_TARGET = { host: () => lab.target, at: ["-s", TARGET], intercept: ["-o", ":8080", "-b", TARGET] };
const ON_THIRD = {
  host: () => third,
  at: ["-s", THIRD],
  intercept: ["-o", `${TARGET}:8080`, "--linger", "1"],
};

interface Case {
  name: string;
  workers: number;
  args?: string[];
  load?: Partial<LoadOptions>;
  /** How often each request is to arrive. */
  times?: number;
  ip6?: boolean;
  way?: { host: () => string; at: string[]; intercept: string[] };
  /** Whether the target sees the clients' own addresses and ports. */
  seesClients?: boolean;
}

const CASES: Case[] = [
  { name: "direct, keep-alive", workers: 2 },
  { name: "direct, short connections", workers: 3, load: { close: true } },
  { name: "direct, IPv6, keep-alive", workers: 2, ip6: true },
  {
    name: "direct, capture by packet, short connections",
    workers: 3,
    args: ["--capture", "packet"],
    load: { close: true },
  },
  { name: "direct, -n 3, short connections", workers: 2, args: ["-n", "3"], times: 3, load: { close: true } },
  {
    name: "direct, few ports, short connections",
    workers: 3,
    args: ["--ports", "20000-21499"],
    load: { close: true, rate: 500 },
  },
  { name: "target, keep-alive", workers: 2, way: ON_TARGET, seesClients: true },
  { name: "target, short connections", workers: 3, way: ON_TARGET, load: { close: true }, seesClients: true },
  {
    name: "target, -C 2, a pool",
    workers: 2,
    way: ON_TARGET,
    args: ["-C", "2", ...POOL],
    load: { close: true },
  },
  {
    name: "target, IPv6, capture by packet, short connections",
    workers: 2,
    way: ON_TARGET,
    ip6: true,
    args: ["--capture", "packet"],
    load: { close: true },
    seesClients: true,
  },
  { name: "assistant, keep-alive", workers: 2, way: ON_THIRD },
  {
    name: "assistant, -n 3, a pool",
    workers: 2,
    way: ON_THIRD,
    args: ["-n", "3", ...POOL],
    times: 3,
    load: { close: true },
  },
  {
    name: "nfqueue, short connections",
    workers: 2,
    way: { ...ON_TARGET, intercept: ["--mode", "nfqueue", "-o", ":8080", "-b", TARGET] },
    load: { close: true },
  },
];

test.each(CASES)("$name: $workers workers copy each request once", async (one) => {
  const { workers, args = [], load: how = {}, times = 1, ip6 = false, way, seesClients = false } = one;
  const count = times > 1 ? 1000 : 2000;
  const { online, target } = await startServices(lab);
  const catching = way && (await startIntercept(lab, way.host(), way.intercept));
  const transfer = ip6 ? `80-[${TARGET6}]:8080` : TRANSFER;
  const copy = await startCopy(lab, ["-x", transfer, "--workers", `${workers}`, ...(way?.at ?? []), ...args]);
  const broken = brokenConnections(lab.client);
  const url = ip6 ? `http://[${ONLINE6}]` : URL_ONLINE;
  const result = await load(lab, { url, rate: 3000 / times, count, ...how });
  const { code, report } = await copy.stop();
  await catching?.stop();

  expect(result).toMatchObject({ requests: count, errors: 0 });
  expect(brokenConnections(lab.client)).toBe(broken);
  const [sent, arrived] = [await readRequests(online), await readRequests(target)];
  const wanted = sent.flatMap(({ content }) => Array(times).fill(content));
  expect(
    compareContents(
      wanted,
      arrived.map(({ content }) => content),
    ),
  ).toEqual(EXACTLY_ONCE);
  if (seesClients) {
    const end = ({ content, address, port }: (typeof sent)[number]) => `${address} ${port} ${content}`;
    expect(compareContents(sent.map(end), arrived.map(end))).toEqual(EXACTLY_ONCE);
  }
  const turns = count * times;
  expect(report.turns).toEqual({ captured: turns, sent: turns, answered: turns, dropped: 0, pending: 0 });
  expectShared(copy.reports(), workers);
  expect(code).toBe(0);
});

test("the loss and the return of an intercept are logged once, not by every worker", async () => {
  const { online, target } = await startServices(lab);
  const first = await startIntercept(lab, lab.target, ON_TARGET.intercept);
  const copy = await startCopy(lab, ["-x", TRANSFER, "-s", TARGET, "--workers", "3"]);
  const running = startLoad(lab, { url: URL_ONLINE, rate: 1000, count: 4000 });
  await copy.report("500 answers", ({ turns }) => turns.answered > 500);
  await first.stop();
  await copy.running.line(/: lost \(/);
  await startIntercept(lab, lab.target, ON_TARGET.intercept);
  await copy.running.line(/connected again/);
  expect(await running.result).toMatchObject({ requests: 4000, errors: 0 });
  const { code } = await copy.stop();

  // Each time by turns: a worker that said it too would say it twice. (On a starved machine it may be away more than once.)
  const said = copy.running.errors.flatMap(
    (line) => /intercept .*: (connected|lost) ?/.exec(line)?.[1] ?? [],
  );
  expect(said.length).toBeGreaterThanOrEqual(3);
  expect(said).toEqual(said.map((_, index) => (index % 2 === 0 ? "connected" : "lost")));
  expect(compareContents(await contentsOf(online), await contentsOf(target))).toMatchObject({
    doubled: [],
    foreign: [],
  });
  expectShared(copy.reports(), 3);
  expect(code).toBe(0);
});

/** Ports of clients on this host whose connections one worker of three has. */
function portsOfWorker(worker: number): number[] {
  const address = new Int32Array(4);
  mapAddress(parseAddress("127.0.0.1")!.bytes, address, 0);
  const ports = Array.from({ length: 1000 }, (_, index) => 20_000 + index);
  return ports.filter((port) => workerOfClient(address, 0, port, 3) === worker);
}

test("--max-sessions holds exactly for all workers together", async () => {
  await startServices(lab);
  const copy = await startCopy(lab, ["-x", TRANSFER, "--workers", "3", "--max-sessions", "10"]);
  const [first, second, last] = [0, 1, 2].map(portsOfWorker) as [number[], number[], number[]];
  const hold = async (...ports: number[]) => {
    const client = startScript(lab, lab.online, "from-ports.ts", "127.0.0.1", "80", ...ports.map(String));
    await client.line(/^open/);
    return client;
  };
  const most = await hold(...first.splice(0, 8));
  await hold(second.pop()!, last.pop()!);
  const full = await copy.report(
    "as many sessions as there may be",
    ({ sessions }) => sessions.active === 10,
  );
  // One may have far more than a third of them.
  expect(full.workers!.map(({ active }) => active)).toEqual([8, 1, 1]);
  await hold(first.pop()!, second.pop()!, last.pop()!);
  await copy.report("a request left out by each", ({ dropped }) => dropped.sessions === 3);
  await most.stop();
  await copy.report("room for more", ({ sessions }) => sessions.active === 2);

  const result = await load(lab, { url: URL_ONLINE, rate: 1000, count: 3000, connections: 40 });
  expect(result).toMatchObject({ requests: 3000, errors: 0 });
  const { report } = await copy.stop();
  for (const { sessions } of copy.reports()) expect(sessions.active).toBeLessThanOrEqual(10);
  expect(report.dropped.sessions).toBeGreaterThan(3);
  expectShared(copy.reports(), 3);
});

/** Copies a load. */
async function copyLoad(copy: Copy, options: Partial<LoadOptions>): Promise<Account> {
  const result = await load(lab, { url: URL_ONLINE, rate: 1000, count: 3000, ...options });
  expect(result).toMatchObject({ errors: 0 });
  return (await copy.stop()).report;
}

for (const [how, capture] of [
  ["throw", "tcx"],
  ["exit", "tcx"],
  ["throw", "packet"],
] as const) {
  test(`a worker that dies (${how}, capture by ${capture}) is reported and counted, and the other goes on`, async () => {
    const { online, target } = await startServices(lab);
    const broken = brokenConnections(lab.client);
    const copy = await startMortalCopy(lab, ["-x", TRANSFER, "--workers", "2", "--capture", capture]);
    const running = startLoad(lab, { url: URL_ONLINE, rate: 2000, count: 6000, connections: 50 });
    await copy.report("responses by both", ({ workers = [] }) =>
      workers.every(({ turns }) => turns.answered > 200),
    );
    copy.kill(1, how);
    await copy.running.line(/^Cannot go on with worker 2 of 2: it died: /);
    const death = copy.reports().at(-1)!;
    const result = await running.result;
    const { code, report } = await copy.stop();

    expect(result).toMatchObject({ requests: 6000, errors: 0 });
    expect(brokenConnections(lab.client)).toBe(broken);
    expect(code).toBe(1);
    const [alive, dead] = report.workers!;
    expect([alive!.died, dead!.died]).toEqual([false, true]);
    expect(alive!.turns.captured).toBeGreaterThan(death.workers![0]!.turns.captured + 500);
    expect(alive!.turns).toMatchObject({ dropped: 0, pending: 0, sent: alive!.turns.captured });
    // What it had not finished is lost with it, what came later is counted where it came.
    expect(dead!).toMatchObject({ active: 0, turns: { pending: 0 } });
    expect(report.dropped.worker).toBe(report.turns.dropped);
    expect(report.capture.abandoned).toBeGreaterThan(500);
    expect(report.sessions.active).toBe(0);
    expectSums(copy.reports());
    const comparison = compareContents(await contentsOf(online), await contentsOf(target));
    expect(comparison).toMatchObject({ doubled: [], foreign: [] });
    // Each request of these connections is one packet.
    const missing = comparison.missing.length;
    expect(missing).toBe(6000 - (await contentsOf(target)).length);
    expect(report.capture.abandoned + report.dropped.worker).toBeGreaterThanOrEqual(missing);
    const errors = copy.running.errors.join("\n");
    expect(errors).toContain("This is a bug in xcopy");
    expect(errors).toMatch(/workers +2, with .*; worker 2 died/);
  });
}

test("when the last worker dies, xcopy ends with 1 and an account", async () => {
  await startServices(lab);
  const copy = await startMortalCopy(lab, ["-x", TRANSFER, "--workers", "2"]);
  await load(lab, { url: URL_ONLINE, rate: 1000, count: 1000 });
  await copy.report("every response", ({ turns }) => turns.answered === 1000);
  copy.kill(0, "throw");
  await copy.running.line(/worker 1 of 2: it died/);
  copy.kill(1, "exit");
  expect(await copy.running.exited).toBe(1);
  const report = copy.reports().at(-1)!;
  expect(report.turns).toMatchObject({ captured: 1000, answered: 1000 });
  expect(report.workers!.map(({ died }) => died)).toEqual([true, true]);
  expect(report.sessions.active).toBe(0);
  expectSums(copy.reports());
});

test("a worker that cannot even start ends all of them, with its reason", async () => {
  await startServices(lab);
  const copy = launchMortalCopy(lab, ["-x", TRANSFER, "--workers", "2"]);
  copy.kill(1, "throw");
  expect(await copy.running.exited).toBe(1);
  expect(copy.running.errors.join("\n")).toContain("killed by the test");
});

test("a stalled worker is reported, its packets are counted, and xcopy can be ended", async () => {
  await startServices(lab);
  const copy = await startMortalCopy(lab, ["-x", TRANSFER, "--workers", "2", "--drain", "0"]);
  const running = startLoad(lab, { url: URL_ONLINE, rate: 500, count: 4000, connections: 50 });
  await copy.report("responses by both", ({ workers = [] }) =>
    workers.every(({ turns }) => turns.answered > 50),
  );
  copy.kill(0, "hang");
  const standing = copy.reports().at(-1)!;
  await copy.running.line(/^warning: worker 1 of 2 has stalled: /, 20_000);
  expect(await running.result).toMatchObject({ requests: 4000, errors: 0 });
  const { report } = await copy.stop();
  expect(report.capture.inert).toBeGreaterThan(0);
  expect(report.workers![1]!.turns.answered).toBeGreaterThan(standing.workers![1]!.turns.answered);
  expectSums(copy.reports());
});

test("with -s, responses to a dead worker's sessions are no longer sent to it, and the others go on", async () => {
  await startServices(lab);
  const catching = await startIntercept(lab, lab.target, ON_TARGET.intercept);
  const copy = await startMortalCopy(lab, ["-x", TRANSFER, "-s", TARGET, "--workers", "2"]);
  const running = startLoad(lab, { url: URL_ONLINE, rate: 1000, count: 4000, connections: 50 });
  await copy.report("responses by both", ({ workers = [] }) =>
    workers.every(({ turns }) => turns.answered > 200),
  );
  await catching.report("a copy for each worker", ({ clients }) => clients === 2);
  copy.kill(0, "throw");
  await catching.report("one copy less", ({ clients }) => clients === 1);
  expect(await running.result).toMatchObject({ requests: 4000, errors: 0 });
  const { code, report } = await copy.stop();
  expect(code).toBe(1);
  expect(report.workers!.map(({ died }) => died)).toEqual([true, false]);
  expect(report.workers![1]!.turns).toMatchObject({ dropped: 0, pending: 0 });
  expect(faultsOf(copy.reports())).toEqual([]);
});

/** The threads of a process that look like workers: those that wait in the kernel with a timer of 1 ms are its own affair. */
function allowedCpus(pid: number): string[] {
  return readdirSync(`/proc/${pid}/task`).map((thread) => {
    const status = readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8");
    return /^Cpus_allowed_list:\s*(\S+)$/m.exec(status)![1]!;
  });
}

/** Nice value and scheduling policy of each thread (proc(5), fields 19 and 41 of stat). */
function scheduling(pid: number): { nice: number[]; policies: number[] } {
  const fields = readdirSync(`/proc/${pid}/task`).map((thread) => {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  });
  return {
    nice: [...new Set(fields.map((all) => Number(all[19 - 3])))],
    policies: [...new Set(fields.map((all) => Number(all[41 - 3])))],
  };
}

test("--cpus: a worker on each, and no thread elsewhere", async () => {
  await startServices(lab);
  const copy = await startCopy(lab, ["-x", TRANSFER, "--cpus", "0,1", "--nice", "7"]);
  const cpus = allowedCpus(copy.running.pid);
  expect(cpus).toContain("0");
  expect(cpus).toContain("1");
  expect(scheduling(copy.running.pid)).toEqual({ nice: [7], policies: [0] });
  const report = await copyLoad(copy, {});
  expect(report.workers!.length).toBe(2);
  expect(report.turns).toMatchObject({ captured: 3000, answered: 3000 });
});

test("--cpus with one CPU keeps every thread there; --nice idle", async () => {
  await startServices(lab);
  const copy = await startCopy(lab, ["-x", TRANSFER, "--cpus", "1", "--nice", "idle"]);
  expect(new Set(allowedCpus(copy.running.pid))).toEqual(new Set(["1"]));
  expect(scheduling(copy.running.pid).policies).toEqual([5]);
  await copyLoad(copy, { rate: 500, count: 500 });
});

test("--workers auto says what it chose", async () => {
  await startServices(lab);
  const copy = await startCopy(lab, ["-x", TRANSFER, "--workers", "auto", "--cpus", "0,1"]);
  expect(copy.running.errors).toContain("--workers auto: 2 workers, one for each CPU of --cpus");
  await copy.stop();
});

test("several workers are refused for recorded traffic and for intercepts of tcpcopy", async () => {
  const words = ["copy", "-x", TRANSFER, "--workers", "2"];
  const refused = [
    ["-i", import.meta.path],
    ["-s", TARGET, "--compat"],
  ];
  for (const more of refused) {
    const { code, errors } = await runXcopy(lab, [...words, ...more]);
    expect(errors).toStartWith('Cannot use --workers "2": ');
    expect(code).toBe(2);
  }
});
