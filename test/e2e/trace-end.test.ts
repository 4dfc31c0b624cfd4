/** Recordings that still grow, replays ended by a signal, and replays from the clients' own addresses. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { closeSync, constants, openSync, readFileSync } from "node:fs";
import { ONLINE, TARGET } from "../../src/demo/network.ts";
import { watchPackets } from "../support/capture.ts";
import { compareContents, EXACTLY_ONCE } from "../support/compare.ts";
import { startIntercept } from "../support/intercept.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { type LoggedRequest, readRequests, startNginx } from "../support/nginx.ts";
import { contentsOf, recordLoad, replay } from "../support/recording.ts";
import { startScript } from "../support/scripts.ts";
import { until } from "../support/until.ts";
import { load } from "../support/wrk.ts";
import { faultsOf, launchCopy, startCopy, XCOPY } from "../support/xcopy.ts";

let lab: Lab;
beforeAll(() => {
  lab = createLab();
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

const URL = `http://${ONLINE}`;
const TRANSFER = `80-${TARGET}:8080`;
const askedBy = ({ content, address }: LoggedRequest) => `${address} ${content}`;

test("Ctrl-C ends a replay with a summary", async () => {
  const { file, sent } = await recordLoad(lab, "ended.pcap", { url: URL, count: 3000, rate: 1000 });
  const target = await startNginx(lab, lab.target, 8080);
  const copy = launchCopy(lab, ["-x", TRANSFER, "-i", file]);
  await copy.report("some requests", ({ turns }) => turns.answered > 300);
  const { code, report } = await copy.stop("SIGINT");
  expect(code).toBe(0);
  expect(report.turns.captured).toBeLessThan(3000);
  expect(report.turns.sent).toBeGreaterThan(300);
  expect(faultsOf(copy.reports())).toEqual([]);
  const arrived = await contentsOf(target);
  // Of those that nobody has acknowledged by then the target may have some.
  expect(arrived.length).toBeWithin(report.turns.sent, report.turns.sent + report.dropped.ended + 1);
  expect(compareContents(sent, arrived)).toMatchObject({ doubled: [], foreign: [] });
});

test("responses to a replay that found no room are counted and reported", async () => {
  const { file } = await recordLoad(lab, "slow.pcap", { url: URL, count: 100, rate: 100 });
  await startNginx(lab, lab.target, 8080);
  // Without eBPF answers come by a socket, which takes them for as long as xcopy is stopped.
  const prefix = ["setpriv", "--bounding-set=-bpf,-sys_admin,-perfmon"];
  const copy = await startCopy(lab, ["-x", TRANSFER, "-i", file, "-T", "1000"], { prefix });
  process.kill(copy.running.pid, "SIGSTOP");
  const answers = [TARGET, "8080", "10.0.0.1", "9", "100000"];
  expect(await startScript(lab, lab.target, "forged-answers.ts", ...answers).exited).toBe(0);
  process.kill(copy.running.pid, "SIGCONT");
  await copy.report("lost answers", ({ responses }) => responses.lost > 0);
  const { report } = await copy.stop("SIGINT");
  expect(report.capture.lost).toBe(0);
  expect(copy.running.errors.join("\n")).toContain(
    `${report.responses.lost.toLocaleString("en-US")} packets of responses found no room`,
  );
});

test("a signal ends a replay that waits for its first packet", async () => {
  const pipe = `${lab.directory}/silent`;
  expect(Bun.spawnSync(["mkfifo", pipe]).exitCode).toBe(0);
  const writer = openSync(pipe, constants.O_RDWR);
  const words = `exec ${XCOPY} copy -x ${TRANSFER} -i - < ${pipe}`;
  const copy = lab.start(lab.online, ["sh", "-c", words]);
  // The shell listens too, until it has become xcopy.
  const status = () => readFileSync(`/proc/${copy.pid}/status`, "utf8");
  const caught = () => /^Name:\s*xcopy$[\s\S]*^SigCgt:\s*([0-9a-f]+)/m.exec(status())?.[1] ?? "0";
  await until("it listens for SIGINT", () => (Number.parseInt(caught().slice(-4), 16) & 2) !== 0);
  expect(await copy.stop("SIGINT")).toBe(0);
  expect(copy.errors).toEqual(["ended before the first request"]);
  closeSync(writer);
});

for (const [name, writer, begun] of [
  ["tcpdump", "tcpdump -i front -B 65536 -s 8192 --immediate-mode -U -w - 'tcp port 80'", /listening on/],
  ["xcopy record", `${XCOPY} record -x 80 -w -`, /^recording /],
] as const) {
  test(`a pipe from ${name} is replayed while it is written, and to its end`, async () => {
    const online = await startNginx(lab, lab.online, 80);
    const target = await startNginx(lab, lab.target, 8080);
    // The writer is the one that is ended, as at the end of a night.
    const script = `${writer} & echo "writer $!" >&2; wait`;
    const copying = `${XCOPY} copy --json --stats-interval 0.1 -x ${TRANSFER} -i -`;
    const pipe = lab.start(lab.online, ["sh", "-c", `{ ${script}; } | ${copying}`]);
    const pid = Number((await pipe.line(/^writer /)).split(" ")[1]);
    await pipe.line(begun);
    const reports = () => pipe.output.map((line) => JSON.parse(line));
    await load(lab, { url: URL, count: 1000, rate: 1000 });
    await until(
      () => `all: ${pipe.output.at(-1)} ${pipe.errors.join("|")}`,
      () => reports().at(-1)?.turns.answered === 1000,
    );
    process.kill(pid, "SIGTERM");
    expect(await pipe.exited).toBe(0);
    expect(compareContents(await contentsOf(online), await contentsOf(target))).toEqual(EXACTLY_ONCE);
    expect(reports().at(-1).turns).toEqual({
      captured: 1000,
      sent: 1000,
      answered: 1000,
      dropped: 0,
      pending: 0,
    });
  });
}

test("with an intercept the target sees each request once, from its client", async () => {
  const online = await startNginx(lab, lab.online, 80);
  const record = lab.start(lab.online, [
    XCOPY,
    "record",
    "-x",
    "80",
    "-w",
    `${lab.directory}/own.pcapng.zst`,
  ]);
  await record.line(/^recording /);
  await load(lab, { url: URL, count: 1000, rate: 1000, close: true });
  expect(await record.stop("SIGINT")).toBe(0);
  await online.stop();

  const target = await startNginx(lab, lab.target, 8080);
  const intercept = await startIntercept(lab, lab.target, ["-o", ":8080", "--linger", "1"]);
  const atClient = await watchPackets(lab, lab.client, "net0", "tcp src port 8080");
  const words = ["-i", `${lab.directory}/own.pcapng.zst`, "-s", TARGET, "-a", "2"];
  const { code, report } = await replay(lab, words);
  expect((await intercept.stop()).code).toBe(0);
  expect(await atClient.stop()).toEqual({ packets: 0, lines: [] });
  const [sent, arrived] = [await readRequests(online), await readRequests(target)];
  expect(compareContents(sent.map(askedBy), arrived.map(askedBy))).toEqual(EXACTLY_ONCE);
  expect(report.turns).toMatchObject({ captured: 1000, answered: 1000, dropped: 0, pending: 0 });
  expect(code).toBe(0);
});
