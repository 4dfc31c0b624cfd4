/** The checks of this host, over files and interfaces that are given. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PortRange } from "../../src/config/ports.ts";
import type { Plan } from "../../src/copy/plan.ts";
import { checkClock } from "../../src/doctor/host/clock.ts";
import { checkInterfaces } from "../../src/doctor/host/interfaces.ts";
import { checkKernel } from "../../src/doctor/host/kernel.ts";
import { checkCpus } from "../../src/doctor/host/limits.ts";
import { availableMemory, checkLockedMemory, checkMemory } from "../../src/doctor/host/memory.ts";
import { checkOthers } from "../../src/doctor/host/others.ts";
import { checkPlan } from "../../src/doctor/host/plan.ts";
import { checkPorts } from "../../src/doctor/host/ports.ts";
import { checkPrivileges, checkRestrictions } from "../../src/doctor/host/privileges.ts";
import { claimPorts } from "../../src/host/claims.ts";
import { Failure } from "../../src/native/failure.ts";
import type { Link } from "../../src/native/netlink/netlink.ts";
import { files, linesOf, link, optionsOf, status } from "./look.ts";

const GB = 1 << 20;
const ALL = (1n << 41n) - 1n;
const BPF = (1n << 39n) | (1n << 38n) | (1n << 21n);
const RAW = 1n << 13n;

/** Of a plan only what a check looks at. */
function plan(given: Partial<Plan>): Plan {
  const empty = { services: [], paths: [], ports: [], warnings: [], files: [], intercepts: [] };
  return { ...empty, workers: { count: 1 }, ...given } as unknown as Plan;
}

describe("kernel", () => {
  test.each([
    ["6.12.9-amd64", "ok host.kernel: Linux 6.12.9-amd64"],
    ["6.1.0-50", "ok host.kernel: Linux 6.1.0-50 (before 6.6: clsact in place of tcx)"],
    ["5.10.0", "ok host.kernel: Linux 5.10.0 (before 6.6: clsact in place of tcx)"],
    [
      "5.4.0-200",
      "warning host.kernel: Linux 5.4.0-200: too old for xcopy's eBPF programs, sockets take their place -> Update it to Linux 5.8 or newer for eBPF.",
    ],
    [
      "4.19.1",
      "warning host.kernel: Linux 4.19.1: too old for xcopy's eBPF programs, sockets take their place -> Update it to Linux 5.8 or newer for eBPF.",
    ],
  ])("%s", (release, line) => {
    expect(linesOf(checkKernel({ read: files({ "/proc/sys/kernel/osrelease": `${release}\n` }) }))).toEqual([
      line,
    ]);
  });
});

describe("capabilities", () => {
  const look = (effective: bigint, uid: number, ...words: string[]) => {
    const read = files({
      "/proc/self/status": status(effective, { uid }),
      "/proc/sys/kernel/cap_last_cap": "40",
    });
    const [finding] = checkPrivileges({ options: optionsOf(...words), read });
    return [finding!.status, finding!.found, finding!.fix === null ? null : finding!.fix.slice(0, 24)];
  };
  const SUDO = "Run it as root (sudo), o";

  test.each([
    ["all", ALL, 0, [], ["ok", "root, with all that is needed", null]],
    [
      "none",
      0n,
      1000,
      [],
      ["failed", "uid 1000 lacks CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN, CAP_NET_RAW", SUDO],
    ],
    [
      "no eBPF, which auto does without",
      ALL & ~BPF,
      0,
      [],
      ["warning", "root lacks CAP_BPF, CAP_PERFMON: sockets take the place of eBPF", SUDO],
    ],
    [
      "no eBPF, which is asked for",
      ALL & ~BPF,
      0,
      ["--capture", "tcx"],
      ["failed", "root lacks CAP_BPF, CAP_PERFMON", SUDO],
    ],
    ["no raw sockets", ALL & ~RAW, 0, [], ["failed", "root lacks CAP_NET_RAW", SUDO]],
  ] as const)("%s", (_, effective, uid, words, expected) => {
    expect(look(effective, uid, ...words)).toEqual([...expected]);
  });

  test("seccomp, lockdown and who may use eBPF are said, and are no faults by themselves", () => {
    const restricted = files({
      "/proc/self/status": status(ALL, { seccomp: 2 }),
      "/sys/kernel/security/lockdown": "none [integrity] confidentiality\n",
      "/proc/sys/kernel/unprivileged_bpf_disabled": "0\n",
    });
    expect(linesOf(checkRestrictions({ read: restricted }))).toEqual([
      "ok host.restrictions: a seccomp filter (a container's?), lockdown integrity, which xcopy's programs pass, eBPF for every user",
    ]);
    expect(linesOf(checkRestrictions({ read: files({ "/proc/self/status": status(ALL) }) }))).toEqual([
      "ok host.restrictions: no seccomp filter, no lockdown",
    ]);
  });
});

describe("memory", () => {
  const free = (kilobytes: number) => files({ "/proc/meminfo": `MemAvailable:   ${kilobytes} kB\n` });
  const statusOf = (kilobytes: number, ...words: string[]) =>
    checkMemory({ options: optionsOf(...words), plan: null, read: free(kilobytes) })[0]!;

  test("enough", () => {
    expect(statusOf(8 * GB, "-B", "64", "-m", "256")).toMatchObject({ status: "ok", fix: null });
  });

  test("too little for the rings: it would not start", () => {
    const { status, fix, found } = statusOf(GB / 2, "-B", "4096", "-m", "64");
    expect([status, fix]).toEqual(["failed", "Give it less: -B 128 -m 256"]);
    expect(found).toEndWith("up to 64 MB for requests that wait (-m); 512 MB are free");
  });

  test("too little for a burst: a warning", () => {
    const { status, fix } = statusOf(GB, "-B", "64", "-m", "65536");
    expect([status, fix]).toEqual(["warning", expect.stringMatching(/^Give it less: -m \d+$/)]);
  });

  test("what control groups leave, of both versions, and of a container's own root", () => {
    const limited = (given: Record<string, string>) =>
      availableMemory(files({ "/proc/meminfo": `MemAvailable: ${8 * GB} kB\n`, ...given }));
    expect(limited({})).toBe(8 * 2 ** 30);
    expect(
      limited({
        "/proc/self/cgroup": "0::/system.slice/xcopy.service\n",
        "/sys/fs/cgroup/system.slice/xcopy.service/memory.max": "1000000\n",
        "/sys/fs/cgroup/system.slice/xcopy.service/memory.current": "400000\n",
      }),
    ).toBe(600_000);
    expect(
      limited({
        "/proc/self/cgroup": "0::/../..\n",
        "/sys/fs/cgroup/memory.max": "max\n",
        "/sys/fs/cgroup/memory.current": "1\n",
      }),
    ).toBe(8 * 2 ** 30);
    expect(
      limited({
        "/proc/self/cgroup": "4:memory:/docker/1\n0::/\n",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes": "5000\n",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes": "6000\n",
      }),
    ).toBe(0);
  });

  test("the limit of locked memory matters before Linux 5.11, to those who cannot raise it", () => {
    const look = (release: string, limit: string, effective: bigint) =>
      checkLockedMemory({
        read: files({
          "/proc/sys/kernel/osrelease": release,
          "/proc/self/limits": `Max locked memory         ${limit}                ${limit}                bytes\n`,
          "/proc/self/status": status(effective),
        }),
      }).map(({ status: said, fix }) => [said, fix]);
    const fix = "ulimit -l unlimited, or LimitMEMLOCK=infinity in its unit";
    expect(look("5.11.0", "65536", 0n)).toEqual([]);
    expect(look("6.1.0", "65536", 0n)).toEqual([]);
    expect(look("5.10.0", "65536", 0n)).toEqual([["warning", fix]]);
    expect(look("5.10.0", "65536", ALL)).toEqual([["ok", null]]);
    expect(look("5.10.0", "unlimited", 0n)).toEqual([["ok", null]]);
  });
});

describe("interfaces", () => {
  const at = (links: Link[], read: Record<string, string> = {}, ...words: string[]) =>
    linesOf(
      checkInterfaces({
        options: optionsOf(...words),
        plan: null,
        read: files(read),
        links,
        offloads: () => null,
      }),
    );

  test("drivers, bonds and bridges, and what they mean", () => {
    const links = [
      link("eth0"),
      link("eth1"),
      link("bond0", { kind: "bond" }),
      link("br0", { kind: "bridge" }),
      link("off0", { up: false }),
    ];
    expect(
      at(links, {
        "/sys/class/net/eth0/device/uevent": "DRIVER=ixgbe\nPCI_CLASS=20000\n",
        "/sys/class/net/eth0/master/uevent": "INTERFACE=bond0\nIFINDEX=4\n",
        "/sys/class/net/bond0/bonding/mode": "active-backup 1\n",
        "/sys/class/net/eth1/carrier": "0\n",
      }),
    ).toEqual([
      "ok host.interface: up, driver ixgbe, part of bond0, MTU 1500",
      "ok host.interface: up, without a carrier, MTU 1500",
      "ok host.interface: up, bond (active-backup), MTU 1500",
      "ok host.interface: up, bridge, MTU 1500",
      "ok host.stacked_interfaces: eth0, bond0, br0: a request that passes several of them is copied once",
    ]);
  });

  test("LRO, GRO and BIG TCP", () => {
    const found = checkInterfaces({
      options: optionsOf(),
      plan: null,
      read: files({}),
      links: [link("eth0", { largest: 524280 })],
      offloads: () => ({ lro: true, gro: false, tso: true }),
    });
    expect(linesOf(found)).toEqual([
      "ok host.interface: up, MTU 1500, LRO on (the card joins packets), GRO off, BIG TCP (packets up to 524280 bytes)",
    ]);
  });

  test("a named interface that is down fails, one of several is a warning", () => {
    const links = [link("eth0"), link("eth1", { up: false })];
    const line = "host.interface: down: nothing arrives there (MTU 1500) -> ip link set dev eth1 up";
    expect(at(links, {}, "-i", "eth1")).toEqual([`failed ${line}`]);
    expect(at(links, {}, "-i", "eth0,eth1")).toEqual(["ok host.interface: up, MTU 1500", `warning ${line}`]);
  });

  test("a namespace with nothing but loopback", () => {
    const loopback = link("lo", { loopback: true, mtu: 65536 });
    expect(at([loopback])[1]).toStartWith(
      "warning host.network_namespace: only the loopback interface is up",
    );
    expect(at([loopback, link("eth0")]).filter((line) => !line.startsWith("ok"))).toEqual([]);
  });

  test("of hundreds, some are shown", () => {
    const links = Array.from({ length: 300 }, (_, index) => link(`veth${index}`));
    const found = at(links);
    expect(found.length).toBe(17);
    expect(found.at(-1)).toBe("ok host.interface: 284, all up");
  });
});

describe("ports and other xcopies", () => {
  const directory = mkdtempSync(join(tmpdir(), "xcopy-doctor-"));
  afterAll(() => rmSync(directory, { recursive: true }));
  const ports: PortRange[] = [[20000, 29999]];
  const path = { local: Uint8Array.of(10, 0, 0, 1), target: Uint8Array.of(10, 0, 0, 2), targetPort: 80 };
  const paths = [path] as unknown as Plan["paths"];

  test("free, few, and those that this host uses itself", () => {
    const RESERVED = "/proc/sys/net/ipv4/ip_local_reserved_ports";
    const at = (given: Partial<Plan>, reserved = "\n") =>
      linesOf(
        checkPorts(
          { plan: plan({ paths, ports, ...given }), read: files({ [RESERVED]: reserved }) },
          directory,
        ),
      );
    expect(at({})).toEqual(["ok host.ports: 10000 to each target (20000-29999)"]);
    expect(at({ ports: [[1, 100]] })).toEqual([
      "warning host.ports: 100 to each target (1-100): that many connections at a time -> Give it more with --ports, or more addresses with -c.",
    ]);
    const warnings = [
      "This host may use ports of 20000-29999 for its own connections to a target: reserve them",
    ];
    expect(at({ warnings })).toEqual([
      "warning host.ports: 10000 to each target (20000-29999): this host may use them for its own connections -> sysctl -w net.ipv4.ip_local_reserved_ports=20000-29999",
    ]);
    // What is reserved for others stays so.
    expect(at({ warnings }, "9000-9010,33000\n")[0]).toEndWith("=9000-9010,33000,20000-29999");
  });

  test("those of another xcopy, which runs, and what a killed one has left", () => {
    const release = claimPorts([path], ports, () => {}, directory);
    // As if the claim of this process was that of another one that runs: that which runs the tests.
    const other = JSON.parse(readFileSync(join(directory, `ports-${process.pid}.json`), "utf8"));
    release();
    const stat = readFileSync(`/proc/${process.ppid}/stat`, "utf8");
    const startTime = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
    writeFileSync(
      join(directory, `ports-${process.ppid}.json`),
      JSON.stringify({ ...other, pid: process.ppid, startTime }),
    );
    const at = () => linesOf(checkPorts({ plan: plan({ paths, ports }), read: files({}) }, directory));
    expect(at()[0]).toStartWith(
      `failed host.ports: Cannot use ports 20000-29999 towards "10.0.0.2:80": xcopy with process id ${process.ppid} uses them -> `,
    );
    expect(linesOf(checkOthers(null, directory))).toEqual([
      `ok host.other_xcopies: running: process ${process.ppid}`,
      "ok host.leftovers: none",
    ]);
    // Whose process has ended meanwhile.
    writeFileSync(
      join(directory, `ports-${process.ppid}.json`),
      JSON.stringify({ ...other, pid: process.ppid, startTime: startTime - 1 }),
    );
    expect(at()).toEqual(["ok host.ports: 10000 to each target (20000-29999)"]);
    expect(linesOf(checkOthers(null, directory))).toEqual([
      "ok host.other_xcopies: none",
      `warning host.leftovers: ports in use of process ${process.ppid} -> xcopy cleanup`,
    ]);
  });
});

test("what a start would refuse or warn of is said in its words", () => {
  const unplanned = new Failure('Cannot use -i "eth9": no such network interface', "There are: lo.", 2);
  expect(linesOf(checkPlan({ plan: null, unplanned }))).toEqual([
    'failed host.plan: Cannot use -i "eth9": no such network interface -> There are: lo.',
  ]);
  const warned = plan({ warnings: ["It may be wrong.", "This host may use ports of 1-2 for ..."] });
  expect(linesOf(checkPlan({ plan: warned, unplanned: null }))).toEqual([
    "ok host.plan: 0 services, 0 paths to targets",
    "warning host.plan: It may be wrong.",
  ]);
});

test("the clock", () => {
  const at = (isSynchronised: boolean) =>
    linesOf(checkClock(null, () => ({ isSynchronised, maxError: 1500 })));
  expect(at(true)).toEqual(["ok host.clock: synchronised, right to 2 ms"]);
  expect(at(false)).toEqual([
    "ok host.clock: not synchronised: times in reports may differ from those of other hosts",
  ]);
  expect(linesOf(checkClock(null, () => null))).toEqual([
    "ok host.clock: not known whether it is synchronised",
  ]);
});

test("CPUs, and what control groups allow of them", () => {
  const at = (count: number, cpus: number, given: Record<string, string>) =>
    linesOf(checkCpus({ plan: plan({ workers: { count } as Plan["workers"] }), read: files(given) }, cpus));
  expect(at(1, 4, {})).toEqual(["ok host.cpus: 4, for 1 worker"]);
  expect(at(2, 4, { "/proc/self/cgroup": "0::/a\n", "/sys/fs/cgroup/a/cpu.max": "150000 100000\n" })).toEqual(
    [
      "warning host.cpus: 4, the control group allows 1.5, for 2 workers: under load it may be stopped for moments and lose requests -> Raise the limit (systemd: CPUQuota=; containers: --cpus).",
    ],
  );
  expect(
    at(1, 4, {
      "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
      "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    })[0],
  ).toStartWith("warning host.cpus: 4, the control group allows 0.5, for 1 worker:");
});
