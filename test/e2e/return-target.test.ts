/** Real client addresses at the target: `copy -s` and an intercept on the target, nginx on both sides. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { ONLINE, ONLINE6, TARGET, TARGET6 } from "../../src/demo/network.ts";
import { brokenConnections, watchPackets } from "../support/capture.ts";
import { compareContents, EXACTLY_ONCE } from "../support/compare.ts";
import { startIntercept } from "../support/intercept.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { type LoggedRequest, readRequests, startNginx } from "../support/nginx.ts";
import { load } from "../support/wrk.ts";
import { faultsOf, startCopy } from "../support/xcopy.ts";

const SECONDS = 3;

let lab: Lab;
beforeAll(() => {
  lab = createLab();
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

/** What was asked, and by whom. */
const askedBy = ({ content, address }: LoggedRequest) => `${address} ${content}`;

for (const { name, rate, close, online, target } of [
  { name: "5,000 keep-alive requests per second", rate: 5000, close: false, online: ONLINE, target: TARGET },
  { name: "3,000 connections per second", rate: 3000, close: true, online: ONLINE, target: TARGET },
  { name: "IPv6, keep-alive", rate: 1000, close: false, online: `[${ONLINE6}]`, target: `[${TARGET6}]` },
  {
    name: "IPv6, short connections",
    rate: 1000,
    close: true,
    online: `[${ONLINE6}]`,
    target: `[${TARGET6}]`,
  },
]) {
  test(`${name}: the target sees each request once, from its client`, async () => {
    const [from, to] = [await startNginx(lab, lab.online, 80), await startNginx(lab, lab.target, 8080)];
    const intercept = await startIntercept(lab, lab.target, ["-o", ":8080", "--linger", "1"]);
    const copy = await startCopy(lab, ["-x", `80-${target}:8080`, "-s", TARGET]);
    const atClient = await watchPackets(lab, lab.client, "net0", "tcp src port 8080");
    const atOnline = await watchPackets(lab, lab.online, "back", "tcp src port 8080");
    const broken = brokenConnections(lab.client);

    const result = await load(lab, { url: `http://${online}`, rate, count: rate * SECONDS, close });
    const { code, report } = await copy.finish();
    const caught = await intercept.stop();

    expect(result).toMatchObject({ requests: rate * SECONDS, errors: 0 });
    expect(await atClient.stop()).toEqual({ packets: 0, lines: [] });
    expect(await atOnline.stop()).toEqual({ packets: 0, lines: [] });
    expect(brokenConnections(lab.client)).toBe(broken);
    const [sent, arrived] = [await readRequests(from), await readRequests(to)];
    expect(new Set(sent.map(({ address }) => address)).size).toBe(59);
    expect(compareContents(sent.map(askedBy), arrived.map(askedBy))).toEqual(EXACTLY_ONCE);
    expect(faultsOf(copy.reports())).toEqual([]);
    expect(report.turns).toMatchObject({
      captured: rate * SECONDS,
      sent: rate * SECONDS,
      answered: rate * SECONDS,
      dropped: 0,
    });
    expect(report.mode).toBe("target");
    expect([code, caught.code]).toEqual([0, 0]);
    expect(caught.account.routed).toBe(report.responses.packets);
    expect(caught.account.unrouted).toBe(0);
  });
}
