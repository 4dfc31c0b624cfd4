/** Return paths with several online hosts, targets, intercepts, connections or copies; and redis. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { partOf } from "../../src/config/ports.ts";
import { ONLINE, TARGET } from "../../src/demo/network.ts";
import { compareContents, EXACTLY_ONCE } from "../support/compare.ts";
import { countGhosts, type Ghosts } from "../support/ghosts.ts";
import { startIntercept } from "../support/intercept.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { type LoggedRequest, readArrived, readRequests, startNginx } from "../support/nginx.ts";
import { run } from "../support/process.ts";
import { commandCalls, startRedis } from "../support/redis.ts";
import { createSecondOnline, createSecondTarget, ONLINE_2, TARGET_2 } from "../support/second.ts";
import { until } from "../support/until.ts";
import { isVisit } from "../support/visit.ts";
import { load, startLoad } from "../support/wrk.ts";
import { faultsOf, startCopy, XCOPY } from "../support/xcopy.ts";

let lab: Lab;
let target2: string;
let second: { online: string; client: string };
let ghosts: Ghosts[];
let out: number[];
beforeAll(() => {
  lab = createLab();
  target2 = createSecondTarget(lab);
  second = createSecondOnline(lab);
  ghosts = [lab.client, lab.online, second.client, second.online].map((host) => countGhosts(host, 8080));
});
beforeEach(() => {
  out = ghosts.map((ghost) => ghost.count());
});
afterEach(async () => {
  await lab.stopAll();
  // Until here, when no target has any more to say, guards have taken what it said.
  for (const host of [lab.target, target2]) run(host, XCOPY, "cleanup");
  expect(ghosts.map((ghost) => ghost.count())).toEqual(out);
});
afterAll(() => lab.remove());

const CATCH = ["-o", ":8080"];

/** What was asked, and by whom. */
const askedBy = ({ content, address }: LoggedRequest) => `${address} ${content}`;

test("two online hosts share a target and its intercept", async () => {
  const froms = [await startNginx(lab, lab.online, 80), await startNginx(lab, second.online, 80)];
  const to = await startNginx(lab, lab.target, 8080);
  const intercept = await startIntercept(lab, lab.target, CATCH);
  const copies = [
    await startCopy(lab, ["-x", `80-${TARGET}:8080`, "-s", TARGET]),
    await startCopy(lab, ["-x", "80-10.5.0.1:8080", "-s", TARGET], { namespace: second.online }),
  ];
  const loads = await Promise.all([
    load(lab, { url: `http://${ONLINE}`, rate: 1000, count: 2000 }),
    load(lab, { url: `http://${ONLINE_2}`, rate: 500, count: 1000, close: true, namespace: second.client }),
  ]);
  const ends = [await copies[0]!.finish(), await copies[1]!.finish()];
  const { account } = await intercept.stop();

  expect(loads.map(({ requests, errors }) => [requests, errors])).toEqual([
    [2000, 0],
    [1000, 0],
  ]);
  const sent = (await Promise.all(froms.map(readRequests))).flat();
  expect(compareContents(sent.map(askedBy), (await readRequests(to)).map(askedBy))).toEqual(EXACTLY_ONCE);
  expect(ends.map(({ report }) => report.turns.answered)).toEqual([2000, 1000]);
  expect(ends.map(({ report }) => report.responses.stray)).toEqual([0, 0]);
  expect(account.unrouted).toBe(0);
});

test("two targets, each with its intercept: if one intercept is lost only its target is held, and catches up later", async () => {
  const from = await startNginx(lab, lab.online, 80);
  const [to, to2] = [await startNginx(lab, lab.target, 8080), await startNginx(lab, target2, 8080)];
  await startIntercept(lab, lab.target, CATCH);
  const lost = await startIntercept(lab, target2, CATCH);
  const transfers = ["-x", `80-${TARGET}:8080`, "-x", `80-${TARGET_2}:8080`];
  const copy = await startCopy(lab, [
    ...transfers,
    "-s",
    `${TARGET},${TARGET_2}`,
    "-C",
    "3",
    "--drain",
    "15",
  ]);
  const going = startLoad(lab, { url: `http://${ONLINE}`, rate: 1000 });
  await copy.report("traffic", ({ turns }) => turns.answered > 500);

  await lost.stop("SIGKILL");
  await copy.running.line(
    /^warning: intercept 10\.7\.0\.2 \(target\): lost .*nothing is sent to 10\.7\.0\.2:8080 until/,
  );
  const arrived2 = async () => (await readArrived(to2, target2, 8080)).length;
  const [before, before2] = [(await readRequests(to)).length, await arrived2()];
  const { captured } = copy.reports().at(-1)!.turns;
  await copy.report("a second of traffic", ({ turns }) => turns.captured > captured + 2000);
  await until("the other target gets its part", async () => (await readRequests(to)).length > before + 500);
  expect((await arrived2()) - before2).toBe(0);
  const back = await startIntercept(lab, target2, CATCH);
  await copy.running.line(/^intercept 10\.7\.0\.2 \(target\): connected again/);

  const { requests, errors } = await going.end();
  expect([(await readRequests(from)).length, errors]).toEqual([requests, 0]);
  const all = 2 * requests;
  await copy.report("all responses", ({ turns }) => turns.answered === all);
  // Each comes back in its own time.
  await back.report("all connections of the copy", ({ connections }) => connections.accepted === 3);
  const { report } = await copy.stop();
  const { account } = await back.stop();
  expect(copy.running.errors.filter((line) => /^warning: intercept .* lost/.test(line)).length).toBe(1);
  expect(account.connections.accepted).toBe(3);
  const sent = (await readRequests(from)).map(askedBy);
  for (const server of [to, to2])
    expect(
      compareContents(sent, (await readRequests(server)).filter((one) => !isVisit(one)).map(askedBy)),
    ).toEqual(EXACTLY_ONCE);
  expect(report.turns).toEqual({ captured: all, sent: all, answered: all, dropped: 0, pending: 0 });
  expect(faultsOf(copy.reports())).toEqual([]);
});

for (const { name, args, times } of [
  {
    name: "-n 3: three times from the client's address, from ports that differ",
    args: ["-n", "3"],
    times: 3,
  },
  { name: "-f 2/4: once, from a quarter of the ports", args: ["-f", "2/4"], times: 1 },
  { name: "-C 3: once, by three connections", args: ["-C", "3"], times: 1 },
]) {
  test(name, async () => {
    const [from, to] = [await startNginx(lab, lab.online, 80), await startNginx(lab, lab.target, 8080)];
    const intercept = await startIntercept(lab, lab.target, CATCH);
    const copy = await startCopy(lab, ["-x", `80-${TARGET}:8080`, "-s", TARGET, ...args]);
    await load(lab, { url: `http://${ONLINE}`, rate: 1000, count: 1500, close: true });
    await copy.report("all responses", ({ turns }) => turns.answered === 1500 * times);
    const { report } = await copy.stop();
    const { account } = await intercept.stop();
    const arrived = await readRequests(to);
    const sent = (await readRequests(from)).flatMap((request) => Array(times).fill(askedBy(request)));
    expect(compareContents(sent, arrived.map(askedBy))).toEqual(EXACTLY_ONCE);
    const ports = Map.groupBy(arrived, ({ content }) => content)
      .values()
      .map((same) => new Set(same.map(({ port }) => port)).size);
    expect(new Set(ports)).toEqual(new Set([times]));
    if (args[0] === "-f") {
      const part = partOf([[1024, 65535]], { index: 2, count: 4 });
      const outside = arrived.filter(
        ({ port }) => !part.some(([first, last]) => first <= port && port <= last),
      );
      expect(outside).toEqual([]);
    }
    expect(account.connections.accepted).toBe(args[0] === "-C" ? 3 : 1);
    expect(report.turns).toMatchObject({ captured: 1500 * times, answered: 1500 * times, dropped: 0 });
    expect(faultsOf(copy.reports())).toEqual([]);
  });
}

test("redis, one command at a time and 16: as many of each at the target", async () => {
  await startRedis(lab, lab.online, 6379);
  await startRedis(lab, lab.target, 6380);
  const intercept = await startIntercept(lab, lab.target, ["-o", ":6380"]);
  const copy = await startCopy(lab, ["-x", `6379-${TARGET}:6380`, "-s", TARGET]);
  for (const pipeline of ["1", "16"]) {
    const count = pipeline === "1" ? 5000 : 20_000;
    run(
      lab.client,
      "redis-benchmark",
      "-h",
      ONLINE,
      "-c",
      "20",
      "-n",
      `${count}`,
      "-P",
      pipeline,
      "-t",
      "set,incr",
      "-q",
    );
  }
  const { report } = await copy.finish();
  const { account } = await intercept.stop();
  expect(commandCalls(lab.target, 6380, ["set", "incr"])).toEqual(
    commandCalls(lab.online, 6379, ["set", "incr"]),
  );
  expect(commandCalls(lab.online, 6379, ["set"])).toEqual({ set: 25_000 });
  expect(report.turns).toMatchObject({ dropped: 0, pending: 0 });
  expect(account.unrouted).toBe(0);
});
