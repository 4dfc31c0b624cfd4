/** `xcopy reload` while requests are copied: what changes, and that nothing else is touched. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ONLINE, TARGET } from "../../src/demo/network.ts";
import { watchPackets } from "../support/capture.ts";
import { compareContents, EXACTLY_ONCE } from "../support/compare.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { type Nginx, readRequests, startNginx } from "../support/nginx.ts";
import { until } from "../support/until.ts";
import { type LoadOptions, startLoad } from "../support/wrk.ts";
import { faultsOf, hostState, runXcopy, startCopy } from "../support/xcopy.ts";

let lab: Lab;
beforeAll(() => {
  lab = createLab();
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

/** Of each load. */
const CONNECTIONS = 10;

const contentsOf = async (server: Nginx) => (await readRequests(server)).map(({ content }) => content);
const arrived = (what: string, server: Nginx, count: number) =>
  until(what, async () => (await readRequests(server)).length >= count);

test.each(["tcx", "clsact", "packet"])("transfers, rates and filters, captured by %s", async (capture) => {
  const path = join(lab.directory, "copy.toml");
  const configure = (transfers: string[], filter = "tcp", more = "") => {
    const list = transfers.map((one) => `"${one.replace("-", `-${TARGET}:`)}"`).join(", ");
    writeFileSync(
      path,
      `[copy]\ntransfer = [${list}]\ncapture = "${capture}"\nfilter = "${filter}"\n${more}\n`,
      { mode: 0o600 },
    );
  };
  const reload = async () => {
    const { code, output, errors } = await runXcopy(lab, ["reload"]);
    return { code, text: output + errors };
  };
  const [online, second, target, other, new_] = await Promise.all([
    startNginx(lab, lab.online, 80),
    startNginx(lab, lab.online, 81),
    startNginx(lab, lab.target, 8080),
    startNginx(lab, lab.target, 8081),
    startNginx(lab, lab.target, 8082),
  ]);
  configure(["80-8080"]);
  const copy = await startCopy(lab, ["--config", path]);
  const load = (options: Partial<LoadOptions> = {}) =>
    startLoad(lab, { url: `http://${ONLINE}`, rate: 150, connections: CONNECTIONS, ...options });
  const loads = [load()];
  await arrived("requests of connections that stay", target, 20);
  const keptRun = (await contentsOf(target))[0]!.match(/GET (\/[^ ]+-)[^-]+ /)![1]!;
  loads.push(load({ close: true }));
  await arrived("the first requests", target, 50);
  const resets = await watchPackets(
    lab,
    lab.target,
    "net0",
    "dst port 8080 and tcp[tcpflags] & tcp-rst != 0",
  );

  // A service that is new.
  configure(["80-8080", "81-8081"]);
  expect(await reload()).toEqual({
    code: 0,
    text: expect.stringMatching(/^reloaded \d+: \+81-10\.0\.0\.2:8081; \d+ sessions go on$/),
  });
  const third = load({ url: `http://${ONLINE}:81`, rate: 100 });
  await arrived("requests of the new service", other, 30);

  // One more target, and its end; its connections are not only those of new clients.
  configure(["80-8080", "80-8082", "81-8081"]);
  expect(await reload()).toMatchObject({ code: 0 });
  await arrived("requests at the new target", new_, 50);
  configure(["80-8080", "81-8081"], "tcp", "sample = 300");
  expect(await reload()).toMatchObject({ code: 2 });
  configure(["80-8080", "80-8089", "81-8081"]);
  expect(await reload()).toEqual({ code: 3, text: expect.stringContaining("10.0.0.2:8089") });
  configure(["80-8080", "81-8081"]);
  expect(await reload()).toMatchObject({ code: 0, text: expect.stringContaining(": -80-10.0.0.2:8082; ") });
  const before = (await readRequests(target)).length;
  await arrived("requests after the end of a target", target, before + 100);

  // Filters that let the same packets through: none may be lost or seen twice.
  for (const filter of ["tcp port 80 or tcp port 81", "ip", "tcp dst portrange 80-81", "tcp"]) {
    configure(["80-8080", "81-8081"], filter);
    expect(await reload()).toMatchObject({ code: 0, text: expect.stringContaining(": -F changed; ") });
  }
  configure(["80-8080", "81-8081"], "no such filter");
  expect(await reload()).toMatchObject({ code: 2 });

  // And one that does not.
  await third.end();
  configure(["80-8080", "81-8081"], "tcp port 80", "timeout = 60");
  expect(await reload()).toMatchObject({
    code: 0,
    text: expect.stringContaining(": -t 600 -> 60, -F changed; "),
  });
  const unseen = load({ url: `http://${ONLINE}:81`, rate: 100, count: 20, close: true });
  const seen = (await contentsOf(second)).length;
  await unseen.result;

  await Promise.all(loads.map((one) => one.end()));
  const { code, report } = await copy.finish();
  expect([code, report.turns.dropped, report.sessions.reconnected]).toEqual([0, 0, 0]);
  expect(compareContents(await contentsOf(online), await contentsOf(target))).toEqual(EXACTLY_ONCE);
  const atSecond = (await contentsOf(second)).slice(0, seen);
  expect(compareContents(atSecond, await contentsOf(other))).toEqual(EXACTLY_ONCE);
  // The connections of clients that stayed are the same to the end.
  const kept = (await readRequests(target)).filter(({ content }) => content.includes(keptRun));
  expect(new Set(kept.map(({ connection }) => connection)).size).toBe(CONNECTIONS);
  const atNew = compareContents(await contentsOf(online), await contentsOf(new_));
  expect([atNew.doubled, atNew.foreign]).toEqual([[], []]);
  expect(await resets.stop()).toEqual({ packets: 0, lines: [] });
  expect(faultsOf(copy.reports())).toEqual([]);
});

test("several workers, SIGHUP: a group that changes, fewer connections", async () => {
  const path = join(lab.directory, "workers.toml");
  const configure = (targets: string[], more = "") => {
    const group = targets.map((target) => `${TARGET}:${target}`).join("|");
    writeFileSync(path, `[copy]\ntransfer = "80-${group}"\nworkers = 2\n${more}\n`, { mode: 0o600 });
  };
  const [online, first, second] = await Promise.all([
    startNginx(lab, lab.online, 80),
    startNginx(lab, lab.target, 8080),
    startNginx(lab, lab.target, 8081),
  ]);
  configure(["8080"]);
  const copy = await startCopy(lab, ["--config", path]);
  const kept = startLoad(lab, { url: `http://${ONLINE}`, rate: 200, connections: 40 });
  await arrived("the first requests", first, 40);
  configure(["8080", "8081*3"]);
  process.kill(copy.running.pid, "SIGHUP");
  await copy.running.line(/^reloaded /);
  const closed = startLoad(lab, { url: `http://${ONLINE}`, rate: 100, connections: 10, close: true });
  await arrived("requests at the second target", second, 50);
  configure(["8081"]);
  const { output } = await runXcopy(lab, ["reload"]);
  expect(output).toMatch(/, \+80-10\.0\.0\.2:8081; \d+ sessions? goe?s? on, \d+ ends?$/);
  const before = (await readRequests(first)).length;
  const { turns } = copy.reports().at(-1)!;
  // The clients of the first target go on at the second.
  await copy.report("sessions of all clients", ({ sessions }) => sessions.midstream >= 40);
  await copy.report("more requests", (report) => report.turns.sent > turns.sent + 200);
  expect((await readRequests(first)).length).toBe(before);
  configure(["8081"], "sample = 20");
  expect(await runXcopy(lab, ["reload"])).toMatchObject({ code: 0 });
  await copy.report("the end of most", ({ sessions }) => sessions.active > 0 && sessions.active < 25);
  await Promise.all([kept.end(), closed.end()]);
  await copy.finish();
  const targets = [...(await contentsOf(first)), ...(await contentsOf(second))];
  const { doubled, foreign } = compareContents(await contentsOf(online), targets);
  expect([doubled, foreign]).toEqual([[], []]);
  expect(faultsOf(copy.reports())).toEqual([]);
});

test("kill -9 right after a reload leaves nothing", async () => {
  const path = join(lab.directory, "killed.toml");
  const configure = (transfers: string, filter: string) =>
    writeFileSync(path, `[copy]\ntransfer = "${transfers}"\nfilter = "${filter}"\nforce = true\n`, {
      mode: 0o600,
    });
  const state = () => hostState(lab.online);
  const before = state();
  configure(`80-${TARGET}:8080`, "tcp");
  const copy = await startCopy(lab, ["--config", path]);
  configure(`80-${TARGET}:8080,81-${TARGET}:8081`, "ip");
  expect(await runXcopy(lab, ["reload"])).toMatchObject({ code: 0 });
  await copy.running.stop("SIGKILL");
  await until("nothing is left", () => state() === before);
  // But records, which the next start removes too.
  expect(await runXcopy(lab, ["cleanup"])).toMatchObject({ code: 0 });
});
