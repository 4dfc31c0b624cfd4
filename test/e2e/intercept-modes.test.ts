/** `xcopy intercept` where the kernel learns no flows: on an assistant, by a netfilter queue, for tcpcopy 1.x. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { TARGET, TARGET6 } from "../../src/demo/network.ts";
import type { InterceptAccount } from "../../src/intercept/summary.ts";
import { ASSISTANT, createAssistant } from "../support/assistant.ts";
import { type Catching, startCatching, startFakeCopy } from "../support/fake-copies.ts";
import { createLab, endConnections, type Lab } from "../support/lab.ts";
import { startNginx } from "../support/nginx.ts";
import { run } from "../support/process.ts";
import { XCOPY } from "../support/xcopy.ts";

const CLIENTS = ["10.1.0.5", "10.1.0.6"];
const CLIENTS6 = ["fd00:1::5"];
const FILTER = ["-i", "net0", "-F", "tcp and src port 8080"];

/** For the tcpcopys of the online host. */
const TCPCOPY = ["--compat", "--compat-from", "10.0.0.1"];

let lab: Lab;
let assistant: string;
beforeAll(() => {
  lab = createLab({ manyClients: false });
  assistant = createAssistant(lab, [...CLIENTS, ...CLIENTS6]);
});
afterEach(async () => {
  await lab.stopAll();
  // The next intercept is to catch nothing of what a copy left that was ended in the middle of it.
  endConnections(lab.target, 8080);
  for (const namespace of [lab.target, assistant]) run(namespace, XCOPY, "cleanup");
});
afterAll(() => lab.remove());

/** Ports no test has used: the target remembers connections for a while. */
let port = 10000;
const freshPort = (count = 1000) => {
  port += count;
  return port - count;
};

const ROUTED = {
  intercept: ASSISTANT,
  target: TARGET,
  targetPort: 8080,
  clients: CLIENTS,
  by: "register",
} as const;

test.each([
  ["tcx", {}, {}],
  ["xdp", {}, {}],
  ["tcx", { clients: CLIENTS6, target: TARGET6 }, {}],
  ["xdp", { clients: CLIENTS6, target: TARGET6 }, {}],
  ["tcx", { by: "ranges" as const }, { registered: 0 }],
])("an assistant catches by %s what is routed by it: %j", async (hook, options, flows) => {
  run(assistant, "sysctl", "-qw", "net.ipv4.ip_forward=1");
  await startNginx(lab, lab.target, 8080);
  const intercept = await startCatching(lab, assistant, [...FILTER, "--hook", hook]);
  const copy = startFakeCopy(lab, lab.online, {
    ...ROUTED,
    sessions: 50,
    together: 5,
    firstPort: freshPort(),
    ...options,
  });
  await copy.done(50);
  await intercept.settled(50);
  const { code, account } = await intercept.stop();
  expect(code).toBe(0);
  expect(account).toMatchObject({ mode: "assistant", source: hook, unrouted: 0, flows });
  expect(account.routed).toBe(account.responses.packets);
});

test("a response that comes before its registration waits for it, at most 3 s", async () => {
  await startNginx(lab, lab.target, 8080);
  const intercept = await startCatching(lab, assistant, FILTER);
  const copy = startFakeCopy(lab, lab.online, {
    ...ROUTED,
    sessions: 20,
    together: 20,
    registerAfter: 200,
    firstPort: freshPort(),
  });
  const held = await intercept.report("held responses", (account) => account.held > 0);
  expect(held.routed + held.unrouted + held.held).toBe(held.responses.packets);
  await copy.done(20);
  // More where the target has had the time to repeat itself.
  const isReleased = ({ released, held }: InterceptAccount) => released >= 20 && held === 0;
  expect((await intercept.report("released ones", isReleased)).unrouted).toBe(0);
  startFakeCopy(lab, lab.online, {
    ...ROUTED,
    sessions: 1,
    by: "nothing",
    firstPort: freshPort(),
  });
  await intercept.report("one that is nobody's", ({ unrouted }) => unrouted > 0);
  const { account } = await intercept.stop();
  expect(account.held).toBe(0);
  expect(account.routed + account.unrouted).toBe(account.responses.packets);
});

test("a restarted copy and a restarted intercept connect again", async () => {
  await startNginx(lab, lab.target, 8080);
  const first = await startCatching(lab, assistant, FILTER);
  const copy = startFakeCopy(lab, lab.online, {
    ...ROUTED,
    sessions: 5000,
    together: 5,
    firstPort: freshPort(5000),
  });
  await copy.event<{ ok: number }>("report", ({ ok }) => ok > 50);
  await first.running.stop("SIGKILL");
  const second = await startCatching(lab, assistant, FILTER);
  await second.report("copied sessions", ({ routed }) => routed > 200);
  await copy.running.stop();
  await second.report("no copy", ({ clients }) => clients === 0);
  const other = startFakeCopy(lab, lab.online, { ...ROUTED, sessions: 20, firstPort: freshPort() });
  await other.done(20);
  expect((await second.stop()).account.copies).toHaveLength(2);
});

test("packets that a killed intercept's guard drops by XDP are caught by the next intercept by tcx", async () => {
  await startNginx(lab, lab.target, 8080);
  const first = await startCatching(lab, assistant, [...FILTER, "--hook", "xdp"]);
  expect(first.running.errors.join("\n")).toMatch(/ by xdp on .*net0 \(in the driver\)/);
  await first.running.stop("SIGKILL");
  const second = await startCatching(lab, assistant, FILTER);
  const copy = startFakeCopy(lab, lab.online, { ...ROUTED, sessions: 20, firstPort: freshPort() });
  await copy.done(20);
  expect(second.last()!.source).toBe("tcx");
});

test.each(["combined", "separate"] as const)("a tcpcopy 1.x is served, %s", async (compat) => {
  await startNginx(lab, lab.target, 8080);
  const words = compat === "combined" ? ["-n", "8"] : ["--disable-combined"];
  const intercept = await startCatching(lab, assistant, [...FILTER, ...TCPCOPY, ...words]);
  const copy = startFakeCopy(lab, lab.online, {
    ...ROUTED,
    compat,
    sessions: 50,
    together: 5,
    connections: 2,
    firstPort: freshPort(),
  });
  await copy.done(50);
  await intercept.settled(50);
  const { account } = await intercept.stop();
  expect(account.flows.registered).toBe(100);
});

/** For 3 s others share the responses with a tcpcopy that is there. */
async function secondsLater(intercept: Catching, span: number): Promise<void> {
  const { seconds } = await intercept.report(
    "a copy",
    (account) => account === intercept.last() && account.clients === 1,
  );
  await intercept.report(`${span} s with a copy`, (account) => account.seconds > seconds + span);
}

test("a tcpcopy 1.x that registers nothing gets all responses, until another replaces it", async () => {
  await startNginx(lab, lab.target, 8080);
  const single = { ...ROUTED, by: "nothing", compat: "combined" } as const;
  const intercept = await startCatching(lab, assistant, [...FILTER, ...TCPCOPY, "--single"]);
  const one = startFakeCopy(lab, lab.online, { ...single, sessions: 20, firstPort: freshPort() });
  await one.done(20);
  await intercept.settled(20);
  await secondsLater(intercept, 3.5);
  const other = startFakeCopy(lab, lab.online, { ...single, sessions: 20, firstPort: freshPort() });
  await one.event("closed");
  await other.event("welcome");
});

test("with -c another is refused", async () => {
  const intercept = await startCatching(lab, assistant, [...FILTER, ...TCPCOPY, "--single", "-c"]);
  const single = { ...ROUTED, by: "nothing", compat: "combined", sessions: 0 } as const;
  const one = startFakeCopy(lab, lab.online, single);
  await one.event("welcome");
  await secondsLater(intercept, 3.5);
  startFakeCopy(lab, lab.online, single);
  await intercept.running.line(/^warning: refused 10\.0\.0\.1:\d+: .* is connected, and -c protects it/);
  expect(one.events().filter(({ kind }) => kind === "closed")).toEqual([]);
});

test("on the target a tcpcopy 1.x registers its flows, and real clients are served", async () => {
  await startNginx(lab, lab.target, 8080);
  const intercept = await startCatching(lab, lab.target, ["-o", ":8080", ...TCPCOPY]);
  const copy = startFakeCopy(lab, lab.online, {
    ...ROUTED,
    intercept: TARGET,
    compat: "combined",
    sessions: 50,
    together: 5,
    firstPort: freshPort(),
  });
  await copy.done(50);
  run(lab.client, "curl", "-sf", "-m", "5", "-o", "/dev/null", `http://${TARGET}:8080/`);
  expect((await intercept.stop()).account.flows).toMatchObject({ learned: 0, registered: 50 });
});

test("a netfilter queue: responses are caught or pass, and the rule is removed at the end", async () => {
  await startNginx(lab, lab.target, 8080);
  const rules = () => run(lab.target, "sh", "-c", "iptables-save; ip6tables-save; nft list ruleset");
  const words = ["--mode", "nfqueue", "-o", ":8080", "-x", "10.1.0.2", "-q", "4096"];
  const intercept = await startCatching(lab, lab.target, words);
  expect(rules()).toMatch(/xcopy/);
  const copy = startFakeCopy(lab, lab.online, {
    ...ROUTED,
    intercept: TARGET,
    sessions: 50,
    together: 5,
    firstPort: freshPort(),
  });
  await copy.done(50);
  run(lab.client, "curl", "-sf", "-m", "5", "-o", "/dev/null", `http://${TARGET}:8080/`);
  const { account } = await intercept.stop();
  expect(account).toMatchObject({ mode: "nfqueue", responses: { lost: 0 } });
  expect(account.routed).toBeGreaterThanOrEqual(200);
  expect(rules()).not.toMatch(/xcopy|queue/i);
});
