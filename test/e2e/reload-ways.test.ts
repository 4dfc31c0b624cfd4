/** Reloads of copies that have more than TCP to this host's own address: an intercept, UDP, a comparison, the first filter. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ONLINE, TARGET } from "../../src/demo/network.ts";
import { compareContents, EXACTLY_ONCE } from "../support/compare.ts";
import { startIntercept } from "../support/intercept.ts";
import { KEY } from "../support/key.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { readRequests, startNginx } from "../support/nginx.ts";
import { contentsOf } from "../support/served.ts";
import { ask, startUnbound } from "../support/unbound.ts";
import { until } from "../support/until.ts";
import { startLoad } from "../support/wrk.ts";
import { datagramFaultsOf, faultsOf, runXcopy, startCopy } from "../support/xcopy.ts";

let lab: Lab;
beforeAll(() => {
  lab = createLab();
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

/** Writes the table of a copy, and starts it with that file. */
function configured(name: string) {
  const path = join(lab.directory, `${name}.toml`);
  const write = (...lines: string[]) => writeFileSync(path, ["[copy]", ...lines].join("\n"), { mode: 0o600 });
  const start = (env: Record<string, string> = {}) => startCopy(lab, ["--config", path], { env });
  const reload = async () => {
    const { code, output, errors } = await runXcopy(lab, ["reload"]);
    return { code, text: output + errors };
  };
  return { write, start, reload };
}

const transfers = (...ports: [from: number, to: number][]) =>
  `transfer = [${ports.map(([from, to]) => `"${from}-${TARGET}:${to}"`).join(", ")}]`;
const CONNECTIONS = 10;

test("with an intercept: a service, a first filter, a rate; connections that stay are the same, from their clients", async () => {
  const { write, start, reload } = configured("target");
  const [online, second, target, other] = await Promise.all([
    startNginx(lab, lab.online, 80),
    startNginx(lab, lab.online, 81),
    startNginx(lab, lab.target, 8080),
    startNginx(lab, lab.target, 8081),
  ]);
  const intercept = await startIntercept(lab, lab.target, ["-o", ":8080,:8081", "--linger", "1"]);
  const common = `intercepts = ["${TARGET}"]`;
  write(transfers([80, 8080]), common);
  const copy = await start({ XCOPY_KEY: KEY });
  const load = startLoad(lab, { url: `http://${ONLINE}`, rate: 150, connections: CONNECTIONS });
  await until("the first requests", async () => (await contentsOf(target)).length >= 50);

  write(transfers([80, 8080], [81, 8081]), common, 'filter = "tcp"', "timeout = 60");
  expect(await reload()).toEqual({
    code: 0,
    text: expect.stringMatching(
      /^reloaded \d+: \+81-10\.0\.0\.2:8081, -t 600 -> 60, -F changed; \d+ sessions go on$/,
    ),
  });
  const added = startLoad(lab, { url: `http://${ONLINE}:81`, rate: 100, connections: CONNECTIONS });
  await until("requests of the new service", async () => (await contentsOf(other)).length >= 50);
  write(transfers([80, 8080]), common, 'filter = "ip"', "timeout = 60", "mtu = 1400");
  expect(await reload()).toMatchObject({ code: 2, text: expect.stringContaining("needs a restart") });
  await Promise.all([load.end(), added.end()]);
  const { code, report } = await copy.finish();
  await intercept.stop();

  expect([code, report.mode, report.turns.dropped, report.sessions.reconnected]).toEqual([0, "target", 0, 0]);
  const askedBy = async (server: typeof online) =>
    (await readRequests(server)).map(({ content, address }) => `${address} ${content}`);
  expect(compareContents(await askedBy(online), await askedBy(target))).toEqual(EXACTLY_ONCE);
  expect(compareContents(await askedBy(second), await askedBy(other))).toEqual(EXACTLY_ONCE);
  const connections = new Set((await readRequests(target)).map(({ connection }) => connection));
  expect(connections.size).toBe(CONNECTIONS);
  expect(faultsOf(copy.reports())).toEqual([]);
});

test.each(["tcx", "packet"])(
  "the first service of UDP, another target of it, and its end; by %s",
  async (capture) => {
    const { write, start, reload } = configured("datagrams");
    await Promise.all([startNginx(lab, lab.online, 80), startNginx(lab, lab.target, 8080)]);
    const online = await startUnbound(lab, lab.online, 53);
    const [first, next] = [
      await startUnbound(lab, lab.target, 5353),
      await startUnbound(lab, lab.target, 5354),
    ];
    const dns = (port: number) => `"udp:53-${TARGET}:${port}"`;
    const common = `capture = "${capture}"`;
    const web = `"80-${TARGET}:8080"`;
    write(`transfer = [${web}]`, common);
    const copy = await start();
    expect(copy.reports().at(-1)?.udp).toBeUndefined();

    write(`transfer = [${web}, ${dns(5353)}]`, common);
    expect(await reload()).toMatchObject({
      code: 0,
      text: expect.stringContaining(`+udp:53-${TARGET}:5353`),
    });
    expect(await ask(lab, ONLINE, 1000, 1000)).toBe(1000);
    await copy.report("all answered", ({ udp }) => udp?.datagrams.answered === 1000);
    expect(first.questions().toSorted()).toEqual(online.questions().toSorted());

    write(`transfer = [${web}, ${dns(5354)}]`, common, "timeout = 9");
    expect(await reload()).toMatchObject({ code: 0 });
    expect(await ask(lab, ONLINE, 500, 1000)).toBe(500);
    await copy.report("all answered by the other", ({ udp }) => udp?.datagrams.answered === 1500);
    expect([first.questions().length, next.questions().length]).toEqual([1000, 500]);

    write(`transfer = [${web}]`, common, "timeout = 9");
    expect(await reload()).toMatchObject({
      code: 0,
      text: expect.stringContaining(`-udp:53-${TARGET}:5354`),
    });
    expect(await ask(lab, ONLINE, 100, 1000)).toBe(100);
    const { code, report } = await copy.stop();
    expect([code, report.udp!.datagrams.captured]).toEqual([0, 1500]);
    expect([first.questions().length, next.questions().length]).toEqual([1000, 500]);
    expect(datagramFaultsOf(copy.reports().filter(({ udp }) => udp))).toEqual([]);
  },
);

test("with a comparison: every pair of the services that stay and come is compared once", async () => {
  const { write, start, reload } = configured("compared");
  await Promise.all([
    startNginx(lab, lab.online, 80),
    startNginx(lab, lab.online, 81),
    startNginx(lab, lab.target, 8080),
    startNginx(lab, lab.target, 8081),
  ]);
  write(transfers([80, 8080]), "compare = true");
  const copy = await start();
  const compared = (what: string, count: number) =>
    copy.report(what, ({ comparison }) => (comparison?.outcomes.compared ?? 0) >= count);
  const load = startLoad(lab, { url: `http://${ONLINE}`, rate: 100, connections: 5 });
  await compared("pairs", 20);
  write(transfers([80, 8080], [81, 8081]), "compare = true", 'filter = "tcp"');
  expect(await reload()).toMatchObject({ code: 0 });
  const added = startLoad(lab, { url: `http://${ONLINE}:81`, rate: 100, connections: 5, count: 50 });
  expect((await added.result).requests).toBe(50);
  const { requests } = await load.end();
  await compared("all pairs", requests + 50);
  const { code, report } = await copy.finish();
  expect([code, report.comparison?.outcomes]).toEqual([0, { compared: requests + 50 }]);
  expect(faultsOf(copy.reports())).toEqual([]);
});
