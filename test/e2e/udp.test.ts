/** UDP to UDP, with real DNS servers: every question that online was asked the target is asked once, and nobody notices. */
import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ONLINE, ONLINE6, TARGET, TARGET6 } from "../../src/demo/network.ts";
import { watchPackets } from "../support/capture.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { startNginx } from "../support/nginx.ts";
import { run } from "../support/process.ts";
import { HOSTS, startUnbound } from "../support/unbound.ts";
import { datagramFaultsOf, startCopy } from "../support/xcopy.ts";

setDefaultTimeout(60_000);

let lab: Lab;
beforeAll(() => {
  lab = createLab({ manyClients: false });
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

/** What must not be seen: the target's packets at the client, errors of anybody, and what leaves online unasked. */
async function watchStrays() {
  const client = await watchPackets(
    lab,
    lab.client,
    "net0",
    `src host ${TARGET} or src host ${TARGET6} or icmp or icmp6[0] = 1 or icmp6[0] = 3`,
  );
  const online = await watchPackets(lab, lab.online, "back", "icmp or icmp6[0] = 1 or icmp6[0] = 3");
  return async () => ({ client: await client.stop(), online: await online.stop() });
}

const NONE = { packets: 0, lines: [] };

/** dnsperf asks `count` times for the hosts in turn; resolves with the number of answers. */
async function ask(server: string, count: number, rate: number): Promise<number> {
  const file = join(lab.directory, "questions");
  writeFileSync(
    file,
    Array.from({ length: count }, (_, index) => `host${index % HOSTS}.example A\n`).join(""),
  );
  const options = ["-s", server, "-d", file, "-n", "1", "-Q", `${rate}`, "-c", "20", "-T", "2"];
  const dnsperf = lab.start(lab.client, ["dnsperf", ...options]);
  expect(await dnsperf.exited).toBe(0);
  const line = dnsperf.output.find((text) => text.includes("Queries completed:"));
  return Number(/completed:\s+(\d+)/.exec(line!)![1]);
}

test("copies DNS over IPv4 and IPv6 beside TCP, each question once", async () => {
  const online = await startUnbound(lab, lab.online, 53);
  const target = await startUnbound(lab, lab.target, 5353);
  await startNginx(lab, lab.online, 80);
  await startNginx(lab, lab.target, 8080);
  const copy = await startCopy(lab, [
    "-x",
    `udp:53-${TARGET}:5353`,
    "-x",
    `udp:[${ONLINE6}]:53-[${TARGET6}]:5353,tcp:80-${TARGET}:8080`,
  ]);
  const strays = await watchStrays();

  expect(await ask(ONLINE, 20_000, 10_000)).toBe(20_000);
  expect(await ask(ONLINE6, 2000, 4000)).toBe(2000);
  for (let i = 0; i < 5; i++) run(lab.client, "curl", "-s", `http://${ONLINE}/${i}`);
  const asked = 22_000;
  await copy.report(
    "all answered",
    ({ udp, turns }) => udp!.datagrams.answered === asked && turns.answered === 5,
  );
  const { code, report } = await copy.stop();

  expect(await strays()).toEqual({ client: NONE, online: NONE });
  const questions = online.questions();
  expect(questions.length).toBe(asked);
  expect(target.questions().toSorted()).toEqual(questions.toSorted());
  expect(report.udp!.datagrams).toEqual({
    captured: asked,
    sent: asked,
    answered: asked,
    unanswered: 0,
    waiting: 0,
    dropped: 0,
  });
  expect(report.turns).toMatchObject({ captured: 5, answered: 5 });
  expect(datagramFaultsOf(copy.reports())).toEqual([]);
  expect(code).toBe(0);
});
