/**
 * Either side of a return path stalls, is killed, or is restarted under load: no packet of a copied connection gets out,
 * no other client of the target notices, sessions go on, and what is lost is counted.
 */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import type { Account } from "../../src/copy/account/account.ts";
import { ONLINE, TARGET } from "../../src/demo/network.ts";
import type { InterceptAccount } from "../../src/intercept/summary.ts";
import { brokenConnections } from "../support/capture.ts";
import { compareContents, EXACTLY_ONCE } from "../support/compare.ts";
import { countGhosts, type Ghosts } from "../support/ghosts.ts";
import { type Intercept, startIntercept } from "../support/intercept.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { type Loss, losePackets } from "../support/loss.ts";
import { type LoggedRequest, type Nginx, readArrived, readRequests, startNginx } from "../support/nginx.ts";
import { startScript } from "../support/scripts.ts";
import { createElsewhere, createThird, setForwarding, THIRD } from "../support/third.ts";
import { type EndVisits, isVisit, startVisitors } from "../support/visit.ts";
import { type LoadResult, load, startLoad } from "../support/wrk.ts";
import { type Copy, faultsOf, patientOption, startCopy } from "../support/xcopy.ts";

let lab: Lab;
let elsewhere: string;
let third = "";
let ghosts: Ghosts[];
beforeAll(() => {
  lab = createLab();
  elsewhere = createElsewhere(lab);
  ghosts = [countGhosts(lab.client, 8080), countGhosts(lab.online, 8080, ["10.0.0.1"])];
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

const MODES = {
  target: { at: TARGET, args: ["-o", ":8080"] },
  assistant: { at: THIRD, args: ["-o", "10.0.0.2:8080"] },
};
type Mode = keyof typeof MODES;

interface Scene {
  from: Nginx;
  to: Nginx;
  intercept(...args: string[]): Promise<Intercept>;
  copy(): Promise<Copy>;
  visits: EndVisits[];
  broken: number;
}

async function prepare(mode: Mode): Promise<Scene> {
  if (mode === "assistant") third ||= createThird(lab);
  const host = mode === "assistant" ? third : lab.target;
  // Routes by way of the assistant stay: only what its intercept drops keeps the answers from the clients.
  if (third) setForwarding(third, true);
  const { at, args } = MODES[mode];
  return {
    from: await startNginx(lab, lab.online, 80),
    to: await startNginx(lab, lab.target, 8080),
    intercept: (...more) => startIntercept(lab, host, [...args, ...more]),
    copy: () =>
      startCopy(lab, [
        "-x",
        `80-${TARGET}:8080`,
        "-s",
        at,
        "--drain",
        "30",
        ...patientOption("--turn-timeout"),
      ]),
    visits: [
      await startVisitors(lab, lab.online, `http://${TARGET}:8080`),
      await startVisitors(lab, elsewhere, "http://10.5.0.1:8080"),
    ],
    broken: brokenConnections(lab.client),
  };
}

/** What was asked, and by whom. */
const askedBy = ({ content, address }: LoggedRequest) => `${address} ${content}`;

/** What has arrived at the target by copies. */
async function copied({ to }: Scene): Promise<LoggedRequest[]> {
  const arrived = await readArrived(to, lab.target, 8080);
  return arrived.filter((request) => !isVisit(request));
}

async function compare(scene: Scene) {
  const sent = await readRequests(scene.from);
  return compareContents(sent.map(askedBy), (await copied(scene)).map(askedBy));
}

/** Nobody but xcopy has seen anything of it. */
async function checkOthers({ from, visits, broken }: Scene, { requests, errors }: LoadResult): Promise<void> {
  expect([(await readRequests(from)).length, errors]).toEqual([requests, 0]);
  for (const { short, checks, failures } of await Promise.all(visits.map((end) => end(10)))) {
    expect(failures).toEqual([]);
    expect(Math.min(short, checks)).toBeGreaterThan(10);
  }
  expect(brokenConnections(lab.client)).toBe(broken);
}

function checkGhosts(): void {
  expect(ghosts.map((ghost) => ghost.count())).toEqual([0, 0]);
}

/** Waits until the latest report says that the intercept is there, or away: the next try may come 5 s after the last. */
function reportOfIntercept(copy: Copy, up: boolean): Promise<Account> {
  const isSo = (report: Account) => report === copy.reports().at(-1) && report.intercepts![0]!.up === up;
  return copy.report(`that the intercept is ${up ? "there" : "away"}`, isSo);
}

/** Waits until so many more requests have been captured. */
async function more(copy: Copy, requests: number): Promise<void> {
  const captured = copy.reports().at(-1)?.turns.captured ?? 0;
  await copy.report(`${requests} more requests`, ({ turns }) => turns.captured > captured + requests);
}

for (const { mode, close } of [
  { mode: "target", close: false },
  { mode: "assistant", close: true },
] as const) {
  const kind = close ? "short connections" : "keep-alive";
  test(`${mode}, ${kind}: its intercept is killed, stalls and ends; every request arrives once`, async () => {
    const scene = await prepare(mode);
    let intercept = await scene.intercept();
    const copy = await scene.copy();
    const going = startLoad(lab, { url: `http://${ONLINE}`, rate: 1000, close });
    await more(copy, 500);

    for (const signal of ["SIGKILL", "SIGTERM"] as const) {
      await intercept.stop(signal);
      const { packets } = (await reportOfIntercept(copy, false)).sent;
      await more(copy, 500);
      // Nothing that would be answered leaves this host.
      expect(copy.reports().at(-1)!.sent.packets).toBe(packets);
      intercept = await scene.intercept();
      await reportOfIntercept(copy, true);
      await more(copy, 500);
    }
    process.kill(intercept.running.pid, "SIGSTOP");
    await copy.running.line(/^warning: intercept .* lost \(nothing received from it for 1 s\)/);
    await more(copy, 1000);
    process.kill(intercept.running.pid, "SIGCONT");

    const result = await going.end();
    await checkOthers(scene, result);
    const count = result.requests;
    await copy.report("all responses", ({ turns }) => turns.answered === count);
    const { code, report } = await copy.stop();
    const caught = await intercept.stop();
    expect(await compare(scene)).toEqual(EXACTLY_ONCE);
    expect(report.turns).toEqual({ captured: count, sent: count, answered: count, dropped: 0, pending: 0 });
    expect(faultsOf(copy.reports())).toEqual([]);
    expect([code, caught.code]).toEqual([0, 0]);
    expect(copy.running.errors.filter((line) => /^warning: intercept .* lost/.test(line)).length).toBe(3);
    checkGhosts();
  });

  test(`${mode}, ${kind}: copy is killed, stalls and ends; only what it has not captured is lost`, async () => {
    const scene = await prepare(mode);
    const intercept = await scene.intercept();
    let copy = await scene.copy();
    const going = startLoad(lab, { url: `http://${ONLINE}`, rate: 1000, close });
    await more(copy, 500);
    const copies = [copy];
    let ofKilled = 0;
    for (const signal of ["SIGKILL", "SIGTERM"] as const) {
      await copy.stop(signal);
      if (signal === "SIGKILL") ofKilled = (await copied(scene)).length;
      copy = await scene.copy();
      copies.push(copy);
      await more(copy, 500);
    }
    process.kill(copy.running.pid, "SIGSTOP");
    await Bun.sleep(3000);
    process.kill(copy.running.pid, "SIGCONT");
    await more(copy, 500);

    const result = await going.end();
    await checkOthers(scene, result);
    const count = result.requests;
    const { code } = await copy.stop();
    const caught = await intercept.stop();
    const comparison = await compare(scene);
    expect(comparison).toMatchObject({ doubled: [], foreign: [] });
    const [killed, ...ended] = copies.map((one) => one.reports().at(-1)!.turns);
    const arrived = count - comparison.missing.length;
    const known = ended.reduce((sum, { sent }) => sum + sent, 0);
    expect(arrived - known).toBe(ofKilled);
    // Its last report is older than its end.
    expect(ofKilled).toBeGreaterThanOrEqual(killed!.sent);
    expect(ended.map(({ pending }) => pending)).toEqual([0, 0]);
    for (const one of copies) expect(faultsOf(one.reports())).toEqual([]);
    expect([code, caught.code]).toEqual([0, 0]);
    checkGhosts();
  });
}

for (const restarts of [false, true]) {
  const name = restarts ? "target, its intercept killed as well" : "target";
  test(`${name}: a copy is killed, and started again when --linger is over; connections that the target still has go on`, async () => {
    const scene = await prepare("target");
    let intercept = await scene.intercept("--linger", restarts ? "30" : "1");
    const first = await scene.copy();
    const client = startScript(lab, lab.client, "held.ts", ONLINE, "80", "10", "5", "0");
    await client.line(/^open/);
    await first.report("all responses", ({ turns }) => turns.answered === 10);
    await first.stop("SIGKILL");
    if (restarts) {
      await intercept.stop("SIGKILL");
      intercept = await scene.intercept("--linger", "1");
    }
    const isWithdrawn = ({ flows }: InterceptAccount) => flows.withdrawn >= 10 && flows.active === 0;
    await intercept.report("that what it had is withdrawn", isWithdrawn);

    const second = await scene.copy();
    process.kill(client.pid, "SIGUSR1");
    expect(await client.exited).toBe(0);
    await second.report("the end of all", ({ turns }) => turns.answered + turns.dropped === 50);
    const { code, report } = await second.stop();
    const { account } = await intercept.stop();
    // Of a connection that began before a copy, the first turn may be left out.
    const left = report.dropped.midstream;
    expect(left).toBeLessThanOrEqual(10);
    const sent = 50 - left;
    expect(report.turns).toEqual({ captured: 50, sent, answered: sent, dropped: left, pending: 0 });
    const comparison = await compare(scene);
    expect(comparison).toMatchObject({ doubled: [], foreign: [] });
    expect(comparison.missing.length).toBe(left);
    expect(faultsOf(second.reports())).toEqual([]);
    expect(account.flows).toMatchObject({ refused: 0 });
    expect(code).toBe(0);
    for (const end of scene.visits) expect((await end(1)).failures).toEqual([]);
    checkGhosts();
  });
}

test("1 % of all packets lost each way between every two hosts: every request arrives once, or is counted", async () => {
  const scene = await prepare("assistant");
  const intercept = await scene.intercept();
  const copy = await scene.copy();
  const losses: Loss[] = [
    losePackets(lab.target, "net0", 8080, 1),
    losePackets(lab.target, "behind", 8080, 1),
    losePackets(third, "up", 36524, 1),
  ];
  try {
    const result = await load(lab, { url: `http://${ONLINE}`, rate: 1000, count: 4000 });
    expect(result).toMatchObject({ requests: 4000, errors: 0 });
    const { report } = await copy.stop();
    await intercept.stop();
    const comparison = await compare(scene);
    expect(comparison).toMatchObject({ doubled: [], foreign: [] });
    expect(comparison.missing.length).toBe(report.turns.dropped);
    expect(report.turns).toMatchObject({ captured: 4000, pending: 0 });
    expect(report.sent.retransmitted).toBeGreaterThan(0);
    expect(faultsOf(copy.reports())).toEqual([]);
    for (const loss of losses) expect(loss.dropped().in + loss.dropped().out).toBeGreaterThan(0);
  } finally {
    for (const loss of losses) loss.remove();
  }
  checkGhosts();
});
