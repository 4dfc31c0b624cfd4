/** Recordings with missing or cut packets: the account is exact, and the requests around them are copied. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { ONLINE } from "../../src/demo/network.ts";
import { compareContents } from "../support/compare.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { startNginx } from "../support/nginx.ts";
import { run } from "../support/process.ts";
import { contentsOf, recordLoad, replay } from "../support/recording.ts";
import { seed } from "../support/seed.ts";

let lab: Lab;
beforeAll(() => {
  lab = createLab();
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

/** Numbers from 0 to 1, the same for the same seed (a linear congruential generator). */
function createRandom(): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const tshark = (file: string, filter: string, field: string): string[] =>
  run(lab.online, "tshark", "-r", file, "-Y", filter, "-T", "fields", "-e", field).trim().split("\n");

/** Takes about this share of the packets that the filter names out; returns the new file. */
function damage(file: string, filter: string, share: number): string {
  const random = createRandom();
  const cut = tshark(file, filter, "frame.number").filter(() => random() < share);
  let from = file;
  // editcap takes 512 numbers at most; the last ones first, so that the others keep theirs.
  for (let end = cut.length; end > 0; end -= 500) {
    const to = join(lab.directory, `damaged-${end}.pcap`);
    run(lab.online, "editcap", from, to, ...cut.slice(Math.max(0, end - 500), end));
    from = to;
  }
  return from;
}

/** Paths of the requests that are in a recording. */
function pathsIn(file: string): Set<string> {
  const payloads = tshark(file, "tcp.dstport == 80 && tcp.len > 0", "tcp.payload");
  return new Set(payloads.map((hex) => Buffer.from(hex.slice(0, 120), "hex").toString().split(" ")[1]!));
}

const pathOf = (content: string) => content.split('"')[1]!.split(" ")[1]!;

for (const close of [false, true]) {
  const kind = close ? "short connections" : "keep-alive";
  test(`${kind}: if some requests are missing all others arrive, once (seed ${seed})`, async () => {
    const { file, sent } = await recordLoad(lab, `whole-${close}.pcap`, {
      url: `http://${ONLINE}`,
      count: 2000,
      close,
    });
    const damaged = damage(file, "tcp.dstport == 80 && tcp.len > 0", 0.05);
    const left = pathsIn(damaged);
    expect(left.size).toBeLessThan(2000);
    for (const speed of ["max", "1"]) {
      const target = await startNginx(lab, lab.target, 8080);
      const { code, report } = await replay(lab, ["-i", damaged, "-a", speed]);
      const arrived = (await contentsOf(target)).map(pathOf);
      const { missing, doubled, foreign } = compareContents(left, arrived);
      expect({ doubled, foreign }).toEqual({ doubled: [], foreign: [] });
      // Those behind a gap whose client had not acknowledged the answer before by itself: they may be the rest of one.
      expect(missing.length).toBe(report.dropped.gap);
      expect(missing.length).toBeLessThan((2000 - left.size) / 4);
      expect(report.turns).toMatchObject({ captured: left.size, dropped: missing.length, pending: 0 });
      expect(report.sessions.closed).toBe(report.sessions.opened);
      expect(code).toBe(0);
      await target.stop();
    }
    await lab.stopAll();

    // Anything may be missing: SYNs, FINs, acknowledgements.
    const worse = damage(file, "tcp", 0.05);
    const rest = pathsIn(worse);
    const target = await startNginx(lab, lab.target, 8080);
    const { code, report } = await replay(lab, ["-i", worse, "-a", "max"]);
    const { missing, doubled, foreign } = compareContents(rest, (await contentsOf(target)).map(pathOf));
    expect({ doubled, foreign }).toEqual({ doubled: [], foreign: [] });
    // Those whose beginning or session nothing in the file tells.
    expect(missing.length).toBe(report.dropped.gap + report.dropped.midstream);
    expect(missing.length).toBeLessThan(rest.size / 10);
    expect(report.turns).toMatchObject({ captured: rest.size, dropped: missing.length, pending: 0 });
    expect(sent).toHaveLength(2000);
    expect(code).toBe(0);
  });
}

for (const bytes of [80, 100]) {
  test(`packets that were cut to ${bytes} bytes are not sent, and each is counted`, async () => {
    const { file } = await recordLoad(lab, `uncut-${bytes}.pcap`, { url: `http://${ONLINE}`, count: 500 });
    const cut = join(lab.directory, `cut-${bytes}.pcap`);
    run(lab.online, "editcap", "-s", `${bytes}`, file, cut);
    const target = await startNginx(lab, lab.target, 8080);
    const { code, report, errors } = await replay(lab, ["-i", cut, "-a", "max"]);
    expect(await contentsOf(target)).toEqual([]);
    expect(report.turns).toMatchObject({ captured: 500, sent: 0, dropped: 500, pending: 0 });
    expect(report.dropped.gap).toBe(500);
    expect(report.trace?.snapped).toBe(500);
    expect(report.sessions).toMatchObject({ active: 0, failed: 0 });
    expect(errors.join("\n")).toContain("500 requests cut by the capture");
    expect(code).toBe(0);
  });
}

test("large requests that were cut are left out, small ones between them arrive", async () => {
  const { file, sent } = await recordLoad(lab, "mixed.pcap", { url: `http://${ONLINE}`, count: 1000 });
  const cut = join(lab.directory, "mixed-cut.pcap");
  run(lab.online, "editcap", "-s", "400", file, cut);
  const snapped = new Set(
    tshark(cut, "frame.cap_len < frame.len && tcp.dstport == 80", "tcp.payload").map(
      (hex) => Buffer.from(hex.slice(0, 120), "hex").toString().split(" ")[1]!,
    ),
  );
  const whole = sent.filter((content) => !snapped.has(pathOf(content)));
  expect(whole.length).toBeGreaterThan(100);
  expect(whole.length).toBeLessThan(900);
  const target = await startNginx(lab, lab.target, 8080);
  const { code, report } = await replay(lab, ["-i", cut, "-a", "max"]);
  const { doubled, foreign, missing } = compareContents(whole, await contentsOf(target));
  expect({ doubled, foreign, missing }).toEqual({ doubled: [], foreign: [], missing: [] });
  expect(report.turns).toMatchObject({ captured: 1000, pending: 0 });
  expect(report.dropped.gap).toBe(1000 - whole.length);
  expect(code).toBe(0);
});
