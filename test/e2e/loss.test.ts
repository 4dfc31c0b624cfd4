/** Packets are lost between online and target, each way: no request is lost, and no client notices. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { compareContents } from "../support/compare.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { type Loss, losePackets } from "../support/loss.ts";
import { sendWirePackets } from "../support/offload.ts";
import { contentsOf, digestsOf, startServices, TRANSFER, URL_ONLINE } from "../support/served.ts";
import { load } from "../support/wrk.ts";
import { faultsOf, startCopy } from "../support/xcopy.ts";

let lab: Lab;
let loss: Loss | undefined;
beforeAll(() => {
  lab = createLab();
  sendWirePackets(lab.online, "back");
  sendWirePackets(lab.target, "net0");
});
afterEach(async () => {
  await lab.stopAll();
  loss?.remove();
  loss = undefined;
});
afterAll(() => lab.remove());

/** Time for what was lost again and again: retransmissions come after 1, 2, 4 ... s. */
const PATIENCE = ["--drain", "90"];

for (const percent of [1, 5]) {
  for (const { name, rate, count, close } of [
    { name: "keep-alive requests", rate: 1000, count: 5000, close: false },
    { name: "short connections", rate: 500, count: 2000, close: true },
  ]) {
    test(`${percent} % of the packets lost each way: ${name} arrive once`, async () => {
      const { online, target } = await startServices(lab);
      const copy = await startCopy(lab, ["-x", TRANSFER, ...PATIENCE]);
      loss = losePackets(lab.target, "net0", 8080, percent);

      const result = await load(lab, { url: URL_ONLINE, rate, count, close });
      const { code, report } = await copy.stop();

      expect(result).toMatchObject({ requests: count, errors: 0 });
      const lost = loss.dropped();
      expect(lost.in).toBeGreaterThan(0);
      expect(lost.out).toBeGreaterThan(0);
      expect(report.sent.retransmitted).toBeGreaterThan(0);
      const comparison = compareContents(await contentsOf(online), await contentsOf(target));
      expect(comparison).toMatchObject({ doubled: [], foreign: [] });
      // A handshake whose every attempt was lost: rare, and said.
      expect(comparison.missing.length).toBe(report.dropped.unreachable);
      expect(comparison.missing.length).toBeLessThanOrEqual(0.02 * count);
      const sent = count - comparison.missing.length;
      expect(report.turns).toEqual({
        captured: count,
        sent,
        answered: sent,
        dropped: comparison.missing.length,
        pending: 0,
      });
      expect(faultsOf(copy.reports())).toEqual([]);
      expect(code).toBe(0);
    });
  }

  test(`${percent} % of the packets lost each way: bodies of 60 KB arrive unharmed`, async () => {
    const { online, target } = await startServices(lab);
    const copy = await startCopy(lab, ["-x", TRANSFER, ...PATIENCE]);
    loss = losePackets(lab.target, "net0", 8080, percent);

    const command = [process.execPath, join(import.meta.dir, "../support/post.ts")];
    const client = lab.start(lab.client, [...command, URL_ONLINE, "60000", "100", "8"]);
    expect(await client.exited).toBe(0);
    const { code, report } = await copy.stop();

    const posted = client.output.toSorted();
    expect(posted.length).toBe(100);
    expect(loss.dropped().in).toBeGreaterThan(percent * 20);
    expect(await digestsOf(online)).toEqual(posted);
    expect(await digestsOf(target)).toEqual(posted);
    expect(report.turns).toMatchObject({ dropped: 0, pending: 0 });
    expect(faultsOf(copy.reports())).toEqual([]);
    expect(code).toBe(0);
  });
}
