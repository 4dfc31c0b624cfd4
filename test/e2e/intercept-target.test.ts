/** `xcopy intercept` on the target: answers in forged connections go to the copy, other clients are served as before. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { addAddress, ip, TARGET, TARGET6 } from "../../src/demo/network.ts";
import { watchPackets } from "../support/capture.ts";
import { startCatching, startFakeCopy } from "../support/fake-copies.ts";
import { createLab, endConnections, type Lab } from "../support/lab.ts";
import { readRequests, startNginx } from "../support/nginx.ts";
import { run } from "../support/process.ts";
import { until } from "../support/until.ts";
import { XCOPY } from "../support/xcopy.ts";

/** Addresses of real clients, who must never hear of what is sent in their names. */
const CLIENTS = ["10.1.0.5", "10.1.0.6"];
const CLIENTS6 = ["fd00:1::5"];
const SERVICE = {
  intercept: TARGET,
  target: TARGET,
  targetPort: 8080,
  clients: CLIENTS,
  by: "cookie",
} as const;

let lab: Lab;
beforeAll(() => {
  lab = createLab();
});
afterEach(async () => {
  await lab.stopAll();
  // The next intercept is to catch nothing of what a copy left that was ended in the middle of it.
  for (const port of [8080, 8085]) endConnections(lab.target, port);
  run(lab.target, XCOPY, "cleanup");
});
afterAll(() => lab.remove());

/** What the target sends in forged connections; real clients have higher ports. */
const GHOSTS = "src host 10.0.0.2 and (tcp dst portrange 10000-30000 or icmp)";
/** Ports no test has used: the target remembers connections for a while. */
let port = 10000;
const freshPort = (count = 1000) => {
  port += count;
  return port - count;
};

/** Requests of a real client one after the other, each by a connection of its own, until it is stopped. */
function startReal(url = `http://${TARGET}:8080/real`) {
  const loop = `while :; do curl -s -m 5 -o /dev/null ${url} && echo good || echo bad; done`;
  const running = lab.start(lab.client, ["sh", "-c", loop]);
  const count = (word: string) => running.output.filter((line) => line === word).length;
  return { running, good: () => count("good"), bad: () => count("bad") };
}

test("responses in forged connections go to the copy, and no other client notices", async () => {
  const nginx = await startNginx(lab, lab.target, 8080);
  const ghosts = await watchPackets(lab, lab.client, "net0", GHOSTS);
  const real = startReal();
  const intercept = await startCatching(lab, lab.target, ["-o", ":8080"]);
  await until("a real client is served", () => real.good() > 5);
  const copy = startFakeCopy(lab, lab.online, {
    ...SERVICE,
    sessions: 300,
    together: 10,
    firstPort: freshPort(),
    question: { what: "probe", client: CLIENTS[0]!, clientPort: 9999, server: TARGET, serverPort: 8080 },
  });
  await copy.done(300);
  expect(await copy.event("facts")).toMatchObject({
    id: 1,
    mode: "target",
    hook: "tcx",
    interfaces: ["lo", "net0"],
    caught: 0,
    route: { type: "unicast", interface: "net0", gateway: "10.0.0.1", mtu: 1500 },
    rpFilter: { all: expect.any(Number), interface: expect.any(Number) },
    ipForward: expect.any(Number),
    listening: true,
  });
  const before = real.good();
  await until("a real client is served on", () => real.good() > before + 5);
  expect(real.bad()).toBe(0);
  const welcome = await copy.event<{ cookie: string; services: object[] }>("welcome");
  expect(welcome.services).toContainEqual({ address: TARGET, port: 8080 });
  await intercept.settled(300);
  const { code, account } = await intercept.stop();
  expect(code).toBe(0);
  expect(account).toMatchObject({ mode: "target", source: "tcx", unrouted: 0, responses: { lost: 0 } });
  expect(account.flows.learned).toBe(300);
  expect(account.routed).toBe(account.responses.packets);
  expect(account.copies).toMatchObject([{ packets: account.routed }]);
  const requests = await readRequests(nginx);
  expect(requests.filter(({ content }) => content.includes("/fake"))).toHaveLength(300);
  expect(await ghosts.stop()).toEqual({ packets: 0, lines: [] });
});

test("a copy that has the key, and is none: the clients whose connections it wants notice nothing, and it gets nothing", async () => {
  await startNginx(lab, lab.target, 8080);
  const intercept = await startCatching(lab, lab.target, ["-o", ":8080", "--linger", "1"]);
  const held = [
    process.execPath,
    join(import.meta.dir, "../support/held.ts"),
    TARGET,
    "8080",
    "5",
    "20",
    "0",
  ];
  const clients = lab.start(lab.client, held);
  await clients.line(/^open/);
  const real = startReal();
  // As the target sees them.
  const peers = run(lab.target, "ss", "-Htn", "state", "established", "sport = :8080");
  const [, client, sourcePort] = /(10\.1\.\d+\.\d+)\]?:(\d+)/.exec(peers) as unknown as [
    string,
    string,
    string,
  ];
  const stranger = startFakeCopy(lab, lab.online, {
    ...SERVICE,
    clients: [client],
    sessions: 0,
    strangerTo: [Number(sourcePort)],
  });
  await intercept.report(
    "its registrations, and SYNs that are refused",
    ({ flows }) => flows.registered === 64_512 && flows.refused > 5,
  );
  const before = real.good();
  await until("a real client is served", () => real.good() > before + 5);
  const { responses } = await stranger.event<{ responses: number }>("report");
  expect([responses, stranger.events().filter(({ kind }) => kind === "report").length]).toEqual([0, 1]);
  // When these connections are over, their ports are for whoever comes.
  process.kill(clients.pid, "SIGUSR1");
  expect(await clients.exited).toBe(0);
  expect(real.bad()).toBe(0);
  await stranger.running.stop();
  await intercept.report("that nothing is left of it", ({ flows }) => flows.withdrawn >= 64_512);
  const { account } = await intercept.stop();
  expect(account.flows).toMatchObject({ confirmed: 0, active: 0 });
});

test("two copies at once, IPv6, several services, an address that is not the first, several connections", async () => {
  addAddress(lab.target, "net0", "10.0.0.99/24");
  ip("-n", lab.target, "route", "add", "fd00:1::/64", "via", "fd00::1");
  await startNginx(lab, lab.target, 8080);
  await startNginx(lab, lab.target, 8085);
  const services = ["-o", "10.0.0.99:8080,:8081-8090", "-o", `[${TARGET6}]:8080`];
  const intercept = await startCatching(lab, lab.target, [...services, "-b", TARGET]);
  const one = startFakeCopy(lab, lab.online, {
    ...SERVICE,
    target: "10.0.0.99",
    sessions: 50,
    together: 5,
    connections: 3,
    firstPort: freshPort(),
  });
  const other = startFakeCopy(lab, lab.online, {
    ...SERVICE,
    target: TARGET6,
    clients: CLIENTS6,
    sessions: 50,
    together: 5,
    firstPort: freshPort(),
  });
  const third = startFakeCopy(lab, lab.online, {
    ...SERVICE,
    targetPort: 8085,
    sessions: 50,
    together: 5,
    by: "register",
    firstPort: freshPort(),
  });
  for (const copy of [one, other, third]) await copy.done(50);
  await intercept.settled(140);
  const { account } = await intercept.stop();
  expect(account).toMatchObject({ unrouted: 0, flows: { learned: 100, registered: 50 } });
  expect(account.connections.accepted).toBe(5);
  expect(account.copies).toHaveLength(3);
  for (const { packets } of account.copies) expect(packets).toBeGreaterThanOrEqual(200);
  ip("-n", lab.target, "addr", "del", "10.0.0.99/24", "dev", "net0");
});

test("on the loopback interface", async () => {
  await startNginx(lab, lab.target, 8080);
  const intercept = await startCatching(lab, lab.target, ["-o", "127.0.0.1:8080", "-i", "lo"]);
  const copy = startFakeCopy(lab, lab.target, {
    ...SERVICE,
    intercept: "127.0.0.1",
    target: "127.0.0.1",
    clients: ["127.0.0.77"],
    sessions: 50,
    firstPort: freshPort(),
  });
  await copy.done(50);
  await intercept.settled(50);
  const { account } = await intercept.stop();
  expect(account).toMatchObject({ unrouted: 0, flows: { learned: 50 } });
});

test("killed, it lets no response to a forged connection out; started again, copies go on", async () => {
  await startNginx(lab, lab.target, 8080);
  const ghosts = await watchPackets(lab, lab.client, "net0", GHOSTS);
  const real = startReal();
  const first = await startCatching(lab, lab.target, ["-o", ":8080"]);
  const copy = startFakeCopy(lab, lab.online, {
    ...SERVICE,
    sessions: 2000,
    together: 10,
    firstPort: freshPort(2000),
  });
  await copy.event<{ ok: number }>("report", ({ ok }) => ok > 100);
  await first.running.stop("SIGKILL");
  await copy.event("closed");
  const second = await startCatching(lab, lab.target, ["-o", ":8080"]);
  const { ok } = await copy.event<{ ok: number }>("report", ({ ok }) => ok > 200);
  await copy.event<{ ok: number }>("report", (report) => report.ok > ok + 500);
  const seen = real.good();
  await until("a real client is served on", () => real.good() > seen + 5);
  expect(real.bad()).toBe(0);
  const { account } = await second.stop();
  expect(account.flows.learned).toBeGreaterThan(500);
  expect(await ghosts.stop()).toEqual({ packets: 0, lines: [] });
});
