/** Much data on one connection, and clients that close their side before they have an answer. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { ONLINE, TARGET } from "../../src/demo/network.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { limitSpeed } from "../support/offload.ts";
import { startScript, startService } from "../support/scripts.ts";
import { digestsOf, startServices, TRANSFER, URL_ONLINE } from "../support/served.ts";
import { faultsOf, startCopy } from "../support/xcopy.ts";

let lab: Lab;
beforeAll(() => {
  lab = createLab({ manyClients: false });
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

test("an upload of 200 MB arrives unharmed", async () => {
  limitSpeed(lab.client, "net0", 30e6);
  const { online, target } = await startServices(lab);
  const copy = await startCopy(lab, ["-x", TRANSFER, "--drain", "60"]);
  const client = startScript(lab, lab.client, "post.ts", URL_ONLINE, "200000000", "1", "1");
  expect(await client.exited).toBe(0);
  const { code, report } = await copy.stop();

  expect(client.output.length).toBe(1);
  expect(await digestsOf(online)).toEqual(client.output);
  expect(await digestsOf(target)).toEqual(client.output);
  expect(report.turns).toMatchObject({ dropped: 0, pending: 0 });
  expect(faultsOf(copy.reports())).toEqual([]);
  expect(code).toBe(0);
});

for (const { name, bytes, rate, connections } of [
  { name: "one connection with 100 MB/s for 3 s", bytes: 300e6, rate: 100e6, connections: 1 },
  { name: "50 connections with 0.5 MB/s each", bytes: 1e6, rate: 0.5e6, connections: 50 },
  {
    name: "200 connections with 1,000 bytes each, closed before the response",
    bytes: 1000,
    rate: 0,
    connections: 200,
  },
]) {
  test(`${name}: the same bytes at the target, and its response is awaited`, async () => {
    limitSpeed(lab.client, "net0", 125e6);
    const online = await startService(lab, lab.online, "sink.ts", "90");
    const target = await startService(lab, lab.target, "sink.ts", "90");
    const copy = await startCopy(lab, ["-x", `90-${TARGET}`, "--drain", "60"]);
    const client = startScript(
      lab,
      lab.client,
      "pour.ts",
      ONLINE,
      "90",
      `${bytes}`,
      `${rate}`,
      `${connections}`,
    );
    expect(await client.exited).toBe(0);
    const { code, report } = await copy.stop();

    const sent = client.output.toSorted();
    expect(sent.length).toBe(connections);
    expect(online.output.slice(1).toSorted()).toEqual(sent);
    expect(faultsOf(copy.reports())).toEqual([]);
    expect(code).toBe(0);
    if (rate === 100e6 && report.capture.lost > 0) {
      // Others had the CPUs for longer than the rings last at this rate: that must be said, no more.
      expect(report.turns).toMatchObject({ captured: 1, sent: 0, dropped: 1, pending: 0 });
      return;
    }
    expect(report.capture.lost).toBe(0);
    expect(target.output.slice(1).toSorted()).toEqual(sent);
    expect(report.turns).toMatchObject({
      captured: connections,
      sent: connections,
      answered: connections,
      dropped: 0,
      pending: 0,
    });
    expect(report.sessions).toMatchObject({ opened: connections, failed: 0, reset: 0 });
  });
}
