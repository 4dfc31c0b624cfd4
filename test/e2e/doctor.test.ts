/**
 * `xcopy doctor` in a lab: nothing is found where nothing is wrong, and each planted fault is named, and no other. The faults are
 * on hosts of their own, so that one doctor, or several side by side, find all of them.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ip, ONLINE, TARGET } from "../../src/demo/network.ts";
import type { GroupedFinding } from "../../src/doctor/list/run.ts";
import { startIntercept } from "../support/intercept.ts";
import { KEY } from "../support/key.ts";
import { createLab, type Lab } from "../support/lab.ts";
import { startNginx } from "../support/nginx.ts";
import { run } from "../support/process.ts";
import { joinHosts, setFilter } from "../support/third.ts";
import { XCOPY } from "../support/xcopy.ts";

interface Diagnosis {
  code: number;
  findings: GroupedFinding[];
  /** "failed intercept.rp_filter 10.21.0.2", of all that is not ok. */
  faults: string[];
  errors: string[];
}

interface Doctor {
  /** A command that runs it. */
  prefix?: string[];
  env?: Record<string, string>;
}

let lab: Lab;
/** Hosts behind links of their own to online, each with a fault. */
let filtering: string;
let routeless: string;
let queueing: string;
let visits: ReturnType<Lab["start"]>;

/** A host at 10.N.0.2 on a link to online. */
function createHost(role: string, network: number): string {
  const namespace = lab.target.replace(/target$/, role);
  ip("netns", "add", namespace);
  ip("-n", namespace, "link", "set", "lo", "up");
  const [near, far] = [`10.${network}.0.1`, `10.${network}.0.2`];
  joinHosts(lab.online, role, [near, `fd00:${network}::1`], namespace, "net0", [far, `fd00:${network}::2`]);
  return namespace;
}

/** Runs doctor on the online host to its end. */
async function examine(words: string[], { prefix = [], env = {} }: Doctor = {}): Promise<Diagnosis> {
  const running = lab.start(lab.online, [...prefix, XCOPY, "doctor", ...words, "--json"], {
    XCOPY_KEY: KEY,
    ...env,
  });
  const code = await running.exited;
  const { findings } = JSON.parse(running.output.at(-1) ?? '{"findings":[]}') as {
    findings: GroupedFinding[];
  };
  const faults = findings
    .filter(({ status }) => status !== "ok")
    .map(({ id, status, host }) => `${status} ${id}${host === null ? "" : ` ${host}`}`);
  return { code, findings, faults, errors: running.errors };
}

/** Faults of this host and of the intercepts' alone. */
function sides({ findings }: Diagnosis): string[] {
  return findings
    .filter(({ status, group }) => status !== "ok" && (group === "host" || group === "intercept"))
    .map(({ id, status, host }) => `${status} ${id}${host === null ? "" : ` ${host}`}`);
}

/** What is said of a fault, and of what mends it. */
function said({ findings }: Diagnosis, id: string): string[] {
  return findings
    .filter((finding) => finding.id === id && finding.status !== "ok")
    .map(({ found, fix }) => `${found} -> ${fix}`);
}

const CLEAN = ["-x", `${ONLINE}:80-${TARGET}:8080`, "-B", "16", "-m", "64"];

beforeAll(async () => {
  lab = createLab();
  filtering = createHost("filtering", 21);
  joinHosts(filtering, "other", ["10.28.0.1"], lab.client, "other", ["10.28.0.2"]);
  ip("-n", filtering, "route", "add", "default", "via", "10.28.0.2");
  setFilter(filtering, 1);
  routeless = createHost("routeless", 22);
  queueing = createHost("queueing", 24);
  ip("-n", queueing, "route", "add", "default", "via", "10.24.0.1");
  run(queueing, "sysctl", "-qw", "net.ipv4.ip_forward=0");
  await Promise.all([
    startNginx(lab, lab.online, 80),
    ...[lab.target, filtering, routeless].map((host) => startNginx(lab, host, 8080)),
    startIntercept(lab, lab.target, ["-o", ":8080", "-o", ":8081", "-o", ":8083"]),
    ...[filtering, routeless].map((host) => startIntercept(lab, host, ["-o", ":8080"])),
    startIntercept(lab, queueing, ["-o", `${TARGET}:8080`, "--mode", "nfqueue"]),
  ]);
  // So that something arrives while doctor looks.
  const ask = `while :; do curl -s http://${ONLINE}/ >/dev/null; sleep 0.2; done`;
  visits = lab.start(lab.client, ["sh", "-c", ask]);
});
afterAll(async () => {
  await visits?.stop();
  await lab?.stopAll();
  lab?.remove();
});

test("a lab without a fault has no finding that is not ok, with and without an intercept", async () => {
  const [direct, real] = await Promise.all([examine(CLEAN), examine([...CLEAN, "-s", TARGET])]);
  expect([direct.faults, real.faults]).toEqual([[], []]);
  expect([direct.code, real.code]).toEqual([0, 0]);
  expect([direct.errors, real.errors]).toEqual([[], []]);
  const ids = real.findings.filter(({ group }) => group === "intercept").map(({ id }) => id);
  expect(ids).toEqual([
    "intercept.connection",
    "intercept.version",
    "intercept.listening",
    "intercept.route_back",
    "intercept.rp_filter",
    "intercept.conntrack",
    "intercept.clock",
  ]);
});

test("faults of the intercepts' hosts: each on its host, and no other", async () => {
  const targets = ["10.21.0.2:8080", "10.22.0.2:8080", `${TARGET}:8080`].map((to) => `${ONLINE}:80-${to}`);
  const found = await examine(["-x", targets.join(","), "-s", "10.21.0.2,10.22.0.2,10.24.0.2", "-B", "16"]);
  expect(sides(found)).toEqual([
    "failed intercept.rp_filter 10.21.0.2",
    "failed intercept.route_back 10.22.0.2",
    "failed intercept.ip_forward 10.24.0.2",
  ]);
  expect(said(found, "intercept.rp_filter")).toEqual([
    "drops packets from 192.0.2.1 that come in by net0, as the way back is other (rp_filter=1) -> sysctl -w net.ipv4.conf.all.rp_filter=2",
  ]);
  expect(said(found, "intercept.route_back")[0]).toStartWith(
    "none to 192.0.2.1 (network is unreachable) -> ip route add",
  );
  expect(said(found, "intercept.ip_forward")[0]).toEndWith(" -> sysctl -w net.ipv4.ip_forward=1");
  expect(found.code).toBe(3);
});

test("the way to the intercepts: wrong key, not running, of another service, nothing listening", async () => {
  const to = (port: number) => ["-x", `${ONLINE}:80-${TARGET}:${port}`, "-B", "16", "-m", "64"];
  const [key, gone, other, idle] = await Promise.all([
    examine([...CLEAN, "-s", TARGET], { env: { XCOPY_KEY: "another key than that of the tests" } }),
    examine([...CLEAN, "-s", `${TARGET}:9999`]),
    examine([...to(9090), "-s", TARGET]),
    examine([...to(8081), "-s", TARGET]),
  ]);
  expect([key, gone, other, idle].map(sides)).toEqual([
    [`failed intercept.connection ${TARGET}`],
    [`failed intercept.connection ${TARGET}:9999`],
    ["failed intercept.services"],
    [`failed intercept.listening ${TARGET}`],
  ]);
  expect(said(key!, "intercept.connection")[0]).toMatch(/have different keys .* -> Give both the same key/);
  expect(said(gone!, "intercept.connection")[0]).toMatch(/^connection refused -> Start it there/);
  expect(said(other!, "intercept.services")[0]).toMatch(
    /catches port 8080, 8081, 8083\) -> Start the intercept on the host of 10\.0\.0\.2 with -o :9090/,
  );
  expect(said(idle!, "intercept.listening")[0]).toBe(
    "nothing listens on 10.0.0.2 -> Start the service there, or correct the port in -x.",
  );
  expect([key, gone, other, idle].map(({ code }) => code)).toEqual([3, 3, 3, 3]);
});

test("what was tried counts more than what settings seem to say: a rule that is new, a port that is sent on, an address that nobody has", async () => {
  ip("-n", lab.target, "link", "add", "spare0", "type", "veth", "peer", "name", "spare1");
  ip("-n", lab.target, "link", "set", "dev", "spare0", "up");
  setFilter(lab.target, 1);
  run(
    lab.target,
    "nft",
    `table ip later {
  chain in {
    type filter hook input priority 0
    ip saddr 192.0.2.2 tcp dport 8080 drop
  }
  chain to {
    type nat hook prerouting priority dstnat
    tcp dport 8083 redirect to :8080
  }
}`,
  );
  const from = (address: string) => examine([...CLEAN, "-s", TARGET, "--probe-from", address]);
  const [blocked, sentOn, nobody] = await Promise.all([
    from("192.0.2.2"),
    examine(["-x", `${ONLINE}:80-${TARGET}:8083`, "-s", TARGET, "-B", "16", "-m", "64"]),
    from("10.0.0.77"),
  ]);
  run(lab.target, "nft", "delete table ip later");
  setFilter(lab.target, 0);
  ip("-n", lab.target, "link", "del", "spare0");
  expect(blocked.faults).toEqual(["failed way.answers"]);
  expect(said(blocked, "way.answers")[0]).toMatch(
    /-> Let port 8080 through in the target's own firewall, for 192/,
  );
  expect(sentOn.faults).toEqual([]);
  // Named by the one that looked after the target had asked for it.
  expect(nobody.faults.length).toBe(1);
  expect(said(nobody, nobody.faults[0]!.split(" ")[1]!)[0]).toMatch(
    /10\.0\.0\.77.* (answers no|does not answer) ARP/,
  );
  expect([blocked, sentOn, nobody].map(({ code }) => code)).toEqual([3, 0, 3]);
});

test("a way back by a rule about the target's own address is one, and a rule that swallows answers is a fault", async () => {
  const to = ["-x", `${ONLINE}:80-10.22.0.2:8080`, "-s", "10.22.0.2", "-B", "16", "-m", "64"];
  const change = (what: "add" | "del", ...rule: string[]) => ip("-n", routeless, "rule", what, ...rule);
  ip("-n", routeless, ..."route add default via 10.22.0.1 table 77".split(" "));
  change("add", "from", "10.22.0.2", "lookup", "77");
  const good = await examine(to);
  change("add", "to", "192.0.2.0/24", "pref", "10", "blackhole");
  const bad = await examine(to);
  change("del", "pref", "10");
  change("del", "from", "10.22.0.2", "lookup", "77");
  expect([good.faults, good.code]).toEqual([[], 0]);
  expect([bad.faults, bad.code]).toEqual([["failed intercept.route_back 10.22.0.2"], 3]);
  expect(said(bad, "intercept.route_back")[0]).toMatch(
    /^none to 192\.0\.2\.1 \(its route is of type blackhole\)/,
  );
});

test("faults of this host: capabilities, eBPF, memory, interfaces, ports, leftovers", async () => {
  const nobody = [
    "setpriv",
    "--reuid",
    "nobody",
    "--regid",
    "nogroup",
    "--clear-groups",
    "--bounding-set=-all",
  ];
  ip("-n", lab.online, "link", "add", "down0", "type", "veth", "peer", "name", "down1");
  // Of another xcopy that runs, as which this process stands, and of one that was killed.
  const records = join(lab.directory, "run");
  mkdirSync(records);
  const namespace = statSync(`/run/netns/${lab.online}`).ino;
  const stat = await Bun.file(`/proc/${process.pid}/stat`).text();
  const startTime = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
  const claim = { startTime, namespace, paths: [`10.0.0.1 ${TARGET}:8080`], ports: [[20000, 20999]] };
  writeFileSync(join(records, `ports-${process.pid}.json`), JSON.stringify({ pid: process.pid, ...claim }));
  writeFileSync(
    join(records, "ports-4194305.json"),
    JSON.stringify({ ...claim, pid: 4194305, startTime: 1 }),
  );
  const noted = [
    "unshare",
    "-m",
    "sh",
    "-c",
    `mkdir -p /run/xcopy && mount --bind ${records} /run/xcopy && exec "$@"`,
    "sh",
  ];
  const [powerless, forbidden, other, unknown] = await Promise.all([
    examine(CLEAN, { prefix: nobody }),
    examine(CLEAN, { prefix: [process.execPath, join(import.meta.dir, "../support/forbidden.ts")] }),
    examine(
      ["-x", `80-${TARGET}:8080`, "-i", "front,down0", "--ports", "20000-20999", "-B", "16", "-m", "65536"],
      {
        prefix: noted,
      },
    ),
    examine([...CLEAN, "-i", "nosuch0"]),
  ]);
  ip("-n", lab.online, "link", "del", "down0");
  expect([powerless, forbidden, other, unknown].map(sides)).toEqual([
    ["failed host.privileges"],
    ["warning host.capture"],
    ["warning host.memory", "warning host.interface", "failed host.ports", "warning host.leftovers"],
    ["failed host.plan"],
  ]);
  expect(said(powerless!, "host.privileges")[0]).toMatch(
    /^uid 65534 lacks CAP_BPF.* -> Run it as root \(sudo\)/,
  );
  expect(said(forbidden!, "host.capture")[0]).toMatch(
    /^by packet; .*operation not permitted.* -> Something forbids bpf\(2\)/,
  );
  expect(said(other!, "host.interface")[0]).toMatch(/^down: .* -> ip link set dev down0 up$/);
  expect(said(other!, "host.ports")[0]).toContain(`xcopy with process id ${process.pid} uses them`);
  expect(said(other!, "host.leftovers")).toEqual(["ports in use of process 4194305 -> xcopy cleanup"]);
  expect(said(unknown!, "host.plan")[0]).toStartWith(
    'Cannot use -i "nosuch0": no such network interface -> ',
  );
  expect([powerless, forbidden, other, unknown].map(({ code }) => code)).toEqual([3, 0, 3, 3]);
});
