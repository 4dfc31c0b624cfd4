/** HTTP/1.1 by its protocol module: the exact end of an answer is known, and an Upgrade makes a plain stream. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { ONLINE } from "../../src/demo/network.ts";
import { compareContents, EXACTLY_ONCE } from "../support/compare.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { readRequests, startNginx } from "../support/nginx.ts";
import { startScript, startService } from "../support/scripts.ts";
import { TRANSFER } from "../support/served.ts";
import { loadBothKinds } from "../support/wrk.ts";
import { faultsOf, startCopy } from "../support/xcopy.ts";

let lab: Lab;
beforeAll(() => {
  lab = createLab();
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

test("copies requests of nginx exactly once, one or many to a connection, and compares the responses", async () => {
  const online = await startNginx(lab, lab.online, 80);
  const target = await startNginx(lab, lab.target, 8080);
  const copy = await startCopy(lab, ["-x", TRANSFER, "--compare", "body"]);
  const result = await loadBothKinds(lab, { url: `http://${ONLINE}`, rate: 2000, count: 4000 });
  const { code, report } = await copy.stop();
  expect(result).toEqual({ requests: 4000, errors: 0 });
  const contents = async (server: typeof online) =>
    (await readRequests(server)).map(({ content }) => content);
  expect(compareContents(await contents(online), await contents(target))).toEqual(EXACTLY_ONCE);
  expect(faultsOf(copy.reports())).toEqual([]);
  expect(report.turns).toEqual({ captured: 4000, sent: 4000, answered: 4000, dropped: 0, pending: 0 });
  expect(report.comparison).toMatchObject({ requests: 4000, outcomes: { compared: 4000 }, different: 0 });
  expect(code).toBe(0);
});

test("waits for the end of a response that pauses, however long", async () => {
  const online = await startService(lab, lab.online, "halting.ts", "80", "0");
  const target = await startService(lab, lab.target, "halting.ts", "8080", "300");
  const copy = await startCopy(lab, ["-x", TRANSFER, "--protocol", "http", "--drain", "10"]);
  const client = startScript(lab, lab.client, "keep-alive.ts", ONLINE, "80", "5");
  expect(await client.exited).toBe(0);
  const { report } = await copy.stop();
  expect(online.output.slice(1)).toEqual(["1", "2", "3", "4", "5"]);
  // A request that came before the end of the answer before would be said to be early.
  expect(target.output.slice(1)).toEqual(["1", "2", "3", "4", "5"]);
  expect(report.turns).toMatchObject({ captured: 5, answered: 5, pending: 0 });
  expect(faultsOf(copy.reports())).toEqual([]);
});

test("hands a websocket over to plain streaming", async () => {
  const online = await startService(lab, lab.online, "websocket.ts", "80", "silent");
  const target = await startService(lab, lab.target, "websocket.ts", "8080", "silent");
  const copy = await startCopy(lab, ["-x", TRANSFER, "--protocol", "http", "--drain", "30"]);
  const client = startScript(lab, lab.client, "websocket-client.ts", ONLINE, "80", "20", "100");
  expect(await client.exited).toBe(0);
  const { report } = await copy.stop();
  const said = client.output.toSorted();
  expect(said.length).toBe(20);
  expect(online.output.slice(1).toSorted()).toEqual(said);
  expect(target.output.slice(1).toSorted()).toEqual(said);
  expect(report.turns).toMatchObject({ dropped: 0, pending: 0 });
  expect(faultsOf(copy.reports())).toEqual([]);
});
