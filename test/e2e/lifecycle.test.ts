/** xcopy is killed, restarted, told to end: production does not notice, and nothing is left behind. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { ONLINE, TARGET } from "../../src/demo/network.ts";
import { compareContents } from "../support/compare.ts";
import { kernelObjects, stillThere } from "../support/kernel-objects.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { type LoggedRequest, readRequests, startNginx } from "../support/nginx.ts";
import { until } from "../support/until.ts";
import { load, startLoad } from "../support/wrk.ts";
import { faultsOf, hostState, startCopy, XCOPY } from "../support/xcopy.ts";

let lab: Lab;
beforeAll(() => {
  lab = createLab();
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

const CONNECTIONS = 100;
const TRANSFER = `80-${TARGET}:8080`;

/** Which of the load's requests it is: 1 is the first. */
function numberOf({ content }: LoggedRequest): number {
  return Number(/-(\d+) HTTP/.exec(content)![1]);
}

for (const close of [false, true]) {
  const kind = close ? "short connections" : "keep-alive connections";
  test(`kill -9 under ${kind} leaves nothing, and a new start loses nothing from then on`, async () => {
    const online = await startNginx(lab, lab.online, 80);
    const target = await startNginx(lab, lab.target, 8080);
    const before = hostState(lab.online);
    const running = startLoad(lab, {
      url: `http://${ONLINE}`,
      rate: 2000,
      close,
      connections: CONNECTIONS,
    });
    const killed = await startCopy(lab, ["-x", TRANSFER]);
    await killed.report("2,000 answers", ({ turns }) => turns.answered > 2000);
    const objects = kernelObjects(killed.running.pid);
    expect(objects.filter(({ kind }) => kind === "prog").length).toBeGreaterThanOrEqual(2);

    const code = await killed.running.stop("SIGKILL");
    const copy = await startCopy(lab, ["-x", TRANSFER]);
    // The client numbers its requests, and has sent no later one by now: of each connection at most two are not logged.
    const latest = (await readRequests(online)).length + 2 * CONNECTIONS;
    const sentSince = async () =>
      (await readRequests(online)).filter((request) => numberOf(request) > latest);
    await until("1,000 requests since then", async () => (await sentSince()).length > 1000);
    const result = await running.end();
    const last = await copy.stop();
    await until(
      "the kernel has freed the programs of the killed process",
      () => stillThere(objects).length === 0,
    );

    expect(code).toBe(137);
    const sent = await readRequests(online);
    expect(result).toMatchObject({ requests: sent.length, errors: 0 });
    expect(hostState(lab.online)).toBe(before);
    const comparison = compareContents(
      sent.map(({ content }) => content),
      (await readRequests(target)).map(({ content }) => content),
    );
    expect(comparison).toMatchObject({ doubled: [], foreign: [] });
    const after = await sentSince();
    // A connection that was open already is copied from its next request on: the one before may be half over.
    const lost = new Set(comparison.missing);
    const lostAfter = after.filter(({ content }) => lost.has(content));
    const firsts = new Map(
      after.toReversed().map((request) => [`${request.address}:${request.port}`, request]),
    );
    expect(lostAfter.filter((request) => ![...firsts.values()].includes(request))).toEqual([]);
    expect(lostAfter.length).toBeLessThanOrEqual(close ? 0 : last.report.dropped.midstream);
    expect(last.report.dropped.midstream).toBeLessThanOrEqual(CONNECTIONS);
    expect(last.report.turns.dropped).toBe(last.report.dropped.midstream);
    expect(faultsOf(copy.reports())).toEqual([]);
    expect(last.code).toBe(0);
  });
}

test("a stalled xcopy does not hold production up, and copies again when it runs again", async () => {
  const online = await startNginx(lab, lab.online, 80);
  const target = await startNginx(lab, lab.target, 8080);
  const copy = await startCopy(lab, ["-x", TRANSFER]);
  const running = startLoad(lab, { url: `http://${ONLINE}`, rate: 1000 });
  await copy.report("1,000 answers", ({ turns }) => turns.answered > 1000);
  const before = (await readRequests(online)).length;

  process.kill(copy.running.pid, "SIGSTOP");
  // 3 s of load: longer than the programs wait for a heartbeat.
  await until("online answers on", async () => (await readRequests(online)).length > before + 3000);
  const { turns } = copy.reports().at(-1)!;
  process.kill(copy.running.pid, "SIGCONT");
  await copy.report("1,000 answers more", ({ turns: { answered } }) => answered > turns.answered + 1000);
  const result = await running.end();
  const { code, report } = await copy.stop();

  expect(result).toMatchObject({ requests: (await readRequests(online)).length, errors: 0 });
  expect(report.capture.inert).toBeGreaterThan(0);
  expect((await readRequests(target)).length).toBeGreaterThan(2000);
  expect(code).toBe(0);
});

test("SIGTERM under load: captured requests are finished, a summary is printed, nothing is left", async () => {
  const online = await startNginx(lab, lab.online, 80);
  const target = await startNginx(lab, lab.target, 8080);
  const before = hostState(lab.online);
  const copy = await startCopy(lab, ["-x", TRANSFER]);
  const running = startLoad(lab, { url: `http://${ONLINE}`, rate: 2000 });
  await copy.report("2,000 answers", ({ turns }) => turns.answered > 2000);
  const objects = kernelObjects(copy.running.pid);

  const { code, report } = await copy.stop();

  expect(code).toBe(0);
  expect(report.turns).toMatchObject({ dropped: 0, pending: 0, answered: report.turns.sent });
  expect((await readRequests(target)).length).toBe(report.turns.sent);
  expect(faultsOf(copy.reports())).toEqual([]);
  await until("the kernel has freed the programs", () => stillThere(objects).length === 0);
  expect(existsSync(`/run/xcopy/ports-${copy.running.pid}.json`)).toBe(false);
  const result = await running.end();
  expect(result).toMatchObject({ requests: (await readRequests(online)).length, errors: 0 });
  expect(hostState(lab.online)).toBe(before);
});

test("SIGINT without --json: a summary as text", async () => {
  await startNginx(lab, lab.online, 80);
  await startNginx(lab, lab.target, 8080);
  const running = lab.start(lab.online, [XCOPY, "copy", "-x", TRANSFER]);
  await running.line(/^copying /);
  await load(lab, { url: `http://${ONLINE}`, rate: 500, count: 500 });
  expect(await running.stop("SIGINT")).toBe(0);
  expect(running.errors.join("\n")).toMatch(
    /^copied for .*\n +requests +500 captured, 500 sent, 500 answered$/m,
  );
  expect(running.output).toEqual([]);
});
