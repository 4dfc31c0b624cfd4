/** Slow targets, targets that never answer, sessions older than xcopy, and many sessions of one client. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { ONLINE, TARGET } from "../../src/demo/network.ts";
import { compareContents, EXACTLY_ONCE } from "../support/compare.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { readRequests, startNginx } from "../support/nginx.ts";
import { run } from "../support/process.ts";
import { startScript, startService } from "../support/scripts.ts";
import { contentsOf, startServices, TRANSFER, URL_ONLINE } from "../support/served.ts";
import { load } from "../support/wrk.ts";
import { faultsOf, startCopy } from "../support/xcopy.ts";

let lab: Lab;
beforeAll(() => {
  lab = createLab({ manyClients: false });
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

const PATIENCE = ["--drain", "60"];

function pathOf(content: string): string {
  return /"GET (\S+) /.exec(content)![1]!;
}

for (const close of [false, true]) {
  const kind = close ? "short connections" : "keep-alive";
  test(`a target ten times as slow gets everything, later, ${kind}`, async () => {
    const online = await startNginx(lab, lab.online, 80);
    const target = await startService(lab, lab.target, "serial.ts", "8080", "5");
    // The last answer comes 2 s late; sooner than that no connection is to be closed.
    const copy = await startCopy(lab, ["-x", TRANSFER, "--turn-timeout", "60", ...PATIENCE]);
    const result = await load(lab, { url: URL_ONLINE, rate: 2000, count: 500, connections: 50, close });
    const { code, report } = await copy.stop();

    expect(result).toMatchObject({ requests: 500, errors: 0 });
    expect(Math.max(...copy.reports().map(({ turns }) => turns.pending))).toBeGreaterThan(125);
    const paths = (await contentsOf(online)).map(pathOf);
    expect(compareContents(paths, target.output.slice(1))).toEqual(EXACTLY_ONCE);
    expect(report.turns).toMatchObject({ captured: 500, sent: 500, answered: 500, dropped: 0 });
    expect(faultsOf(copy.reports())).toEqual([]);
    expect(code).toBe(0);
  });

  test(`one client address that uses every source port several times, as we do, ${kind}`, async () => {
    const range = run(lab.client, "sysctl", "-n", "net.ipv4.ip_local_port_range").trim();
    run(lab.client, "sysctl", "-qw", "net.ipv4.ip_local_port_range=32768 34767");
    const { online, target } = await startServices(lab);
    const copy = await startCopy(lab, ["-x", TRANSFER, "--ports", "2000-3999", ...PATIENCE]);
    const count = close ? 14_000 : 4000;
    const result = await load(lab, { url: URL_ONLINE, rate: 2000, count, close });
    const { code, report } = await copy.stop();
    run(lab.client, "sysctl", "-qw", `net.ipv4.ip_local_port_range=${range}`);

    expect(result).toMatchObject({ requests: count, errors: 0 });
    expect(new Set((await readRequests(online)).map(({ address }) => address)).size).toBe(1);
    expect(compareContents(await contentsOf(online), await contentsOf(target))).toEqual(EXACTLY_ONCE);
    expect(report.turns).toMatchObject({ captured: count, sent: count, answered: count, dropped: 0 });
    expect(faultsOf(copy.reports())).toEqual([]);
    expect(code).toBe(0);
  });
}

for (const full of [false, true]) {
  test(`50 connections older than xcopy ${full ? "are left alone with -O" : "are copied from their next request on"}`, async () => {
    const { online, target } = await startServices(lab);
    const client = startScript(lab, lab.client, "held.ts", ONLINE, "80", "50", "20", "0");
    await client.line(/^open$/);
    const copy = await startCopy(lab, ["-x", TRANSFER, ...PATIENCE, ...(full ? ["-O"] : [])]);
    const before = await contentsOf(online);
    process.kill(client.pid, "SIGUSR1");
    expect(await client.exited).toBe(0);
    // A connection that is younger.
    await load(lab, { url: URL_ONLINE, rate: 100, count: 10, connections: 1 });
    const { code, report } = await copy.stop();

    expect(before.length).toBe(50);
    const comparison = compareContents(await contentsOf(online), await contentsOf(target));
    expect(comparison).toMatchObject({ doubled: [], foreign: [] });
    // Of the requests after the start, of each connection the first at most: where it begins cannot be told.
    const missing = compareContents(comparison.missing, before).missing;
    if (full) {
      expect(missing.length).toBe(50 * 20);
      expect(report.turns).toMatchObject({ captured: 10, sent: 10 });
      expect(report.sessions.midstream).toBe(0);
    } else {
      expect(missing.length).toBe(report.dropped.midstream);
      expect(missing.length).toBeLessThanOrEqual(50);
      expect(report.turns).toMatchObject({ captured: 50 * 20 + 10, dropped: report.dropped.midstream });
      expect(report.sessions.midstream).toBe(50);
    }
    expect(faultsOf(copy.reports())).toEqual([]);
    expect(code).toBe(0);
  });
}

for (const { name, args, overdue } of [
  { name: "-W: sent as the client did", args: ["-W"], overdue: false },
  { name: "--turn-timeout: sent when the time is over", args: ["--turn-timeout", "0.05"], overdue: true },
]) {
  test(`a target that never answers gets everything, ${name}`, async () => {
    await startService(lab, lab.online, "greeter.ts", "25", "0");
    const target = await startService(lab, lab.target, "sink.ts", "25", "mute");
    const copy = await startCopy(lab, ["-x", `25-${TARGET}`, ...PATIENCE, ...args]);
    const client = startScript(lab, lab.client, "greeted.ts", ONLINE, "25", "20", "50");
    expect(await client.exited).toBe(0);
    const { code, report } = await copy.stop();

    const sent = Array.from({ length: 20 }, (_, index) => {
      const lines = client.output.filter((line) => line.split(" ")[1] === `${index}`);
      const text = lines.map((line) => `${line}\r\n`).join("");
      return `${text.length} ${new Bun.CryptoHasher("md5").update(text).digest("hex")}`;
    });
    expect(client.output.length).toBe(20 * 51);
    expect(target.output.slice(1).toSorted()).toEqual(sent.toSorted());
    expect(report.turns).toMatchObject({ captured: 20 * 51, sent: 20 * 51, answered: 0, dropped: 0 });
    if (overdue) expect(report.overdue).toBeGreaterThan(0);
    expect(faultsOf(copy.reports())).toEqual([]);
    expect(code).toBe(0);
  });
}

for (const pace of ["clock", "think"]) {
  test(`--pace ${pace}: requests that waited for a stopped target go ${pace === "clock" ? "at once" : "at the client's pace"}`, async () => {
    const { target } = await startServices(lab);
    const copy = await startCopy(lab, ["-x", TRANSFER, ...PATIENCE, "--pace", pace]);
    const client = startScript(lab, lab.client, "held.ts", ONLINE, "80", "5", "10", "200");
    await client.line(/^open$/);
    await copy.report("5 answers", ({ turns }) => turns.answered === 5);
    process.kill(target.pid, "SIGSTOP");
    process.kill(client.pid, "SIGUSR1");
    expect(await client.exited).toBe(0);
    process.kill(target.pid, "SIGCONT");
    const { code, report } = await copy.stop();

    expect(report.turns).toMatchObject({ captured: 55, sent: 55, answered: 55, dropped: 0 });
    expect(report.overdue).toBe(0);
    const requests = await readRequests(target);
    expect(requests.length).toBe(55);
    for (const its of Map.groupBy(requests, ({ port }) => port).values()) {
      const times = its.map(({ time }) => time);
      // From the second request on: nobody waits between the first and the second, which was there already.
      const pauses = times.slice(2).map((time, index) => time - times[index + 1]!);
      // ms of nginx are those of the beginning of a round of its loop.
      if (pace === "think") expect(Math.min(...pauses)).toBeGreaterThan(0.19);
      else expect(Math.min(...pauses)).toBeLessThan(0.19);
    }
    expect(code).toBe(0);
  });
}
