/** A target that is down, comes back, or is slow: production does not notice, memory is bounded, the account is right. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { possibleCpus } from "../../src/capture/maps.ts";
import { ip, ONLINE, TARGET } from "../../src/demo/network.ts";
import { usageOf } from "../../src/demo/usage.ts";
import { ringBytesFor } from "../../src/host/memory.ts";
import { compareContents } from "../support/compare.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { readRequests, startNginx } from "../support/nginx.ts";
import { run } from "../support/process.ts";
import { load, startLoad } from "../support/wrk.ts";
import { faultsOf, hostState, runXcopy, startCopy } from "../support/xcopy.ts";

let lab: Lab;
beforeAll(() => {
  lab = createLab();
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

const TRANSFER = `80-${TARGET}:8080`;

test("a target that goes down and comes back costs copies while it is down, and nothing else", async () => {
  const online = await startNginx(lab, lab.online, 80);
  const first = await startNginx(lab, lab.target, 8080);
  const copy = await startCopy(lab, ["-x", TRANSFER]);
  const running = startLoad(lab, { url: `http://${ONLINE}`, rate: 1000, count: 6000 });

  await copy.report("answers", ({ turns }) => turns.answered > 1000);
  await first.stop();
  await copy.report("losses", ({ turns }) => turns.dropped > 500);
  const second = await startNginx(lab, lab.target, 8080);
  const back = Date.now() / 1000;
  const result = await running.result;
  const { code, report } = await copy.stop();

  expect(result).toMatchObject({ requests: 6000, errors: 0 });
  const sent = await readRequests(online);
  const arrived = [...(await readRequests(first)), ...(await readRequests(second))];
  const comparison = compareContents(
    sent.map(({ content }) => content),
    arrived.map(({ content }) => content),
  );
  expect(comparison).toMatchObject({ doubled: [], foreign: [] });
  // One second for the connection attempts of sessions that wait with a growing delay.
  const late = new Set(sent.filter(({ time }) => time > back + 1).map(({ content }) => content));
  expect(late.size).toBeGreaterThan(0);
  expect(comparison.missing.filter((content) => late.has(content))).toEqual([]);
  expect(faultsOf(copy.reports())).toEqual([]);
  expect(report.turns.captured).toBe(6000);
  expect(report.turns.dropped).toBeGreaterThanOrEqual(comparison.missing.length);
  expect(report.dropped.refused + report.dropped.reset).toBeGreaterThan(0);
  expect(code).toBe(0);
});

test("a target that vanishes and comes back is copied to again", async () => {
  await startNginx(lab, lab.online, 80);
  const target = await startNginx(lab, lab.target, 8080);
  const copy = await startCopy(lab, ["-x", TRANSFER]);
  const running = startLoad(lab, { url: `http://${ONLINE}`, rate: 500, count: 4000, close: true });

  await copy.report("answers", ({ turns }) => turns.answered > 500);
  ip("-n", lab.target, "link", "set", "net0", "down");
  const down = copy.reports().length;
  await copy.report("requests that wait", ({ turns }) => turns.pending > 500);
  ip("-n", lab.target, "link", "set", "net0", "up");
  const answered = copy.reports().at(-1)!.turns.answered;
  await copy.report("responses again", ({ turns }) => turns.answered > answered + 500);
  const result = await running.result;
  const { code } = await copy.stop();

  expect(result).toMatchObject({ requests: 4000, errors: 0 });
  expect(copy.reports().length).toBeGreaterThan(down);
  expect((await readRequests(target)).length).toBeGreaterThan(1000);
  expect(faultsOf(copy.reports())).toEqual([]);
  expect(code).toBe(0);
});

test("a target that takes 1 s per answer does not slow production down, and memory stays bounded", async () => {
  await startNginx(lab, lab.online, 80);
  const slow = lab.start(lab.target, [
    process.execPath,
    join(import.meta.dir, "../support/slow.ts"),
    "8080",
    "1000",
  ]);
  await slow.line(/^listening/);
  const before = await load(lab, { url: `http://${ONLINE}`, rate: 2000, count: 4000 });
  const copy = await startCopy(lab, ["-x", TRANSFER, "-m", "16", "--drain", "2"]);

  const running = startLoad(lab, { url: `http://${ONLINE}`, rate: 2000, count: 12000 });
  const usage = await copy
    .report("5 s of load", ({ turns }) => turns.captured > 10_000)
    .then(() => usageOf(copy.running.pid));
  const result = await running.result;
  const { code, report } = await copy.stop();

  expect(before).toMatchObject({ requests: 4000, errors: 0 });
  expect(result).toMatchObject({ requests: 12_000, errors: 0 });
  // An answer of production never waits for one of the target, which takes 1 s.
  expect(result.max).toBeLessThan(500_000);
  // The rings have a share of the host's memory, and what waits to be sent half as much from the start.
  const rings = possibleCpus() * ringBytesFor(null, possibleCpus(), 256 << 10);
  expect(usage.resident).toBeLessThan(200e6 + 1.5 * rings);
  for (const { memory_bytes } of copy.reports()) expect(memory_bytes).toBeLessThanOrEqual(16 << 20);
  expect(faultsOf(copy.reports())).toEqual([]);
  expect(report.turns.captured).toBe(12_000);
  expect(report.turns.pending).toBe(0);
  expect(report.turns.answered).toBeGreaterThan(100);
  expect(report.turns.dropped).toBeGreaterThan(0);
  expect(code).toBe(0);
});

test("more waiting requests than -m allows are dropped for that reason", async () => {
  await startNginx(lab, lab.online, 80);
  const slow = lab.start(lab.target, [
    process.execPath,
    join(import.meta.dir, "../support/slow.ts"),
    "8080",
    "60000",
  ]);
  await slow.line(/^listening/);
  const copy = await startCopy(lab, ["-x", TRANSFER, "-m", "16", "--drain", "2"]);
  const command = [process.execPath, join(import.meta.dir, "../support/post.ts")];
  const client = lab.start(lab.client, [...command, `http://${ONLINE}`, "1000000", "60", "8"]);

  expect(await client.exited).toBe(0);
  const { code, report } = await copy.stop();

  for (const { memory_bytes } of copy.reports()) expect(memory_bytes).toBeLessThanOrEqual(16 << 20);
  expect(report.dropped.memory).toBeGreaterThan(0);
  expect(faultsOf(copy.reports())).toEqual([]);
  expect(code).toBe(0);
});

for (const { name, target, pattern } of [
  {
    name: "that refuses connections",
    target: TARGET,
    pattern: /Cannot reach target "10\.0\.0\.2:9": .*refused/,
  },
  { name: "that does not answer", target: "10.0.0.77", pattern: /Cannot \S.* "10\.0\.0\.77/ },
]) {
  test(`a target ${name} at the start is an error that names it, and nothing is left behind`, async () => {
    const before = hostState(lab.online);
    const { code, errors } = await runXcopy(lab, ["copy", "-x", `80-${target}:9`]);
    expect(errors).toMatch(pattern);
    expect(code).toBe(3);
    expect(hostState(lab.online)).toBe(before);
  });
}

test("a service address that netfilter translates is told from a service that is down, with the server's address", async () => {
  await startNginx(lab, lab.target, 8080);
  ip("-n", lab.online, "route", "add", "10.96.0.0/16", "via", TARGET);
  const rule = ["-t", "nat", "-A", "OUTPUT", "-d", "10.96.0.10", "-p", "tcp", "-j", "DNAT"];
  run(lab.online, "iptables", ...rule, "--to-destination", `${TARGET}:8080`);
  const { code, errors } = await runXcopy(lab, ["copy", "-x", "80-10.96.0.10:80"]);
  expect(errors).toMatch(/10\.96\.0\.10:80 is an address that .* translates to 10\.0\.0\.2:8080/);
  expect(errors).toMatch(/Name the server itself: 10\.0\.0\.2:8080 in place of 10\.96\.0\.10:80/);
  expect(code).toBe(3);
});

test("--force starts with a target that is down, and copies when it is up", async () => {
  await startNginx(lab, lab.online, 80);
  const copy = await startCopy(lab, ["-x", TRANSFER, "--force", "--drain", "2"]);
  const target = await startNginx(lab, lab.target, 8080);

  expect(await load(lab, { url: `http://${ONLINE}`, rate: 500, count: 500 })).toMatchObject({ errors: 0 });
  const { code, report } = await copy.stop();

  expect(report.turns).toMatchObject({ captured: 500, sent: 500, answered: 500, dropped: 0 });
  expect((await readRequests(target)).length).toBe(500);
  expect(code).toBe(0);
});
