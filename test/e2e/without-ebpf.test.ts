/** Hosts where no eBPF program may be loaded: sockets and netfilter take their place. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { release, tmpdir } from "node:os";
import { join } from "node:path";
import { addAddress, ip, ONLINE, ONLINE6, TARGET, TARGET6 } from "../../src/demo/network.ts";
import { compareContents, EXACTLY_ONCE } from "../support/compare.ts";
import { startIntercept } from "../support/intercept.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { type Nginx, readRequests, startNginx } from "../support/nginx.ts";
import { run } from "../support/process.ts";
import { refusedObject } from "../support/refused.ts";
import { privilegesOf, privilegesOfAll } from "../support/threads.ts";
import { until } from "../support/until.ts";
import { load, loadBothKinds } from "../support/wrk.ts";
import { faultsOf, hostState, runXcopy, startCopy } from "../support/xcopy.ts";

/** Without CAP_BPF and what includes it. */
const LIMITED = ["setpriv", "--bounding-set=-bpf,-sys_admin,-perfmon"];
/** Where nft fails as well. */
const WITHOUT_NFT = [
  ...["unshare", "-m", "sh", "-c", 'mount --bind /bin/false "$(command -v nft)" && exec "$@"', "sh"],
  ...LIMITED,
];

const LACKING = "Cannot load eBPF programs: this process lacks CAP_BPF, CAP_PERFMON";
const BY_PACKET = `capturing by a packet socket instead of eBPF, which shows requests up to 2 ms later: ${LACKING}\n`;
const BY_SOCKET =
  "catching responses by a packet socket instead of eBPF, kept from this host's TCP by a netfilter rule";

/** As a user without any right but these. */
const AS_NOBODY = (...capabilities: string[]) => {
  const some = ["-all", ...capabilities.map((name) => `+${name}`)].join();
  return [
    ...["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups"],
    ...[`--bounding-set=${some}`, `--inh-caps=${some}`, `--ambient-caps=${some}`],
  ];
};

/** The sentence of the page about installing that names them. */
const NEEDED = [
  .../^- Root, or `CAP_[^.]*?\(/ms
    .exec(readFileSync(join(import.meta.dir, "../../docs/guides/installing.md"), "utf8"))![0]
    .matchAll(/`CAP_(\w+)`/g),
].map(([, name]) => name!.toLowerCase());

/** Of every thread, once it works. */
const DROPPED = { noNewPrivileges: true, isFiltered: true };

/** What systemd gives a service by RuntimeDirectory=xcopy. */
const RUNTIME_DIRECTORY = [
  ...["unshare", "-m", "sh", "-c"],
  'mkdir -p /run/xcopy && mount -t tmpfs -o uid=65534,mode=755 none /run/xcopy && exec "$@"',
  "sh",
];

let lab: Lab;
beforeAll(() => {
  lab = createLab();
});
afterEach(() => lab.stopAll());
afterAll(() => lab.remove());

async function contents(server: Nginx): Promise<string[]> {
  return (await readRequests(server)).map(({ content }) => content);
}

/** Counts the resets that the online host's own TCP sends to targets; ours have a mark, or come by no chain at all. */
function countResets(): { stop(): number } {
  const rule = "meta mark != 0xc0 tcp dport 8080 tcp flags & rst != 0 counter";
  const chain = `chain out { type filter hook output priority 0; ${rule}; }`;
  run(lab.online, "nft", `table inet resets { ${chain}; }`);
  return {
    stop() {
      const table = run(lab.online, "nft", "list", "table", "inet", "resets");
      run(lab.online, "nft", "delete", "table", "inet", "resets");
      return Number(/counter packets (\d+)/.exec(table)![1]);
    },
  };
}

/** iptables leaves the empty tables that it made for its rules. */
function changeable(): string {
  const empty = /table ip6? raw \{\s+chain PREROUTING \{\s+type[^}]*\}\s*\}\s*/g;
  return hostState(lab.online)
    .replaceAll(empty, "")
    .replaceAll(/\n\s*\n/g, "\n");
}

interface Case {
  name: string;
  args: string[];
  url: string;
  target?: "online";
  prefix?: string[];
}

const CASES: Case[] = [
  { name: "a target beside this host", args: ["-x", `80-${TARGET}:8080`], url: `http://${ONLINE}` },
  { name: "IPv6", args: ["-x", `80-[${TARGET6}]:8080`], url: `http://[${ONLINE6}]` },
  {
    name: "a target on this host",
    args: ["-x", "80-127.0.0.1:8080"],
    url: `http://${ONLINE}`,
    target: "online",
  },
  {
    name: "iptables",
    args: ["-x", `80-${TARGET}:8080`],
    url: `http://${ONLINE}`,
    prefix: WITHOUT_NFT,
  },
  {
    name: "ip6tables, capture by raw",
    args: ["-x", `80-[${TARGET6}]:8080`, "--capture", "raw"],
    url: `http://[${ONLINE6}]`,
    prefix: WITHOUT_NFT,
  },
  {
    name: "capture by pcap",
    args: ["-x", `80-${TARGET}:8080`, "--capture", "pcap"],
    url: `http://${ONLINE}`,
  },
];

for (const { name, args, url, target: targetHost = "target", prefix = LIMITED } of CASES) {
  test(`copies exactly once, keep-alive and short connections: ${name}`, async () => {
    const online = await startNginx(lab, lab.online, 80);
    const target = await startNginx(lab, lab[targetHost], 8080);
    const before = changeable();
    const resets = countResets();
    const copy = await startCopy(lab, args, { prefix });
    const said = copy.running.errors.join("\n");
    if (!args.includes("--capture")) {
      expect(said).toContain(BY_PACKET);
      expect(said).toContain("captured by packet on");
    }
    expect(said).toContain(BY_SOCKET);
    expect(said.split(LACKING)).toHaveLength(2);

    const result = await loadBothKinds(lab, { url, rate: 600, count: 1000 });
    const { code, report } = await copy.stop();

    expect(result).toMatchObject({ requests: 1000, errors: 0 });
    expect(compareContents(await contents(online), await contents(target))).toEqual(EXACTLY_ONCE);
    expect(report.turns).toMatchObject({ captured: 1000, sent: 1000, answered: 1000, dropped: 0 });
    expect(faultsOf(copy.reports())).toEqual([]);
    expect(code).toBe(0);
    // This host's TCP saw no answer that it knows no connection of.
    expect(resets.stop()).toBe(0);
    expect(changeable()).toBe(before);
  });
}

test("from a pool of addresses", async () => {
  const pool = ["10.0.0.101", "10.0.0.102"];
  for (const address of pool) addAddress(lab.online, "back", `${address}/24`);
  const online = await startNginx(lab, lab.online, 80);
  const target = await startNginx(lab, lab.target, 8080);
  const copy = await startCopy(lab, ["-x", `80-${TARGET}:8080`, "-c", pool.join(",")], { prefix: LIMITED });
  await load(lab, { url: `http://${ONLINE}`, rate: 500, count: 500, close: true });
  await copy.stop();
  for (const address of pool) ip("-n", lab.online, "addr", "del", `${address}/24`, "dev", "back");
  expect(compareContents(await contents(online), await contents(target))).toEqual(EXACTLY_ONCE);
  expect(new Set((await readRequests(target)).map(({ address }) => address))).toEqual(new Set(pool));
});

test("what a killed xcopy left is removed by cleanup, and by the next start", async () => {
  await startNginx(lab, lab.online, 80);
  await startNginx(lab, lab.target, 8080);
  const rules = () => run(lab.online, "nft", "list", "ruleset");
  const before = rules();
  const args = ["-x", `80-${TARGET}:8080`];
  const start = async () => {
    const copy = await startCopy(lab, args, { prefix: LIMITED });
    const during = rules();
    expect(during).toContain('drop comment "xcopy"');
    return { copy, name: /table inet (xcopy-\d+-d)/.exec(during)![1]! };
  };

  const first = await start();
  await first.copy.running.stop("SIGKILL");
  expect(rules()).toContain(first.name);
  const cleanup = await runXcopy(lab, ["cleanup"]);
  expect(cleanup).toMatchObject({ code: 0 });
  expect(cleanup.output).toContain(`removed rule "${first.name}" of nft`);
  expect(rules()).toBe(before);

  const second = await start();
  await second.copy.running.stop("SIGKILL");
  const third = await start();
  expect(third.copy.running.errors.join("\n")).toContain(`removed rule "${second.name}" of nft`);
  expect(rules()).not.toContain(second.name);
  await third.copy.stop();
  expect(rules()).toBe(before);
});

test("--capture pcap without a libpcap is an error that says so", async () => {
  const hide =
    'for file in $(ldconfig -p | sed -n "s/.*=> \\(.*libpcap.*\\)/\\1/p"); do mount --bind /dev/null "$file"; done; exec "$@"';
  const { code, errors } = await runXcopy(
    lab,
    ["copy", "-x", `80-${TARGET}:8080`, "--force", "--capture", "pcap"],
    ["unshare", "-m", "sh", "-c", hide, "sh"],
  );
  expect(errors).toContain('Cannot capture by libpcap: there is no "libpcap.so.0.8"');
  expect(code).toBe(5);
});

test("a back end that needs eBPF is an error that says what is missing", async () => {
  for (const backEnd of ["tcx", "clsact", "xdp", "xdp-generic"]) {
    const { code, errors } = await runXcopy(
      lab,
      ["copy", "-x", `80-${TARGET}:8080`, "--capture", backEnd],
      LIMITED,
    );
    expect({ backEnd, code }).toEqual({ backEnd, code: 4 });
    expect(errors).toContain("this process lacks CAP_BPF");
  }
});

test("UDP needs eBPF for responses, or an intercept, and the error says so", async () => {
  const { code, errors } = await runXcopy(lab, ["copy", "-x", `udp:53-${TARGET}:5353`], LIMITED);
  expect(errors).toContain("Cannot load eBPF programs: this process lacks CAP_BPF, CAP_PERFMON");
  expect(errors).toContain("Responses of UDP services need eBPF here, or an intercept at the target");
  expect(code).toBe(4);
});

describe("a program that the kernel refuses", () => {
  const REFUSAL =
    "Cannot load the BPF object \"request\": this kernel's verifier refuses it: R9 !read_ok (verifier's log: /run/xcopy/verifier-request.log)";
  const main = [process.execPath, join(import.meta.dir, "../../src/main.ts")];
  const carried = join(import.meta.dir, "../../dist/bpf/request.bpf.o");
  const changed = join(tmpdir(), `xcopy-refused-${process.pid}.o`);
  const prefix = ["unshare", "-m", "sh", "-c", `mount --bind ${changed} ${carried} && exec "$@"`, "sh"];
  beforeAll(() => writeFileSync(changed, refusedObject("request")));
  afterAll(() => rmSync(changed));
  afterEach(() => rmSync("/run/xcopy/verifier-request.log"));

  test("is no reason not to copy: a packet socket takes its place, and responses come by eBPF", async () => {
    await startNginx(lab, lab.online, 80);
    const target = await startNginx(lab, lab.target, 8080);
    const copy = await startCopy(lab, ["-x", `80-${TARGET}:8080`], { prefix, command: main });
    await load(lab, { url: `http://${ONLINE}`, rate: 500, count: 500 });
    const { code } = await copy.finish();
    const said = copy.running.errors.join("\n");
    expect(said).toStartWith(
      `capturing by a packet socket instead of eBPF, which shows requests up to 2 ms later: ${REFUSAL}\ncopying `,
    );
    expect(await contents(target)).toHaveLength(500);
    expect(code).toBe(0);
  });

  test.each([
    [
      ["copy", "-x", `80-${TARGET}:8080`, "--capture", "tcx"],
      "Capture by packet socket meanwhile: --capture packet",
    ],
    [["record", "-x", "80", "-w", "-"], "Record by tcpdump -w FILE meanwhile, which xcopy copy -i reads"],
  ])("is an error where nothing else was asked for: %j", async (args, instead) => {
    await startNginx(lab, lab.target, 8080);
    const running = lab.start(lab.online, [...prefix, ...main, ...args]);
    expect(await running.exited).toBe(5);
    expect(running.errors).toEqual([
      REFUSAL,
      `This kernel (Linux ${release()}) refuses it: please report this with that log. ${instead}`,
      ...(args[0] === "copy"
        ? [`"xcopy doctor -x 80-${TARGET}:8080 --capture tcx" looks at everything on the way`]
        : []),
    ]);
  });
});

describe("as nobody", () => {
  test("with exactly the capabilities of the page about installing it captures by eBPF", async () => {
    await startNginx(lab, lab.online, 80);
    const target = await startNginx(lab, lab.target, 8080);
    const prefix = AS_NOBODY(...NEEDED);
    const copy = await startCopy(lab, ["-x", `80-${TARGET}:8080`], { prefix });
    await load(lab, { url: `http://${ONLINE}`, rate: 500, count: 500 });
    // CAP_NET_ADMIN and CAP_NET_RAW, to follow interfaces and ways.
    expect(privilegesOfAll(copy.running.pid)).toMatchObject({
      ...DROPPED,
      permitted: "3000",
      effective: "3000",
    });
    const { code } = await copy.finish();
    const said = copy.running.errors.join("\n");
    expect(said).toMatch(/captured by (tcx|clsact) on/);
    expect(said).not.toContain("instead of eBPF");
    expect(said).toContain("this user may not write /run/xcopy: the ports in use and ");
    expect(said).not.toContain("Cannot claim");
    expect(await contents(target)).toHaveLength(500);
    expect(code).toBe(0);
  });

  test("without CAP_PERFMON it captures by a packet socket, and names it", async () => {
    await startNginx(lab, lab.online, 80);
    const target = await startNginx(lab, lab.target, 8080);
    const prefix = [...RUNTIME_DIRECTORY, ...AS_NOBODY("bpf", "net_admin", "net_raw")];
    const copy = await startCopy(lab, ["-x", `80-${TARGET}:8080`], { prefix });
    await load(lab, { url: `http://${ONLINE}`, rate: 500, count: 500 });
    const { code } = await copy.finish();
    const said = copy.running.errors.join("\n");
    expect(said).toContain(
      "which shows requests up to 2 ms later: Cannot load eBPF programs: this process lacks CAP_PERFMON\nRun it as root",
    );
    expect(said).toContain("captured by packet on");
    expect(await contents(target)).toHaveLength(500);
    expect(code).toBe(0);
  });

  test("an intercept and a copy by packet socket have what docs/security.md says, and no more", async () => {
    const online = await startNginx(lab, lab.online, 80);
    const target = await startNginx(lab, lab.target, 8080);
    const intercept = await startIntercept(lab, lab.target, ["-o", ":8080", "--linger", "1"], {
      prefix: AS_NOBODY("bpf", "perfmon", "net_admin"),
    });
    const copy = await startCopy(lab, ["-x", `80-${TARGET}:8080`, "-s", TARGET, "--capture", "packet"], {
      prefix: AS_NOBODY("net_admin", "net_raw"),
    });
    await load(lab, { url: `http://${ONLINE}`, rate: 500, count: 500 });
    await copy.report("all responses", ({ turns }) => turns.answered === 500);
    expect(privilegesOfAll(intercept.running.pid)).toMatchObject({
      ...DROPPED,
      permitted: "1000",
      ambient: "0",
    });
    const { code } = await copy.finish();
    const end = await intercept.stop();
    expect(compareContents(await contents(online), await contents(target))).toEqual(EXACTLY_ONCE);
    expect([code, end.code, end.account.responses.lost]).toEqual([0, 0, 0]);
  });
});

test("root keeps nothing where nothing is followed, passes nothing on, and its guard has nothing", async () => {
  const intercept = await startIntercept(lab, lab.target, ["-o", ":8080", "-i", "net0", "--linger", "1"]);
  const { pid } = intercept.running;
  const none = { effective: "0", permitted: "0", inheritable: "0", ambient: "0" };
  expect(privilegesOfAll(pid)).toMatchObject({ ...DROPPED, ...none, bounding: "0" });
  const guards = run(
    lab.target,
    "pgrep",
    "--ns",
    `${pid}`,
    "--nslist",
    "net",
    "-U",
    "0",
    "-x",
    "xcopy-guard",
  );
  expect(guards.trim().split("\n").map(Number).flatMap(privilegesOf)).toMatchObject([none]);
  expect((await intercept.stop()).code).toBe(0);
});

test("root that is told to run as somebody else does all of it as that user, with its own directory", async () => {
  const args = ["-o", ":8080", "-i", "net0", "--linger", "1", "--run-as", "nobody"];
  const intercept = await startIntercept(lab, lab.target, args);
  const { pid } = intercept.running;
  const none = { effective: "0", permitted: "0", inheritable: "0", ambient: "0" };
  expect(privilegesOfAll(pid)).toMatchObject({ ...DROPPED, ...none, users: "65534 65534 65534 65534" });
  expect(intercept.running.errors.join("\n")).not.toContain("may not write");
  expect(await intercept.running.stop("SIGKILL")).toBe(137);
  await until(
    () => `the guard ends: ${readdirSync("/run/xcopy")}`,
    () => readdirSync("/run/xcopy").length === 0,
  );
});
