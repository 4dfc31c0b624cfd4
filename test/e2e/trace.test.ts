/** Recorded by tcpdump, replayed by `copy -i`: every request reaches the target exactly once. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { ONLINE, ONLINE6, TARGET } from "../../src/demo/network.ts";
import { compareContents, EXACTLY_ONCE } from "../support/compare.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { startNginx } from "../support/nginx.ts";
import { contentsOf, type Recording, recordLoad, replay } from "../support/recording.ts";
import { launchCopy } from "../support/xcopy.ts";

let lab: Lab;
beforeAll(() => {
  lab = createLab();
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

async function record(
  name: string,
  { count = 2000, close = false, url = `http://${ONLINE}` } = {},
): Promise<Recording> {
  return await recordLoad(lab, name, { url, count, close });
}

for (const close of [false, true]) {
  const kind = close ? "short connections" : "keep-alive";
  test(`${kind}: at the recorded speed, ten times that, and as fast as the target answers`, async () => {
    const { file, sent } = await record(`${kind}.pcap`.replace(" ", "-"), { close });
    for (const speed of ["1", "10", "max"]) {
      const target = await startNginx(lab, lab.target, 8080);
      const { code, report } = await replay(lab, ["-i", file, "-a", speed]);
      expect(compareContents(sent, await contentsOf(target))).toEqual(EXACTLY_ONCE);
      expect(report.turns).toMatchObject({
        captured: 2000,
        sent: 2000,
        answered: 2000,
        dropped: 0,
        pending: 0,
      });
      expect(report.sessions.midstream).toBe(0);
      expect(code).toBe(0);
      await target.stop();
    }
  });
}

test("IPv6 clients, several files merged, compressed ones among them, and a pipe", async () => {
  const one = await record("one.pcap", { count: 500 });
  const two = await record("two.pcap", { count: 500, url: `http://[${ONLINE6}]` });
  const sent = [...one.sent, ...two.sent];
  for (const command of [
    `gzip -k ${one.file}`,
    `zstd -qk ${two.file}`,
    `mergecap -w ${lab.directory}/both.pcapng ${one.file} ${two.file}`,
  ]) {
    expect(Bun.spawnSync(["sh", "-c", command]).exitCode).toBe(0);
  }
  for (const inputs of [
    ["-i", `${one.file},${two.file}`],
    ["-i", `${one.file}.gz`, "-i", `${two.file}.zst`],
    ["-i", `${lab.directory}/both.pcapng`],
  ]) {
    const target = await startNginx(lab, lab.target, 8080);
    const { code } = await replay(lab, [...inputs, "-a", "max"]);
    expect(compareContents(sent, await contentsOf(target))).toEqual(EXACTLY_ONCE);
    expect(code).toBe(0);
    await target.stop();
  }
});

test("several times, by a few users, at a rate", async () => {
  const { file, sent } = await record("users.pcap", { count: 1000, close: true });
  const target = await startNginx(lab, lab.target, 8080);
  const { report } = await replay(lab, ["-i", file, "-T", "3", "--users", "5"]);
  expect(compareContents([...sent, ...sent, ...sent], await contentsOf(target))).toEqual(EXACTLY_ONCE);
  expect(report.sessions.closed).toBe(report.sessions.opened);
  await target.stop();

  const slow = await startNginx(lab, lab.target, 8080);
  const { report: paced } = await replay(lab, ["-i", file, "-a", "max", "--rate", "500/s"]);
  expect(compareContents(sent, await contentsOf(slow))).toEqual(EXACTLY_ONCE);
  expect(paced.seconds).toBeGreaterThanOrEqual(1.9);
});

test("a file that is cut off is replayed up to there, and an error names the place", async () => {
  const { file, sent } = await record("whole.pcap", { count: 1000 });
  const bytes = await Bun.file(file).bytes();
  const cut = join(lab.directory, "cut.pcap");
  await Bun.write(cut, bytes.subarray(0, Math.floor(bytes.length * 0.6)));
  const target = await startNginx(lab, lab.target, 8080);
  const { code, report, errors } = await replay(lab, ["-i", cut, "-a", "max"]);
  const arrived = await contentsOf(target);
  expect(code).toBe(1);
  expect(errors.join("\n")).toMatch(/Cannot read ".*cut\.pcap" to its end: .*[0-9]{5}/);
  expect(report.trace?.failures).toBe(1);
  expect(arrived.length).toBeGreaterThan(400);
  expect(compareContents(sent, arrived)).toMatchObject({ doubled: [], foreign: [] });
});

test("what is no recording is refused before anything is touched", async () => {
  const file = join(lab.directory, "text.pcap");
  await Bun.write(file, "no recording at all, but some text\n");
  for (const [path, code, message] of [
    [file, 2, `Cannot read "${file}"`],
    ["/nowhere.pcap", 2, 'Cannot read "/nowhere.pcap"'],
  ] as const) {
    const copy = launchCopy(lab, ["-x", `80-${TARGET}:8080`, "-i", path]);
    expect(await copy.running.exited).toBe(code);
    expect(copy.running.errors.join("\n")).toContain(message);
  }
});
