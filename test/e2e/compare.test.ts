/** What the new version of an application does otherwise is found, live and from a recording, and nothing else; told wherever it is asked for. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Report } from "../../src/compare/report.ts";
import { ONLINE, TARGET } from "../../src/demo/network.ts";
import { readReport } from "../../src/report/read.ts";
import { carriedIn } from "../report/carried.ts";
import { startIntercept } from "../support/intercept.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { run } from "../support/process.ts";
import { recordTraffic } from "../support/recording.ts";
import { startScript, startService } from "../support/scripts.ts";
import { faultsOf, launchCopy, runXcopy, startCopy } from "../support/xcopy.ts";

const SECRET = "hunter2-and-nobody-may-read-it";
const COUNT = 660;
const WEB = "127.0.0.1:9400";

let lab: Lab;
/** What clients sent and production answered, recorded while it was copied. */
let recording: string;
beforeAll(() => {
  lab = createLab();
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

const inLab = (name: string) => join(lab.directory, name);
const reportIn = (name: string) => readReport(readFileSync(inLab(name), "utf8"), name);

/** All differences that are not noise, as "GET /orders/{id}: status 200 -> 500"; times apart, which a busy machine changes. */
function foundIn({ endpoints }: Report): { differences: string[]; slower: string[] } {
  const all = endpoints.flatMap(({ method, name, differences }) =>
    differences
      .filter(({ isNoise }) => !isNoise)
      .map(({ kind, where }) => ({ kind, text: `${method} ${name}: ${kind} ${where}` })),
  );
  const texts = (isTime: boolean) =>
    all.flatMap(({ kind, text }) => ((kind === "latency") === isTime ? [text] : [])).toSorted();
  return { differences: texts(false), slower: texts(true) };
}

const PLANTED = ["GET /orders/{id}: status 200 -> 500", "GET /prices/{id}: body $.amount"];
const SLOWER = expect.stringMatching(/^GET \/search\/\{id\}: latency /);

test("live: exactly what was planted is in reports, on the page and in the terminal, and no secret is", async () => {
  await startService(lab, lab.online, "versions.ts", "80", "old");
  await startService(lab, lab.target, "versions.ts", "8080", "new");
  const reports = ["--report", inLab("live.json"), "--report", inLab("live.html"), "-l", inLab("log")];
  const copy = await startCopy(lab, [
    ...["-x", `80-${TARGET}:8080`, "--compare", "body", "--web", WEB, ...reports],
    ...["--fail-on", "errors>0.1%,p50>+10000%"],
  ]);
  recording = await recordTraffic(lab, "clients.pcap", async () => {
    const client = startScript(lab, lab.client, "versions-client.ts", ONLINE, "80", `${COUNT}`, SECRET);
    expect(await client.exited).toBe(0);
    expect(client.output).toEqual([`${COUNT}`]);
  });
  await copy.report("all compared", ({ comparison }) => comparison?.outcomes.compared === COUNT, 30_000);
  const pages = ["/", "/metrics", "/api/report", "/api/account", "/healthz"].map((path) =>
    run(lab.online, "curl", "-sSf", `http://${WEB}${path}`),
  );
  expect(pages[1]).toMatch(/^# HELP xcopy_/m);
  expect(pages[1]).toContain('endpoint="/orders/{id}"');
  expect(JSON.parse(pages[3]!).comparison.outcomes).toEqual({ compared: COUNT });
  const { pid } = copy.running;
  const top = await Promise.all([
    runXcopy(lab, ["top", `${pid}`]),
    runXcopy(lab, ["top"]),
    runXcopy(lab, ["top", "--json"]),
  ]);
  expect(top[0].output).toMatch(/^GET \/orders\/\{id\} {2}status 200 -> 500 /m);
  expect(top[1].output).toMatch(new RegExp(`^ *${pid} {2}80 `, "m"));
  expect(JSON.parse(top[2].output).copies).toMatchObject([{ pid, services: ["80"] }]);
  const { code, report } = await copy.stop();
  expect(code).toBe(6);
  expect(copy.running.errors.at(-1)).toMatch(/^--fail-on "errors>0.1%" is broken: /);
  expect(faultsOf(copy.reports())).toEqual([]);
  expect(report.comparison).toMatchObject({
    requests: COUNT,
    outcomes: { compared: COUNT },
    broken: [{ bound: "errors>0.1%" }],
    worst: expect.arrayContaining([expect.objectContaining({ name: "/orders/{id}" })]),
  });
  const { differences, slower } = foundIn(reportIn("live.json"));
  expect(differences).toEqual([...PLANTED, "GET /stock/{id}: body $.left"]);
  expect(slower).toContainEqual(SLOWER);
  const files = ["live.json", "live.html", "log"].map((name) => readFileSync(inLab(name), "utf8"));
  // What a page carries is compressed.
  const carried = [files[1]!, pages[0]!].map(carriedIn);
  expect(carried.map((text) => text.includes("/orders/{id}"))).toEqual([true, true]);
  const said = [...files, ...pages, ...carried, ...top.map(({ output }) => output)];
  said.push(copy.running.output.join("\n"), copy.running.errors.join("\n"));
  expect(said.map((text) => text.includes(SECRET))).toEqual(said.map(() => false));
  expect(existsSync(`/run/xcopy/top-${pid}.sock`)).toBe(false);
});

test("recorded, with a target that runs the old version: what differs there too is no difference", async () => {
  await startService(lab, lab.target, "versions.ts", "8080", "new");
  await startService(lab, lab.target, "versions.ts", "8081", "old");
  const killed = await startCopy(lab, ["-x", `80-${TARGET}:8080`]);
  const socket = `/run/xcopy/top-${killed.running.pid}.sock`;
  expect(existsSync(socket)).toBe(true);
  await killed.running.stop("SIGKILL");
  const targets = `80-${TARGET}:8080,80-${TARGET}:8081`;
  const compare = ["--compare", "body", "--noise", `${TARGET}:8081`, "--report", inLab("recorded.json")];
  const copy = launchCopy(lab, ["-i", recording, "-x", targets, ...compare]);
  expect(await copy.running.exited).toBe(0);
  const report = reportIn("recorded.json");
  expect(report.outcomes).toEqual({ compared: COUNT });
  const { differences, slower } = foundIn(report);
  expect(differences).toEqual(PLANTED);
  expect(slower).toContainEqual(SLOWER);
  expect(existsSync(socket)).toBe(false);
});

test("by heads, however requests and responses are captured: all are compared", async () => {
  await startService(lab, lab.online, "versions.ts", "80", "old");
  await startService(lab, lab.target, "versions.ts", "8080", "old");
  await startIntercept(lab, lab.target, ["-o", ":8080", "--linger", "0"]);
  const ways = [["packet"], ["pcap"], ["xdp"], ["tcx", "-s", TARGET]];
  for (const [capture, ...answers] of ways) {
    const words = ["-x", `80-${TARGET}:8080`, "--compare", "--capture", capture!, ...answers];
    const copy = await startCopy(lab, words);
    const client = startScript(lab, lab.client, "versions-client.ts", ONLINE, "80", "66", SECRET);
    expect(await client.exited).toBe(0);
    await copy.report("all compared", ({ comparison }) => comparison?.outcomes.compared === 66, 30_000);
    const { report } = await copy.stop();
    expect([capture, report.comparison?.outcomes]).toEqual([capture, { compared: 66 }]);
    expect(faultsOf(copy.reports())).toEqual([]);
  }
});
