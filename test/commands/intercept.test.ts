/** `xcopy intercept` up to the point where it would start, as a user sees it; and in the background. */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../support/until.ts";
import { ALONE, mistake, POWERLESS, xcopy } from "./run.ts";

const ONE_ADDRESS = [
  "unshare",
  "-n",
  "sh",
  "-c",
  'ip link set lo up; ip addr add 10.0.0.2/24 dev lo; exec "$@"',
  "sh",
];

/** A key, as xcopy key makes one. */
const directory = mkdtempSync(join(tmpdir(), "xcopy-intercept-"));
const KEY = join(directory, "key");
writeFileSync(KEY, "0123456789abcdef0123456789abcdef", { mode: 0o600 });
afterAll(() => rmSync(directory, { recursive: true }));
const KEYED = ["--key-file", KEY];

describe("usage", () => {
  test("without -o and -F", () => {
    expect(xcopy(["intercept"])).toEqual(
      mistake(
        2,
        "Cannot catch responses: neither -o nor -F says which",
        `Name the service on the target, for example "-o :8080", or on a third host "-F 'tcp and src port 8080'".`,
      ),
    );
  });

  test("an invalid filter", () => {
    const { code, stderr } = xcopy(["intercept", "-F", "tcp and banana", "--dry-run", ...KEYED], {
      within: ALONE,
    });
    expect(code).toBe(2);
    expect(stderr).toContain("banana");
  });

  test("a key that others can read", () => {
    const directory = mkdtempSync(join(tmpdir(), "xcopy-key-"));
    const file = join(directory, "key");
    writeFileSync(file, "0123456789abcdef", { mode: 0o644 });
    const { code, stderr } = xcopy(["intercept", "-o", ":80", "--key-file", file]);
    rmSync(directory, { recursive: true });
    expect([code, stderr]).toEqual([
      2,
      expect.stringContaining("every user of this host can read or change it"),
    ]);
  });

  test("without a key", () => {
    const fix =
      'Make one ("xcopy key /etc/xcopy/xcopy.key"), and take it to the host of the copy ("ssh root@HOST mkdir -p /etc/xcopy; scp -p /etc/xcopy/xcopy.key root@HOST:/etc/xcopy/xcopy.key"). To try it out in a network that nobody else can reach: --insecure on both sides.';
    for (const words of [
      ["-o", ":80"],
      ["-F", "tcp"],
      ["-o", ":80", "--dry-run"],
    ])
      expect(xcopy(["intercept", ...words], { within: ALONE })).toEqual(
        mistake(
          2,
          "Cannot catch responses: there is no key that copy and intercept share, and without one anybody could take the responses",
          fix,
        ),
      );
    expect(xcopy(["intercept", "-o", ":80", "--insecure", ...KEYED])).toEqual(
      mistake(2, `Cannot use --insecure: there is a key (${KEY})`, "Leave --insecure out, or the key."),
    );
  });

  test("without a key, for tcpcopy 1.x alone", () => {
    const words = ["intercept", "-o", ":80", "--compat", "--compat-from", "10.0.0.1", "--dry-run"];
    const { code, stdout } = xcopy(words, { within: ONE_ADDRESS });
    expect(stdout).toContain("listen    on 10.0.0.2:36524, for no copy, and any tcpcopy 1.x from 10.0.0.1\n");
    expect(code).toBe(0);
  });

  test("without privileges", () => {
    const { code, stderr } = xcopy(["intercept", "-o", ":80", ...KEYED], {
      within: [...ALONE, ...POWERLESS],
    });
    expect(code).toBe(4);
    expect(stderr).toContain(
      "Cannot catch packets: this process lacks CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN\n",
    );
  });

  test("without privileges, in mode nfqueue, which needs none for eBPF", () => {
    const words = ["intercept", "--mode", "nfqueue", "-o", ":80", "-x", "10.0.0.9", ...KEYED];
    const { code, stderr } = xcopy(words, { within: [...ALONE, ...POWERLESS] });
    expect(code).toBe(4);
    expect(stderr).toContain("Cannot catch packets: this process lacks CAP_NET_ADMIN\n");
  });
});

describe("a dry run", () => {
  test("on the target", () => {
    const words = ["intercept", "-o", "10.0.0.2:80,:8080-8090", "--dry-run"];
    const { code, stdout, stderr } = xcopy([...words, ...KEYED], { within: ONE_ADDRESS });
    expect(stdout).toBe(
      [
        "Nothing is touched. Without --dry-run this would happen:",
        "",
        "mode      target",
        "learn     connections to 10.0.0.2:80, *:8080-8090 whose SYN carries the cookie of a copy; they pass unchanged",
        "catch     what these ports send in such connections: headers to the copy, packets dropped; nothing else",
        "attach    at ingress and egress by tcx, or clsact where the kernel has no tcx: lo",
        "listen    on 0.0.0.0:36524, [::]:36524, for copies with the key",
        "linger    after the end, responses are dropped for another 120 s if the target may still answer",
        "",
      ].join("\n"),
    );
    expect([code, stderr]).toEqual([0, ""]);
    const insecure = xcopy([...words, "--insecure"], { within: ONE_ADDRESS });
    expect(insecure.stdout).toContain("listen    on 10.0.0.2:36524, for any copy\n");
    expect(insecure.stderr).toMatch(/^warning: --insecure: copies are not authenticated; any host/);
  });

  test("on an assistant, called as intercept", () => {
    const { stdout, stderr } = xcopy(["-F", "tcp and src port 80", "--dry-run"], {
      within: [...ONE_ADDRESS, "bash", "-c", 'exec -a intercept "$@"', "bash"],
    });
    expect(stdout).toContain("mode      assistant\n");
    expect(stdout).toContain(
      "catch     (tcp and src port 80) and not (tcp dst port 36524 and (dst host 10.0.0.2)): headers to the copies, packets dropped, all of them\n",
    );
    expect(stdout).toContain(
      "listen    on 10.0.0.2:36524, for no copy, and any tcpcopy 1.x from 0.0.0.0/0, ::/0\n",
    );
    expect(stderr).toStartWith(
      "warning: A tcpcopy 1.x has no key, and no --compat-from names its host: ANY HOST",
    );
  });
});

test("in the background: works when the command ends, and is gone after a signal", async () => {
  const directory = mkdtempSync(join(tmpdir(), "xcopy-daemon-"));
  const [log, pidFile] = [join(directory, "log"), join(directory, "pid")];
  try {
    const words = ["intercept", "-o", ":8080", "--linger", "0", "-d", "-l", log, "-P", pidFile, ...KEYED];
    const { code, stderr } = xcopy(words, { within: ONE_ADDRESS });
    expect(stderr).toContain(
      "catching *:8080 by tcx on lo, mode target; copies connect to 0.0.0.0:36524, [::]:36524",
    );
    expect(code).toBe(0);
    const pid = Number(readFileSync(pidFile, "utf8"));
    expect(readFileSync(`/proc/${pid}/cmdline`, "utf8")).toContain("intercept");
    process.kill(pid, "SIGTERM");
    await until("it has ended", () => !existsSync(pidFile));
    expect(readFileSync(log, "utf8")).toContain("caught for ");
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("in the background it says what went wrong", () => {
  const words = ["intercept", "-o", ":8080", "-b", "10.9.9.9", "-d", "-l", "/dev/null", ...KEYED];
  const { code, stderr } = xcopy(words, { within: ONE_ADDRESS });
  expect(code).toBe(1);
  expect(stderr).toContain('Cannot listen on "10.9.9.9:36524"');
});
