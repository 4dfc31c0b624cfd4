/** Replicas, several targets, shares of the sessions, limits, and the PROXY protocol. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import type { Account } from "../../src/copy/account/account.ts";
import { ONLINE6, TARGET, TARGET6 } from "../../src/demo/network.ts";
import { compareContents, EXACTLY_ONCE } from "../support/compare.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { type LoggedRequest, type Nginx, readRequests, startNginx } from "../support/nginx.ts";
import { contentsOf, startServices, TRANSFER, URL_ONLINE } from "../support/served.ts";
import { type LoadOptions, load, loadBothKinds } from "../support/wrk.ts";
import { faultsOf, startCopy } from "../support/xcopy.ts";

let lab: Lab;
beforeAll(() => {
  lab = createLab();
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

/** Both kinds of connections, if it says nothing of `close`. */
type CopiedLoad = Partial<LoadOptions> & {
  count: number;
  /** Requests at a time: the next ones wait until all before, each so many times, are answered. Default: all at once. */
  part?: number;
  times?: number;
};

/** Copies a load with these arguments, expects nobody to have noticed and the account to add up, and returns it. */
async function copyLoad(args: string[], options: CopiedLoad): Promise<Account> {
  const { count, part = count, times = 1 } = options;
  const copy = await startCopy(lab, ["--drain", "30", ...args]);
  for (let done = part; done <= count; done += part) {
    const whole = { url: URL_ONLINE, rate: 1000, ...options, count: part };
    const result = await (options.close === undefined ? loadBothKinds(lab, whole) : load(lab, whole));
    expect(result).toMatchObject({ requests: part, errors: 0 });
    if (done < count)
      await copy.report("the part's responses", ({ turns }) => turns.answered === done * times);
  }
  const { code, report } = await copy.stop();
  expect(faultsOf(copy.reports())).toEqual([]);
  expect(report.turns.pending).toBe(0);
  expect(code).toBe(0);
  return report;
}

/** The requests of each connection, in order. */
function connectionsOf(requests: LoggedRequest[]): Map<string, string[]> {
  const connections = new Map<string, string[]>();
  for (const { connection, content } of requests) {
    const known = connections.get(connection);
    if (known) known.push(content);
    else connections.set(connection, [content]);
  }
  return connections;
}

/** The connections of online whose requests are all at the target; expects of the others that none is. */
async function copiedConnections(online: Nginx, target: Nginx): Promise<Set<string>> {
  const arrived = new Set(await contentsOf(target));
  const copied = new Set<string>();
  for (const [connection, contents] of connectionsOf(await readRequests(online))) {
    const count = contents.filter((content) => arrived.has(content)).length;
    expect([0, contents.length]).toContain(count);
    if (count > 0) copied.add(connection);
  }
  return copied;
}

for (const { replicas, jitter, count } of [
  { replicas: 3, jitter: [], count: 1000 },
  { replicas: 3, jitter: ["--jitter", "300"], count: 1000 },
  { replicas: 100, jitter: [], count: 100 },
  { replicas: 100, jitter: ["--jitter", "1000"], count: 60 },
]) {
  const name = ["-n", `${replicas}`, ...jitter].join(" ");
  test(`${name}: each request ${replicas} times`, async () => {
    const { online, target } = await startServices(lab);
    const report = await copyLoad(["-x", TRANSFER, "-n", `${replicas}`, ...jitter], {
      rate: replicas > 10 ? 50 : 500,
      count,
      connections: 10,
      // A hundred copies of each are more than a slow machine serves at this rate.
      ...(replicas > 10 && { part: 20, times: replicas }),
    });

    const wanted = (await contentsOf(online)).flatMap((content) => new Array(replicas).fill(content));
    expect(wanted.length).toBe(count * replicas);
    expect(compareContents(wanted, await contentsOf(target))).toEqual(EXACTLY_ONCE);
    const turns = count * replicas;
    expect(report.turns).toMatchObject({ captured: turns, sent: turns, answered: turns, dropped: 0 });
    // Every copy is a connection of its own.
    const connections = async (server: Nginx) => connectionsOf(await readRequests(server)).size;
    expect(await connections(target)).toBe((await connections(online)) * replicas);
  });
}

for (const percent of [10, 12.5, 0.5]) {
  test(`-r ${percent}: that share of the connections, each whole or not at all`, async () => {
    const { online, target } = await startServices(lab);
    const count = 4000;
    const report = await copyLoad(["-x", TRANSFER, "-r", `${percent}`], { rate: 2000, count, close: true });

    const comparison = compareContents(await contentsOf(online), await contentsOf(target));
    expect(comparison).toMatchObject({ doubled: [], foreign: [] });
    const copied = count - comparison.missing.length;
    expect(report.turns).toMatchObject({ captured: copied, sent: copied, answered: copied, dropped: 0 });
    // Six standard deviations of a fair choice.
    const share = percent / 100;
    const deviation = Math.sqrt(count * share * (1 - share));
    expect(Math.abs(copied - count * share)).toBeLessThan(6 * deviation);
  });
}

test("-r 30: connections of many requests are copied from the first to the last, or not at all", async () => {
  const { online, target } = await startServices(lab);
  const report = await copyLoad(["-x", TRANSFER, "-r", "30"], {
    rate: 2000,
    count: 3000,
    connections: 200,
    close: false,
  });
  const copied = await copiedConnections(online, target);
  expect(copied.size).toBeGreaterThan(0);
  expect(copied.size).toBeLessThan(connectionsOf(await readRequests(online)).size);
  expect((await contentsOf(target)).length).toBe(report.turns.sent);
});

test("--limit: no more than that, the other requests are left out", async () => {
  const { online, target } = await startServices(lab);
  const report = await copyLoad(["-x", TRANSFER, "--limit", "200/s"], { count: 3000 });

  const comparison = compareContents(await contentsOf(online), await contentsOf(target));
  expect(comparison).toMatchObject({ doubled: [], foreign: [] });
  expect(report.turns.captured).toBe(3000);
  expect(report.turns.dropped).toBe(report.dropped.limit);
  expect(comparison.missing.length).toBe(report.dropped.limit);
  // A second more than the run: what may go at once after a silence.
  expect(report.turns.sent).toBeLessThanOrEqual(200 * (report.seconds + 1));
  expect(report.turns.sent).toBeGreaterThan(200);
});

test("two targets: each gets all", async () => {
  const { online, target } = await startServices(lab);
  const other = await startNginx(lab, lab.target, 8081);
  const report = await copyLoad(["-x", `${TRANSFER},80-[${TARGET6}]:8081`], { count: 1500 });
  for (const server of [target, other]) {
    expect(compareContents(await contentsOf(online), await contentsOf(server))).toEqual(EXACTLY_ONCE);
  }
  expect(report.turns).toMatchObject({ captured: 3000, sent: 3000, answered: 3000, dropped: 0 });
});

test("two targets, one of them dead: the other gets all", async () => {
  const { online, target } = await startServices(lab);
  const report = await copyLoad(["-x", `${TRANSFER},80-${TARGET}:9`, "--force"], { count: 1500 });
  expect(compareContents(await contentsOf(online), await contentsOf(target))).toEqual(EXACTLY_ONCE);
  expect(report.turns).toMatchObject({ captured: 3000, sent: 1500, answered: 1500, dropped: 1500 });
  expect(report.dropped.refused).toBe(1500);
});

// Of few connections that stay the share would be too rough, of many that end it would say nothing of the others.
for (const close of [false, true]) {
  test(`a weighted group: each of the ${close ? "short connections" : "connections that stay"} to one of them, near the weights`, async () => {
    const { online, target } = await startServices(lab);
    const other = await startNginx(lab, lab.target, 8081);
    const count = 2000;
    const report = await copyLoad(["-x", `${TRANSFER}|${TARGET}:8081*2`], {
      rate: 2000,
      count,
      close,
      connections: 150,
    });
    const arrived = [...(await contentsOf(target)), ...(await contentsOf(other))];
    expect(compareContents(await contentsOf(online), arrived)).toEqual(EXACTLY_ONCE);
    expect(report.turns).toMatchObject({ captured: count, sent: count, answered: count, dropped: 0 });
    const first = await copiedConnections(online, target);
    const second = await copiedConnections(online, other);
    expect(first.intersection(second).size).toBe(0);
    expect(second.size / (first.size + second.size)).toBeCloseTo(2 / 3, 1);
  });
}

const REAL_ADDRESS = "set_real_ip_from 0.0.0.0/0; set_real_ip_from ::/0; real_ip_header proxy_protocol;";
for (const version of ["v1", "v2"]) {
  for (const { name, url, transfer } of [
    { name: "IPv4", url: URL_ONLINE, transfer: TRANSFER },
    { name: "IPv6", url: `http://[${ONLINE6}]`, transfer: `80-[${TARGET6}]:8080` },
    { name: "IPv6 clients to an IPv4 target", url: `http://[${ONLINE6}]`, transfer: TRANSFER },
    { name: "IPv4 clients to an IPv6 target", url: URL_ONLINE, transfer: `80-[${TARGET6}]:8080` },
  ]) {
    test(`--proxy-protocol ${version}, ${name}: the target sees the clients`, async () => {
      const online = await startNginx(lab, lab.online, 80);
      const target = await startNginx(lab, lab.target, 8080, {
        listen: "proxy_protocol",
        server: REAL_ADDRESS,
      });
      const report = await copyLoad(["-x", transfer, "--proxy-protocol", version], { url, count: 1000 });
      const lines = async (server: Nginx) =>
        (await readRequests(server)).map(({ content, address, port }) => `${content} ${address} ${port}`);
      expect(compareContents(await lines(online), await lines(target))).toEqual(EXACTLY_ONCE);
      expect(report.turns).toMatchObject({ captured: 1000, sent: 1000, answered: 1000, dropped: 0 });
      expect(new Set((await readRequests(target)).map(({ address }) => address)).size).toBe(59);
    });
  }
}
