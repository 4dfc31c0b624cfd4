/** The port that copies connect to: other connections to it do not affect copies. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { TARGET } from "../../src/demo/network.ts";
import { startCatching, startFakeCopy } from "../support/fake-copies.ts";
import { KEY } from "../support/key.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { startNginx } from "../support/nginx.ts";
import { run } from "../support/process.ts";
import { until } from "../support/until.ts";
import { XCOPY } from "../support/xcopy.ts";

const SERVICE = {
  intercept: TARGET,
  target: TARGET,
  targetPort: 8080,
  clients: ["10.1.0.5"],
  by: "cookie",
} as const;

let lab: Lab;
beforeAll(() => {
  lab = createLab();
});
afterEach(async () => {
  await lab.stopAll();
  run(lab.target, XCOPY, "cleanup");
});
afterAll(() => lab.remove());

/** Ports no test has used: the target remembers connections for a while. */
let port = 10000;
const freshPort = (count = 1000) => {
  port += count;
  return port - count;
};

function knock(how: string, count: number) {
  const script = join(import.meta.dir, "../support/knock.ts");
  const words = [process.execPath, script, TARGET, "36524", how, `${count}`];
  return lab.start(lab.online, ["sh", "-c", 'ulimit -n 20000; exec "$@"', "sh", ...words]);
}

test("only copies with the key are admitted, and others are told why not", async () => {
  await startNginx(lab, lab.target, 8080);
  const intercept = await startCatching(lab, lab.target, ["-o", ":8080"]);
  const { key } = await intercept.report("its key", (account) => account.key !== null);
  expect(key).toMatch(/^SHA256:[\w+/]{22}$/);
  expect(intercept.running.errors.join("\n")).toContain(`key ${key} (XCOPY_KEY)\n`);
  const friend = startFakeCopy(lab, lab.online, {
    ...SERVICE,
    sessions: 20,
    firstPort: freshPort(),
  });
  await friend.done(20);
  expect(await friend.event("welcome")).toMatchObject({ authenticated: true });
  const stranger = startFakeCopy(lab, lab.online, { ...SERVICE, key: `${KEY}.`, sessions: 1 });
  const keyless = startFakeCopy(lab, lab.online, { ...SERVICE, key: null, sessions: 1 });
  expect(await stranger.event("closed")).toMatchObject({ code: "wrong key" });
  expect(await keyless.event("closed")).toMatchObject({ code: "copy without key" });
  await intercept.running.line(
    /^warning: refused 10\.0\.0\.1:\d+: the copy and the intercept have different keys/,
  );
  const { account } = await intercept.stop();
  expect(account.connections.failed).toMatchObject({
    "wrong key": expect.any(Number),
    "copy without key": expect.any(Number),
  });
  expect(account.copies).toHaveLength(1);
});

test("with --insecure it listens on one address only, says so, and takes no registrations", async () => {
  await startNginx(lab, lab.target, 8080);
  const intercept = await startCatching(lab, lab.target, ["-o", ":8080", "--insecure"]);
  await intercept.running.line(/^warning: --insecure: .* any host that can connect to 10\.0\.0\.2:36524/);
  const sockets = run(lab.target, "ss", "-Hltn", "sport = :36524").trim().split("\n");
  expect(sockets).toEqual([expect.stringContaining("10.0.0.2:36524")]);
  const open = { ...SERVICE, key: null, firstPort: freshPort() };
  await startFakeCopy(lab, lab.online, { ...open, sessions: 20 }).done(20);
  const stranger = startFakeCopy(lab, lab.online, { ...open, by: "register", sessions: 1 });
  expect(await stranger.event("closed")).toMatchObject({ code: "registration" });
  await intercept.running.line(
    /^copy 10\.0\.0\.1:\d+ is gone: an intercept without a key takes no registrations/,
  );
  const { account } = await intercept.stop();
  expect(account.connections.failed.registration).toBeGreaterThan(0);
  expect(account.flows).toMatchObject({ learned: 20, registered: 0 });
  expect(account.key).toBeNull();
});

test("scanners, garbage and 10,000 connections cost copies nothing", async () => {
  await startNginx(lab, lab.target, 8080);
  const intercept = await startCatching(lab, lab.target, ["-o", ":8080"]);
  const copy = startFakeCopy(lab, lab.online, {
    ...SERVICE,
    sessions: 20_000,
    together: 5,
    firstPort: freshPort(20_000),
  });
  await copy.event<{ ok: number }>("report", ({ ok }) => ok > 50);
  for (const [how, count] of [
    ["scan", 2000],
    ["garbage", 1000],
    ["silent", 10_000],
  ] as const) {
    const knocking = knock(how, count);
    await knocking.line(/^done /, 30_000);
    const { ok } =
      (await copy.event<{ ok: number }>("report")) && (copy.events().at(-1) as unknown as { ok: number });
    await copy.event<{ ok: number }>("report", (report) => report.ok > ok + 50);
  }
  const account = await intercept.report(
    "10,000 connections",
    ({ connections }) => connections.accepted > 13_000,
  );
  expect(account.connections.unfinished).toBeLessThanOrEqual(64);
  expect(account.clients).toBe(1);
  // Far below what 13,000 connections would take: 4 MiB wait for a copy at most.
  expect(intercept.last()!.rss_mb).toBeLessThan(250);
  expect(copy.events().filter(({ kind }) => kind === "closed")).toEqual([]);
  expect(copy.events().at(-1)).toMatchObject({ failed: 0 });
  await until("unfinished handshakes end", () => intercept.last()?.connections.unfinished === 0);
});

test("a copy that stops reading does not slow another down", async () => {
  await startNginx(lab, lab.target, 8080);
  const intercept = await startCatching(lab, lab.target, ["-o", ":8080"]);
  const stuck = startFakeCopy(lab, lab.online, {
    ...SERVICE,
    sessions: 100_000,
    together: 5,
    firstPort: freshPort(),
  });
  await stuck.event<{ ok: number }>("report", ({ ok }) => ok > 50);
  process.kill(stuck.running.pid, "SIGSTOP");
  const copy = startFakeCopy(lab, lab.online, {
    ...SERVICE,
    clients: ["10.1.0.6"],
    sessions: 300,
    together: 5,
    firstPort: freshPort(),
  });
  await copy.done(300);
  expect(intercept.last()).toMatchObject({ clients: 2 });
});
