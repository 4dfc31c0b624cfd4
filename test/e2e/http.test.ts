/** nginx to nginx: every request that online answered arrives at the target exactly once, byte for byte. */
// Runs alone: it takes all of the machine.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { ONLINE, TARGET } from "../../src/demo/network.ts";
import { brokenConnections, watchPackets } from "../support/capture.ts";
import { compareContents, EXACTLY_ONCE } from "../support/compare.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { type Nginx, readRequests, startNginx } from "../support/nginx.ts";
import { load } from "../support/wrk.ts";
import { faultsOf, startCopy } from "../support/xcopy.ts";

let lab: Lab;
beforeAll(() => {
  lab = createLab();
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

const TRANSFER = `80-${TARGET}:8080`;

async function startServices(): Promise<{ online: Nginx; target: Nginx }> {
  return {
    online: await startNginx(lab, lab.online, 80),
    target: await startNginx(lab, lab.target, 8080),
  };
}

for (const { name, rate, close } of [
  { name: "5,000 keep-alive requests per second", rate: 5000, close: false },
  { name: "3,000 connections per second, one request each", rate: 3000, close: true },
]) {
  test(`copies ${name} exactly once, and the client sees no difference`, async () => {
    const { online, target } = await startServices();
    const copy = await startCopy(lab, ["-x", TRANSFER]);
    const leaks = await watchPackets(lab, lab.client, "net0", `src host ${TARGET}`);
    const broken = brokenConnections(lab.client);

    const result = await load(lab, { url: `http://${ONLINE}`, rate, count: rate * 10, close });
    const { code, report } = await copy.stop();

    expect(result).toMatchObject({ requests: rate * 10, errors: 0 });
    expect(await leaks.stop()).toEqual({ packets: 0, lines: [] });
    expect(brokenConnections(lab.client)).toBe(broken);
    const sent = await readRequests(online);
    const arrived = await readRequests(target);
    expect(sent.length).toBe(rate * 10);
    expect(new Set(sent.map(({ address }) => address)).size).toBe(59);
    expect(
      compareContents(
        sent.map(({ content }) => content),
        arrived.map(({ content }) => content),
      ),
    ).toEqual(EXACTLY_ONCE);
    expect(faultsOf(copy.reports())).toEqual([]);
    expect(report.turns).toEqual({
      captured: rate * 10,
      sent: rate * 10,
      answered: rate * 10,
      dropped: 0,
      pending: 0,
    });
    expect(code).toBe(0);
  });
}

for (const { name, bytes, count } of [
  { name: "100 KB", bytes: 100_000, count: 200 },
  { name: "1 MB", bytes: 1_000_000, count: 60 },
]) {
  test(`copies bodies of ${name} unharmed, with the offloads of veth on`, async () => {
    const { online, target } = await startServices();
    const copy = await startCopy(lab, ["-x", TRANSFER]);

    const command = [process.execPath, join(import.meta.dir, "../support/post.ts")];
    const client = lab.start(lab.client, [...command, `http://${ONLINE}`, `${bytes}`, `${count}`, "8"]);
    expect(await client.exited).toBe(0);
    const { code, report } = await copy.stop();

    const posted = client.output.toSorted();
    expect(posted.length).toBe(count);
    expect(await digests(online)).toEqual(posted);
    expect(await digests(target)).toEqual(posted);
    expect(faultsOf(copy.reports())).toEqual([]);
    expect(report.turns).toMatchObject({ dropped: 0, pending: 0 });
    expect(code).toBe(0);
  });
}

/** Path and md5 of every body that the server stored, like the lines of the client. */
async function digests(server: Nginx): Promise<string[]> {
  const requests = await readRequests(server);
  const lines = requests.map(async ({ content, body }) => {
    const path = /"POST (\S+) /.exec(content)?.[1];
    const digest = new Bun.CryptoHasher("md5").update(await Bun.file(body).arrayBuffer());
    return `${path} ${digest.digest("hex")}`;
  });
  return (await Promise.all(lines)).toSorted();
}
