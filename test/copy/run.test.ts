/** A run from attaching to the exit code, with a fake data plane. */
import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { collect } from "../support/process.ts";
import { until } from "../support/until.ts";

const PLANE = join(import.meta.dir, "plane.ts");
const MAIN = join(import.meta.dir, "../../src/main.ts");
const TRANSFER = "80-127.0.0.1:8080";
/** Namespaces of its own for the network and for /run. */
const ALONE = [
  "unshare",
  "-n",
  "-m",
  "sh",
  "-c",
  'ip link set lo up; mount -t tmpfs none /run; exec "$@"',
  "sh",
];

interface Run {
  pid: number;
  kill(signal: NodeJS.Signals): void;
  /** Lines so far. */
  stdout: string[];
  stderr: string[];
  /** Resolves when a line of stderr matches; throws if it ends without one. */
  said(pattern: RegExp): Promise<unknown>;
  ended: Promise<number>;
}

const running: Run[] = [];
afterEach(async () => {
  for (const run of running.splice(0)) {
    run.kill("SIGKILL");
    await run.ended;
  }
});

/** Starts `xcopy copy` with a data plane that behaves as named. */
function start(behaviour: string, words: string[], within = ALONE): Run {
  const child = Bun.spawn([...within, process.execPath, PLANE, behaviour, "copy", "-x", TRANSFER, ...words], {
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, NO_COLOR: "1" },
  });
  const [stdout, stderr]: [string[], string[]] = [[], []];
  const streams = [collect(child.stdout, stdout), collect(child.stderr, stderr)];
  let over = false;
  const ended = Promise.all([child.exited, ...streams]).then(([code]) => {
    over = true;
    return code;
  });
  const said = (pattern: RegExp) =>
    until(`it says ${pattern}`, () => {
      const found = stderr.some((line) => pattern.test(line));
      if (over && !found) throw new Error(`It ended without saying ${pattern}:\n${stderr.join("\n")}`);
      return found;
    });
  const run = {
    pid: child.pid,
    kill: (signal: NodeJS.Signals) => child.kill(signal),
    stdout,
    stderr,
    said,
    ended,
  };
  running.push(run);
  return run;
}

/** The last line of a copy that could not start. */
const pointer = (words: string[]) =>
  `"${["xcopy doctor -x", TRANSFER, ...words].join(" ")}" looks at everything on the way`;

/** The command line that runs something in the namespaces of a process. */
const beside = ({ pid }: Run) => ["nsenter", "-t", String(pid), "-n", "-m"];

/** Names in the directory of records. */
const recordsOf = (run: Run) =>
  Bun.spawnSync([...beside(run), "ls", "/run/xcopy"])
    .stdout.toString()
    .trim()
    .split("\n")
    .filter(Boolean);
const claimsOf = (run: Run) => recordsOf(run).filter((name) => name.startsWith("ports-"));

const socketOf = ({ pid }: Run) => `/run/xcopy/top-${pid}.sock`;

const COPYING = /^copying 80-127\.0\.0\.1:8080, captured by (tcx|clsact) on lo$/;
/** How much depends on the host. */
const ROOM =
  /^\d+ MB for captured packets that wait to be read \(-B\), up to \d+ MB for requests that wait to be sent \(-m\)$/;

test.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)(
  "%s: drained, detached, summary, exit 0",
  async (signal) => {
    const run = start("ends", []);
    await run.said(COPYING);
    run.kill(signal);
    expect(await run.ended).toBe(0);
    expect(run.stderr.slice(0, 3)).toEqual([
      expect.stringMatching(COPYING),
      expect.stringMatching(ROOM),
      expect.stringMatching(/^copied for [0-9.]+ s, captured by /),
    ]);
    expect(run.stdout).toEqual([]);
  },
);

test("a second signal ends a long drain", async () => {
  const run = start("hangs", ["--drain", "3000"]);
  await run.said(COPYING);
  run.kill("SIGTERM");
  run.kill("SIGINT");
  expect(await run.ended).toBe(0);
  expect(run.stderr[2]).toStartWith("copied for ");
});

test("a data plane that does not end is not waited for longer than the drain", async () => {
  const run = start("hangs", ["--drain", "0"]);
  await run.said(COPYING);
  run.kill("SIGTERM");
  expect(await run.ended).toBe(0);
  expect(run.stderr[2]).toStartWith("copied for ");
});

test("a data plane that dies is reported, with the summary and exit code 1", async () => {
  const run = start("dies", ["--json"]);
  expect(await run.ended).toBe(1);
  expect(run.stderr[0]).toMatch(COPYING);
  expect(run.stderr[2]).toStartWith("Cannot go on: the data plane died: Error: boom");
  expect(run.stderr.join("\n")).toMatch(/^This is a bug in xcopy [0-9.]+: please report it\.$/m);
  expect(run.stderr.join("\n")).toMatch(/^copied for /m);
  expect(JSON.parse(run.stdout.at(-1)!)).toHaveProperty("mode", "direct");
});

test("a signal before the targets have answered ends it", async () => {
  const run = start("never", []);
  await until("it has claimed its ports", () => claimsOf(run).includes(`ports-${run.pid}.json`));
  run.kill("SIGTERM");
  expect(await run.ended).toBe(0);
  expect(run.stderr).toEqual(["ended before the first request"]);
});

test.each([
  [
    "refused",
    ["-c", "127.0.0.2,127.0.0.3"],
    "connection refused",
    "Start the service there, check the firewalls on the way",
  ],
  [
    "silent",
    [],
    "no response to a connection attempt from 127.0.0.1, and an ordinary connection from this host is refused: a firewall rejects it with an ICMP error, or keeps the service's own refusal from copies",
    'Let port 8080 through in the firewall of 127.0.0.1 and in those on the way ("nft list ruleset" or "iptables -S" there shows the rule), check that the service is there',
  ],
])("a target found %s is an error with exit code 3", async (behaviour, words, cause, fix) => {
  const run = start(behaviour, words);
  expect(await run.ended).toBe(3);
  expect(run.stderr).toEqual([
    `Cannot reach target "127.0.0.1:8080": ${cause}`,
    `${fix}, or start anyway with --force.`,
    pointer(words),
  ]);
  expect(run.stdout).toEqual([]);
});

test.each(["refused", "silent"])("--force starts with a target found %s", async (behaviour) => {
  const run = start(behaviour, ["--force", "-c", "127.0.0.2,127.0.0.3"]);
  await run.said(COPYING);
});

test("--json is one object as the last line, and one per interval with --stats-interval", async () => {
  const run = start("ends", ["--json", "--stats-interval", "0.1", "-l", "/run/log"]);
  await until("two reports", () => run.stdout.length >= 2);
  run.kill("SIGTERM");
  expect(await run.ended).toBe(0);
  const reports = run.stdout.map((line) => JSON.parse(line));
  expect(reports.length).toBeGreaterThanOrEqual(3);
  expect(Object.keys(reports.at(-1))).toEqual(
    expect.arrayContaining([
      "mode",
      "seconds",
      "capture",
      "sessions",
      "turns",
      "sent",
      "responses",
      "lag_us",
    ]),
  );
  expect(run.stderr).toContain("captured 0  sent 0  answered 0  lost 0  lag 0 us");
});

test("without --json nothing goes to stdout, and a status line to stderr at each interval", async () => {
  const run = start("ends", ["--stats-interval", "0.1"]);
  await run.said(/^captured 0 {2}sent 0 {2}answered 0 {2}lost 0 {2}lag 0 us$/);
  run.kill("SIGTERM");
  await run.ended;
  expect(run.stdout).toEqual([]);
});

test("-l gets every line with time and level", async () => {
  const directory = mkdtempSync(join(tmpdir(), "xc-log-"));
  try {
    const log = join(directory, "log");
    writeFileSync(log, "what was there\n");
    await start("dies", ["-l", log]).ended;
    const text = readFileSync(log, "utf8");
    const stamp = "[0-9-]{10}T[0-9:.]{12}Z";
    expect(text).toStartWith("what was there\n");
    expect(text).toMatch(new RegExp(`^${stamp} info copying 80-127.0.0.1:8080`, "m"));
    expect(text).toMatch(new RegExp(`^${stamp} error Cannot go on: the data plane died`, "m"));
    expect(text).toMatch(new RegExp(`^${stamp} info   requests  0 captured, 0 sent, 0 answered$`, "m"));
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("a second xcopy to a target needs other ports or another target", async () => {
  const first = start("ends", []);
  await first.said(COPYING);
  const again = start("ends", [], beside(first));
  expect(await again.ended).toBe(3);
  expect(again.stderr).toEqual([
    expect.stringMatching(
      new RegExp(
        `^Cannot use ports [0-9, -]+ towards "127.0.0.1:8080": xcopy with process id ${first.pid} uses them$`,
      ),
    ),
    "Stop that one, add its -x to this command, or give each its own part of the ports: -f 0/2 and -f 1/2.",
    pointer([]),
  ]);
  const elsewhere = start("ends", ["-c", "127.0.0.9"], beside(first));
  await elsewhere.said(COPYING);
  expect(claimsOf(first).sort()).toEqual([first, elsewhere].map(({ pid }) => `ports-${pid}.json`).sort());
});

test("with -f several run side by side, each with ports of its own", async () => {
  const first = start("ends", ["-f", "0"]);
  await first.said(COPYING);
  for (const part of ["1", "15"]) await start("ends", ["-f", part], beside(first)).said(COPYING);
  const taken = start("ends", ["-f", "1"], beside(first));
  expect(await taken.ended).toBe(3);
  const overlapping = start("ends", ["-f", "0/2"], beside(first));
  expect(await overlapping.ended).toBe(3);
  expect(claimsOf(first)).toHaveLength(3);
});

test("the claim of a killed xcopy does not count", async () => {
  const first = start("ends", []);
  await first.said(COPYING);
  const other = start("ends", ["-c", "127.0.0.9"], beside(first));
  await other.said(COPYING);
  first.kill("SIGKILL");
  await first.ended;
  const again = start("ends", [], beside(other));
  await again.said(COPYING);
  expect(claimsOf(other).sort()).toEqual([again, other].map(({ pid }) => `ports-${pid}.json`).sort());
});

test("cleanup removes the claim and the socket of a killed xcopy, not those of a running one", async () => {
  const killed = start("ends", []);
  await killed.said(COPYING);
  const alive = start("ends", ["-c", "127.0.0.9"], beside(killed));
  await alive.said(COPYING);
  killed.kill("SIGKILL");
  await killed.ended;
  const words = [...beside(alive), process.execPath, MAIN, "cleanup"];
  const cleanup = () => Bun.spawnSync(words).stdout.toString();
  expect(cleanup()).toBe(`removed /run/xcopy/ports-${killed.pid}.json\nremoved ${socketOf(killed)}\n`);
  expect(cleanup()).toBe("nothing to remove\n");
  expect(recordsOf(alive)).toEqual([`ports-${alive.pid}.json`, `top-${alive.pid}.sock`]);
  alive.kill("SIGTERM");
  await alive.ended;
});
