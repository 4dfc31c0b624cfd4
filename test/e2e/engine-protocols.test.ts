/** Protocols without a module: both sides send at once, many streams share a connection, the server sends first. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { ONLINE, TARGET } from "../../src/demo/network.ts";
import { compareContents, EXACTLY_ONCE } from "../support/compare.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { MEMCACHED_PORT, memcachedStatistics, startMemcached } from "../support/memcached.ts";
import { startNginx } from "../support/nginx.ts";
import { startScript, startService } from "../support/scripts.ts";
import { contentsOf, digestsOf, TRANSFER } from "../support/served.ts";
import { faultsOf, startCopy } from "../support/xcopy.ts";

let lab: Lab;
beforeAll(() => {
  lab = createLab();
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

for (const [name, onlineMode, targetMode] of [
  ["that echoes", "echo", "echo"],
  ["that pushes messages of its own all the time", "push", "push"],
  ["that says nothing", "silent", "silent"],
  ["that pushes, and a target that says nothing", "push", "silent"],
  ["that says nothing, and a target that pushes", "silent", "push"],
] as const) {
  test(`websocket, a service ${name}: every message arrives in order`, async () => {
    const online = await startService(lab, lab.online, "websocket.ts", "80", onlineMode);
    const target = await startService(lab, lab.target, "websocket.ts", "8080", targetMode);
    const copy = await startCopy(lab, ["-x", TRANSFER, "--drain", "30"]);
    const client = startScript(lab, lab.client, "websocket-client.ts", ONLINE, "80", "20", "200");
    expect(await client.exited).toBe(0);
    const { code, report } = await copy.stop();

    const said = client.output.map((line) => line.replace(" heard", "")).toSorted();
    expect(said.length).toBe(20);
    if (onlineMode !== "silent") expect(client.output.every((line) => line.endsWith(" heard"))).toBe(true);
    expect(online.output.slice(1).toSorted()).toEqual(said);
    expect(target.output.slice(1).toSorted()).toEqual(said);
    expect(report.turns).toMatchObject({ dropped: 0, pending: 0 });
    expect(faultsOf(copy.reports())).toEqual([]);
    expect(code).toBe(0);
  });
}

/** A core that a busy neighbour leaves a tenth of (the weights of these nice values are 1024 and 110). */
const STARVED = ["taskset", "-c", "0", "nice", "-n", "10"];
const NEIGHBOUR = ["taskset", "-c", "0", "sh", "-c", "while :; do :; done"];

for (const { name, requests, connections, streams, upload, isStarved } of [
  { name: "one stream at a time", requests: 2000, connections: 20, streams: 1, upload: 0, isStarved: false },
  {
    name: "100 streams at once",
    requests: 10_000,
    connections: 5,
    streams: 100,
    upload: 0,
    isStarved: false,
  },
  { name: "uploads", requests: 200, connections: 4, streams: 20, upload: 100_000, isStarved: false },
  {
    name: "uploads, a starved target",
    requests: 200,
    connections: 4,
    streams: 20,
    upload: 100_000,
    isStarved: true,
  },
]) {
  test(`HTTP/2 with prior knowledge, ${name}: every request is served by the target`, async () => {
    const online = await startNginx(lab, lab.online, 80, { listen: "http2" });
    if (isStarved) lab.start(lab.target, NEIGHBOUR);
    const prefix = isStarved ? STARVED : [];
    const target = await startNginx(lab, lab.target, 8080, { listen: "http2", prefix });
    const copy = await startCopy(lab, ["-x", TRANSFER, "--drain", "30"]);

    const path = upload > 0 ? "post/" : "get/";
    const file = join(lab.directory, "urls");
    await Bun.write(
      file,
      Array.from({ length: 500 }, (_, index) => `http://${ONLINE}/${path}${index}`).join("\n") + "\n",
    );
    const body = join(lab.directory, "body");
    if (upload > 0) await Bun.write(body, crypto.getRandomValues(new Uint8Array(upload / 2)).toHex());
    const client = lab.start(lab.client, [
      ...["h2load", "-p", "h2c", "-n", `${requests}`, "-c", `${connections}`, "-m", `${streams}`],
      ...["-i", file, ...(upload > 0 ? ["-d", body] : [])],
    ]);
    expect(await client.exited).toBe(0);
    const { code, report } = await copy.stop();

    expect(client.output.join("\n")).toContain(`${requests} done, ${requests} succeeded, 0 failed`);
    const served = await contentsOf(online);
    expect(served.length).toBe(requests);
    expect(compareContents(served, await contentsOf(target))).toEqual(EXACTLY_ONCE);
    if (upload > 0) expect(await digestsOf(target)).toEqual(await digestsOf(online));
    expect(report.turns).toMatchObject({ dropped: 0, pending: 0 });
    expect(faultsOf(copy.reports())).toEqual([]);
    expect(code).toBe(0);
  });
}

for (const [online, target] of [
  [0, 0],
  [0, 200],
  [200, 0],
]) {
  test(`a service that sends first, greeting after ${online} ms, at the target after ${target} ms: no request is sent too early`, async () => {
    const first = await startService(lab, lab.online, "greeter.ts", "25", `${online}`);
    const second = await startService(lab, lab.target, "greeter.ts", "25", `${target}`);
    const copy = await startCopy(lab, ["-x", `25-${TARGET}`, "--drain", "30"]);
    const client = startScript(lab, lab.client, "greeted.ts", ONLINE, "25", "50", "20");
    expect(await client.exited).toBe(0);
    const { code, report } = await copy.stop();

    const said = client.output.toSorted();
    expect(said.length).toBe(50 * 21);
    expect(first.output.slice(1).toSorted()).toEqual(said);
    expect(second.output.slice(1).toSorted()).toEqual(said);
    const turns = said.length;
    expect(report.turns).toMatchObject({
      captured: turns,
      sent: turns,
      answered: turns,
      dropped: 0,
    });
    expect(report.overdue).toBe(0);
    expect(faultsOf(copy.reports())).toEqual([]);
    expect(code).toBe(0);
  });
}

test("memcached: commands and content agree", async () => {
  await startMemcached(lab, lab.online);
  await startMemcached(lab, lab.target);
  const copy = await startCopy(lab, ["-x", `${MEMCACHED_PORT}-${TARGET}`, "--drain", "30"]);
  const client = startScript(
    lab,
    lab.client,
    "memcached-client.ts",
    ONLINE,
    `${MEMCACHED_PORT}`,
    "20",
    "100",
  );
  expect(await client.exited).toBe(0);
  const { code, report } = await copy.stop();

  const online = memcachedStatistics(lab.online);
  expect(online).toMatchObject({ cmd_set: "10000", curr_items: "10000", get_hits: "10000" });
  expect(memcachedStatistics(lab.target)).toEqual(online);
  expect(report.turns).toMatchObject({ dropped: 0, pending: 0 });
  expect(faultsOf(copy.reports())).toEqual([]);
  expect(code).toBe(0);
});
