/**
 * What a host can do with xcopy, a test each: every way to capture, every way back, records, UDP, an end by kill -9, the demo.
 * bin/test-kernels runs this on several kernels: its table has a line for each of these tests. What a kernel does not have must
 * be refused with an error and its fix; where that is right is said here, and the reason goes into the table.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import { ONLINE, ONLINE6, TARGET, TARGET6 } from "../../src/demo/network.ts";
import { compareContents, EXACTLY_ONCE } from "../support/compare.ts";
import { startIntercept } from "../support/intercept.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { type Nginx, readRequests, startNginx } from "../support/nginx.ts";
import { run } from "../support/process.ts";
import { startRecord } from "../support/record.ts";
import { createThird, setForwarding, THIRD } from "../support/third.ts";
import { until } from "../support/until.ts";
import { load } from "../support/wrk.ts";
import { faultsOf, hostState, runXcopy, startCopy, XCOPY } from "../support/xcopy.ts";

const COUNT = 300;
const TRANSFER = ["-x", `80-${TARGET}:8080`];
const URL = `http://${ONLINE}`;

const [major, minor] = release().split(".").map(Number) as [number, number];
const isBefore = (first: number, second: number) => major < first || (major === first && minor < second);

let lab: Lab;
let third: string | undefined;
beforeAll(() => {
  lab = createLab();
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

/** Set on a host that lacks rights or files (bin/test-kernels): there a feature may be refused, by one line and its fix. */
const IS_RESTRICTED = process.env.XCOPY_TEST_RESTRICTED === "1";

/** Says more about a feature in the table of bin/test-kernels. */
function remark(name: string, text: string): void {
  console.log(`@remark ${name}: ${text}`);
}

/** A test of a feature that a restricted host may refuse. */
function feature(name: string, run: () => Promise<void>): void {
  test(name, async () => {
    try {
      await run();
    } catch (error) {
      const refusal = /^".*" ended:\n(?:.*\n)*?(Cannot .*)\n(.+)$/.exec((error as Error).message);
      if (!IS_RESTRICTED || !refusal) throw error;
      remark(name, `refused: ${refusal[1]} / ${refusal[2]}`);
    }
  });
}

async function contents(server: Nginx): Promise<string[]> {
  return (await readRequests(server)).map(({ content }) => content);
}

interface Way {
  copy?: string[];
  url?: string;
  target?: string;
  close?: boolean;
}

/** Requests reach the target exactly once, and all are answered. Returns how they are captured, and what is said of it. */
async function copies({ copy: more = [], url = URL, target = TARGET, close = false }: Way) {
  const [online, test] = [await startNginx(lab, lab.online, 80), await startNginx(lab, lab.target, 8080)];
  const copy = await startCopy(lab, ["-x", `80-${target}:8080`, ...more]);
  const sent = await load(lab, { url, rate: 500, count: COUNT, connections: 20, close });
  await copy.report("all responses", ({ turns }) => turns.answered === COUNT);
  const { code, report } = await copy.stop();
  expect(sent).toMatchObject({ requests: COUNT, errors: 0 });
  expect(compareContents(await contents(online), await contents(test))).toEqual(EXACTLY_ONCE);
  expect(report.turns).toMatchObject({ captured: COUNT, answered: COUNT, dropped: 0 });
  expect(report.capture.lost).toBe(0);
  expect(faultsOf(copy.reports())).toEqual([]);
  expect(code).toBe(0);
  return {
    source: report.capture.source,
    said: copy.running.errors.filter((line) => / instead|warning/.test(line)),
  };
}

describe("capture", () => {
  for (const capture of ["tcx", "clsact", "xdp", "xdp-generic", "packet", "raw", "pcap"]) {
    if (capture === "tcx" && isBefore(6, 6)) {
      test(capture, async () => {
        await startNginx(lab, lab.target, 8080);
        const { code, errors } = await runXcopy(lab, ["copy", ...TRANSFER, "--capture", capture]);
        expect(errors).toMatch(
          /^Cannot attach to interface "\w+" by tcx: this kernel has none\nUse Linux 6.6/m,
        );
        expect(code).toBe(5);
        remark(capture, "refused: this kernel has none (it came with 6.6)");
      });
      continue;
    }
    test(capture, async () => {
      const { source } = await copies({ copy: ["--capture", capture] });
      expect(source).toBe(capture.replace("-generic", ""));
    });
  }

  feature("by itself", async () => {
    const { source, said } = await copies({});
    if (!IS_RESTRICTED) expect(source).toBe(isBefore(6, 6) ? "clsact" : "tcx");
    remark("by itself", [source, ...said].join("; "));
  });

  test("short connections, IPv6", async () => {
    await copies({ url: `http://[${ONLINE6}]`, target: `[${TARGET6}]`, close: true });
  });

  for (const capture of ["clsact", "xdp"]) {
    feature(`filter (-F) in front of ${capture}`, async () => {
      await copies({ copy: ["--capture", capture, "-F", "tcp and src net 10.1.0.0/16 and len > 40"] });
    });
  }

  test("several workers", async () => {
    await copies({ copy: ["--workers", "2"] });
  });
});

describe("return path", () => {
  feature("target", async () => {
    await startIntercept(lab, lab.target, ["-o", ":8080", "--linger", "1"]);
    await copies({ copy: ["-s", TARGET, "-c", "10.9.0.1-10.9.0.20"] });
  });

  feature("nfqueue", async () => {
    await startIntercept(lab, lab.target, ["--mode", "nfqueue", "-o", ":8080"]);
    await copies({ copy: ["-s", TARGET] });
  });

  test.each(["tc", "xdp"])("assistant, %s", async (hook) => {
    third ??= createThird(lab);
    setForwarding(third, false);
    const choice = hook === "xdp" ? ["--hook", "xdp"] : ["--hook", isBefore(6, 6) ? "clsact" : "tcx"];
    await startIntercept(lab, third, ["-o", `${TARGET}:8080`, "--linger", "1", ...choice]);
    await copies({ copy: ["-s", THIRD] });
  });
});

feature("record and replay", async () => {
  const online = await startNginx(lab, lab.online, 80);
  const file = join(lab.directory, "features.pcapng");
  // Where xcopy is not root's.
  chmodSync(lab.directory, 0o777);
  const record = await startRecord(lab, ["-x", "80", "-w", file, "--both"]);
  await load(lab, { url: URL, rate: 500, count: COUNT, connections: 20 });
  const { code, account } = await record.stop();
  expect([code, account.capture.lost]).toEqual([0, 0]);
  const target = await startNginx(lab, lab.target, 8080);
  const replay = await runXcopy(lab, ["copy", ...TRANSFER, "-i", file, "-a", "max", "--json"]);
  expect(replay.code).toBe(0);
  expect(compareContents(await contents(online), await contents(target))).toEqual(EXACTLY_ONCE);
});

feature("UDP", async () => {
  const script = (name: string) => join(import.meta.dir, `../support/${name}.ts`);
  const servers = [lab.online, lab.target].map((namespace) =>
    lab.start(namespace, [process.execPath, script("datagram-echo"), "::", "7000"]),
  );
  for (const server of servers) await server.line(/^ready$/);
  const copy = await startCopy(lab, ["-x", `udp:7000-${TARGET}`]);
  const sizes = ["1", "1472", "3000", "60000"];
  const client = lab.start(lab.client, [
    process.execPath,
    script("datagram-client"),
    ONLINE,
    "7000",
    ...sizes,
  ]);
  expect(await client.exited).toBe(0);
  await copy.report("all answered", ({ udp }) => udp!.datagrams.answered === sizes.length);
  const { report } = await copy.stop();
  const got = servers.map(({ output }) => output.map((line) => line.split(" ").slice(0, 2).join(" ")));
  expect(got[1]).toEqual(got[0]!);
  expect(report.udp!.datagrams).toMatchObject({ captured: sizes.length, dropped: 0 });
});

/** What an intercept attaches to a host. */
function attachedTo(namespace: string): string {
  return [
    ["tc", "qdisc", "show"],
    ["bpftool", "net"],
    ["nft", "list", "ruleset"],
  ]
    .map((command) => run(namespace, ...command))
    .join("\n");
}

test("kill -9, then cleanup", async () => {
  await startNginx(lab, lab.online, 80);
  await startNginx(lab, lab.target, 8080);
  const states = () => [hostState(lab.online), attachedTo(lab.target)];
  const before = states();
  const intercept = await startIntercept(lab, lab.target, ["-o", ":8080", "-b", TARGET, "--linger", "1"]);
  const killed = await startCopy(lab, [...TRANSFER, "-s", TARGET, "-c", "10.9.0.1-10.9.0.20"]);
  const direct = await startCopy(lab, ["-x", `81-${TARGET}:8080`]);
  await load(lab, { url: URL, rate: 500, count: COUNT, connections: 20 });
  for (const { running } of [killed, direct, intercept]) expect(await running.stop("SIGKILL")).toBe(137);
  // Filters of clsact stay until they are removed, with what they do while nobody reads: nothing.
  await load(lab, { url: URL, rate: 500, count: COUNT, connections: 20 });
  const { code } = await runXcopy(lab, ["cleanup"]);
  const there = await lab.start(lab.target, [XCOPY, "cleanup"]).exited;
  expect([code, there]).toEqual([0, 0]);
  // tcx links end with the process, but not within the call that ends it.
  const left = () => {
    const lines = new Set(before.join("\n").split("\n"));
    return states()
      .join("\n")
      .split("\n")
      .filter((line) => !lines.has(line));
  };
  await until(
    () => `nothing is left:\n${left().join("\n")}`,
    () => states().join() === before.join(),
  );
});

// Elsewhere the demo has a test of its own.
test.if(process.env.XCOPY_TEST_MACHINE === "1")("demo", async () => {
  const begun = performance.now();
  const demo = Bun.spawn([XCOPY, "demo"], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [output, errors, code] = await Promise.all([demo.stdout.text(), demo.stderr.text(), demo.exited]);
  expect([code, errors]).toEqual([0, ""]);
  expect(output).toContain("Each of the 16,000 requests reached the target exactly once");
  remark("demo", `exit 0 after ${((performance.now() - begun) / 1000).toFixed(0)} s`);
});
