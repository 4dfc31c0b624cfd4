/** From options to paths, egresses and ports, on hosts that only exist here. */
import { describe, expect, test } from "bun:test";
import { countCpus, ringBytes } from "../../src/capture/maps.ts";
import { COPY } from "../../src/command-line/copy.ts";
import { parseArguments } from "../../src/command-line/reading/arguments.ts";
import { formatAddress, formatEndpoint, parseAddress } from "../../src/config/address.ts";
import { parseCopy } from "../../src/copy/options.ts";
import type { Host } from "../../src/copy/plan/host.ts";
import { makePlan } from "../../src/copy/plan/make.ts";
import { copiesOf, type Plan } from "../../src/copy/plan.ts";
import { ringBytesFor, waitingBytes } from "../../src/host/memory.ts";
import { missingCapabilities } from "../../src/host/privileges.ts";
import type { Way } from "../../src/inject/egress.ts";
import { Failure } from "../../src/native/failure.ts";
import { rejecting } from "../config/failing.ts";

const bytes = (text: string) => parseAddress(text)!.bytes;
const LOCAL = ["10.0.0.1", "192.168.1.1", "2001:db8::1", "127.0.0.1"];

/** A host with an address in 10.0.0.0/8 on eth0 and one in 192.168.0.0/16, behind a gateway, on eth1. */
const host: Host = {
  lookup: () => Promise.reject(new Error("no names here")),
  choose: async ({ addresses }) => ({ address: addresses.at(-1)!, note: "the last one" }),
  interfaces: [
    { name: "lo", ifindex: 1, up: true },
    { name: "eth0", ifindex: 2, up: true },
    { name: "eth1", ifindex: 3, up: true },
  ],
  isLocal: (address) => LOCAL.includes(formatAddress(address)),
  exists: (path) => path.endsWith(".pcap"),
  localPorts: "32768\t60999\n",
  reservedPorts: "\n",
  cpus: [0, 1, 2, 3],
  resolveEgress: async ({ family, bytes: target }) => {
    const text = formatAddress(target);
    if (text.startsWith("172.")) throw new Failure(`Cannot reach target "${text}": no route`, "Add one.", 3);
    const first = text.startsWith("10.") || family === 6;
    const source = family === 6 ? "2001:db8::1" : first ? "10.0.0.1" : "192.168.1.1";
    return {
      source: bytes(source),
      egress: {
        kind: "packet",
        interface: first ? "eth0" : "eth1",
        ifindex: first ? 2 : 3,
        family,
        nextHop: first ? target : bytes("192.168.1.254"),
        sourceMac: Uint8Array.of(2, 0, 0, 0, 0, 1),
        nextHopMac: Uint8Array.of(2, 0, 0, 0, 0, 2),
        mtu: first ? 9000 : 1500,
      },
    };
  },
};

const options = (words: string) => parseCopy(parseArguments(COPY, words.split(" ")));
const plan = (words: string, on: Partial<Host> = {}) => makePlan(options(words), { ...host, ...on });

/** `10.0.0.1 > 10.0.0.2:80 over 0`. */
async function pathsOf(words: string): Promise<string[]> {
  const { paths } = await plan(words);
  return paths.map(
    ({ local, target, targetPort, egress }) =>
      `${local ? formatAddress(local) : "clients"} > ${formatEndpoint(target, targetPort)} over ${egress}`,
  );
}

/** For each service, route and target the indexes of its paths. */
const waysOf = ({ services }: Plan) =>
  services.map(({ routes }) => routes.map(({ targets }) => targets.map(({ paths }) => paths)));

describe("paths", () => {
  test("one per target, from our own address towards it", async () => {
    expect(await pathsOf("-x 80-10.0.0.2:8080 -x 81-192.168.9.9")).toEqual([
      "10.0.0.1 > 10.0.0.2:8080 over 0",
      "192.168.1.1 > 192.168.9.9:81 over 1",
    ]);
  });

  test("to the address that is chosen of several ones of a name, for a reason that is told once", async () => {
    const found = ["2001:db8::2", "10.0.0.2", "10.0.0.2", "fe80::2"].map((address) => ({ address }));
    const { paths, warnings } = await plan("-x 80-test,81-test", { lookup: async () => found });
    expect(paths.map(({ target }) => formatAddress(target))).toEqual(["10.0.0.2", "10.0.0.2"]);
    expect(warnings).toEqual(["the last one"]);
  });

  test("one per address of -c of the target's family", async () => {
    expect(await pathsOf("-x 80-10.0.0.2,81-[2001:db8::2] -c 10.1.0.1-10.1.0.2,2001:db8::9")).toEqual([
      "10.1.0.1 > 10.0.0.2:80 over 0",
      "10.1.0.2 > 10.0.0.2:80 over 0",
      "2001:db8::9 > [2001:db8::2]:81 over 1",
    ]);
  });

  test("services with the same target share them: ports must not be used twice", async () => {
    const made = await plan("-x 80-10.0.0.2:8080,81-10.0.0.2:8080,82-10.0.0.2:8082");
    expect(made.paths).toHaveLength(2);
    expect(waysOf(made)).toEqual([[[[0]]], [[[0]]], [[[1]]]]);
  });

  test("of the same port to two targets are two routes of one service", async () => {
    const words = "-x 80-10.0.0.2 -x 80-192.168.9.9,81-10.0.0.2:80";
    expect(await pathsOf(words)).toEqual([
      "10.0.0.1 > 10.0.0.2:80 over 0",
      "192.168.1.1 > 192.168.9.9:80 over 1",
    ]);
    expect(waysOf(await plan(words))).toEqual([[[[0]], [[1]]], [[[0]]]]);
  });

  test("of a group are those of each target, from the addresses that fit it", async () => {
    const words =
      "-x 80-10.0.0.2|[2001:db8::2]:81*3|192.168.9.9,82-10.0.0.2:80 -c 10.1.0.1,2001:db8::9,10.1.0.2";
    expect(await pathsOf(words)).toEqual([
      "10.1.0.1 > 10.0.0.2:80 over 0",
      "10.1.0.2 > 10.0.0.2:80 over 0",
      "2001:db8::9 > [2001:db8::2]:81 over 1",
      "10.1.0.1 > 192.168.9.9:80 over 2",
      "10.1.0.2 > 192.168.9.9:80 over 2",
    ]);
    const made = await plan(words);
    expect(waysOf(made)).toEqual([[[[0, 1], [2], [3, 4]]], [[[0, 1]]]]);
    expect(made.services[0]!.routes[0]!.targets.map(({ weight }) => weight)).toEqual([1, 3, 1]);
  });

  test("with the same next hop share an egress", async () => {
    const { egresses } = await plan("-x 80-192.168.9.1,81-192.168.9.2,82-10.0.0.2");
    expect(egresses.map(({ interface: name, nextHop }) => [name, formatAddress(nextHop)])).toEqual([
      ["eth1", "192.168.1.254"],
      ["eth0", "10.0.0.2"],
    ]);
  });
});

test("-M bounds the MTU, and never raises it", async () => {
  const mtus = async (words: string) => (await plan(words)).egresses.map(({ mtu }) => mtu);
  expect(await mtus("-x 80-10.0.0.2,81-192.168.9.1")).toEqual([9000, 1500]);
  expect(await mtus("-x 80-10.0.0.2,81-192.168.9.1 -M 1400")).toEqual([1400, 1400]);
  expect(await mtus("-x 80-10.0.0.2,81-192.168.9.1 -M 4000")).toEqual([4000, 1500]);
});

describe("ports", () => {
  test("are those this host does not use", async () => {
    expect((await plan("-x 80-10.0.0.2")).ports).toEqual([
      [1024, 32767],
      [61000, 65535],
    ]);
  });

  test("are the ones asked for, with a warning where the host uses them as well", async () => {
    const free = await plan("-x 80-10.0.0.2 --ports 20000-29999");
    expect([free.ports, free.warnings]).toEqual([[[20000, 29999]], []]);
    const shared = await plan("-x 80-10.0.0.2 --ports 30000-32768");
    expect(shared.ports).toEqual([[30000, 32768]]);
    expect(shared.warnings).toHaveLength(1);
  });

  test("of -f are a part of them, of equal size for all with the same N", async () => {
    const portsOf = async (words: string) => (await plan(`-x 80-10.0.0.2 ${words}`)).ports;
    expect(await portsOf("--ports 20000-29999 -f 1/4")).toEqual([[22500, 24999]]);
    expect(await portsOf("--ports 20000-29999 -f 15")).toEqual([[29375, 29999]]);
    // 31,744 and 4,536 ports are free.
    expect(await portsOf("-f 0/2")).toEqual([[1024, 19163]]);
    expect(await portsOf("-f 1/2")).toEqual([
      [19164, 32767],
      [61000, 65535],
    ]);
  });

  test("of -f must be at least as many as the parts", async () => {
    expect(await rejecting(plan("-x 80-10.0.0.2 --ports 20000-20009 -f 0"))).toEqual({
      message: 'Cannot use -f "0/16": there are only 10 ports (20000-20009)',
      fix: "Divide them into fewer parts, or name more with --ports, the same for each xcopy.",
      exitCode: 2,
    });
    expect((await plan("-x 80-10.0.0.2 --ports 20000-20009 -f 9/10")).ports).toEqual([[20009, 20009]]);
  });

  test("of -f are warned about only where this part is used by the host", async () => {
    const warningsOf = async (words: string) =>
      (await plan(`-x 80-10.0.0.2 --ports 30000-39999 ${words}`)).warnings;
    expect(await warningsOf("-f 0/4")).toEqual([]);
    expect(await warningsOf("-f 1/4")).toEqual([
      "This host may use ports of 32500-34999 for its own connections to a target: reserve them (sysctl net.ipv4.ip_local_reserved_ports=32500-34999).",
    ]);
  });

  test("none left is an error", async () => {
    expect(await rejecting(plan("-x 80-10.0.0.2", { localPorts: "1024\t65535\n" }))).toMatchObject({
      exitCode: 3,
    });
  });
});

test.each(["81-172.16.0.1", "80-172.16.0.1", "80-10.0.0.3|172.16.0.1:81*2"])(
  "a target of %s that cannot be reached is named with its -x",
  async (transfer) => {
    expect(await rejecting(plan(`-x 80-10.0.0.2,${transfer}`))).toEqual({
      message: `Cannot reach target "172.16.0.1": no route (-x "${transfer}")`,
      fix: "Add one.",
      exitCode: 3,
    });
  },
);

test("a loop is found before routes are looked up", async () => {
  const resolveEgress = () => Promise.reject(new Error("asked"));
  for (const words of [
    "-x 80-10.0.0.1",
    "-x 10.0.0.1:80-10.0.0.1",
    "-x 80-10.0.0.2,8080-192.168.1.1:80",
    "-x 80-10.0.0.2,80-10.0.0.1",
    "-x 80-10.0.0.2|10.0.0.1*2",
  ]) {
    expect(await rejecting(plan(words, { resolveEgress }))).toMatchObject({
      message: expect.stringContaining("is the service that is copied"),
      exitCode: 2,
    });
  }
});

test("what options say about the way to a target is asked of the host", async () => {
  const asked: Way[] = [];
  const on: Partial<Host> = {
    resolveEgress: (target, way) => {
      asked.push(way);
      return host.resolveEgress(target, way);
    },
  };
  await plan("-x 80-10.0.0.2,80@2:0:0:0:0:1-10.0.0.3@2:0:0:0:0:2 -o eth1 --inject packet", on);
  const inject = "packet" as const;
  expect(asked).toEqual([
    { inject, over: 3 },
    { inject, over: 3, sourceMac: bytes6(1), nextHopMac: bytes6(2) },
  ]);
});

function bytes6(last: number): Uint8Array {
  return Uint8Array.of(2, 0, 0, 0, 0, last);
}

test.each([
  ["-x 80-10.0.0.2 -o eth9", 'Cannot use -o "eth9": no such network interface'],
  [
    "-x 80-10.0.0.2@2:0:0:0:0:2 --inject raw",
    'Cannot use -x "80-10.0.0.2@2:0:0:0:0:2": with --inject raw the kernel finds the next hop',
  ],
  [
    "-x 80-10.0.0.2@2:0:0:0:0:2,81-10.0.0.2",
    'Cannot use -x "81-10.0.0.2": the way to 10.0.0.2 has other MAC addresses in -x "80-10.0.0.2@2:0:0:0:0:2"',
  ],
])("%s is a mistake", async (words, message) => {
  expect(await rejecting(plan(words))).toMatchObject({ message, exitCode: 2 });
});

test("a source address of another host is warned about", async () => {
  expect((await plan("-x 10.0.0.9:80-10.0.0.2")).warnings).toEqual([
    '10.0.0.9 in -x "10.0.0.9:80-10.0.0.2" is not an address of this host.',
  ]);
  expect((await plan("-x 10.0.0.1:80-10.0.0.2")).warnings).toEqual([]);
  expect((await plan("-x 10.0.0.9:80-10.0.0.2,10.0.0.9:80-10.0.0.3")).warnings).toHaveLength(1);
});

test.each([
  ["-x 80-10.0.0.2,81-10.0.0.2", 1],
  ["-x 80-10.0.0.2|10.0.0.3", 1],
  ["-x 80-10.0.0.2,80-10.0.0.3", 2],
  ["-x 80-10.0.0.2,81-10.0.0.2 -n 3", 3],
  ["-x 80-10.0.0.2,80-10.0.0.3,81-10.0.0.2 -n 100", 200],
])("%s: a session has %d copies", async (words, copies) => {
  expect(copiesOf(await plan(words), options(words))).toBe(copies);
});

test.each([
  ["000001ffffffffff", 40, []],
  ["0000000000000000", 40, ["CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN", "CAP_NET_RAW"]],
  // CAP_SYS_ADMIN includes CAP_BPF and CAP_PERFMON, and kernels before 5.8 know neither.
  ["0000000000203000", 40, []],
  ["0000000000203000", 37, []],
  ["0000000000003000", 37, ["CAP_SYS_ADMIN"]],
  ["0000008000003000", 40, ["CAP_PERFMON"]],
  ["0000004000003000", 40, ["CAP_BPF"]],
  ["000000c000003000", 40, []],
  ["000000c000001000", 40, ["CAP_NET_RAW"]],
])("the capabilities %s of %d lack %j", (effective, last, missing) => {
  const status = `Name:\txcopy\nCapPrm:\t0000000000000000\nCapEff:\t${effective}\nCapBnd:\t0\n`;
  expect(missingCapabilities(status, { bpf: "needed", sockets: true }, last)).toEqual(missing);
  const others = missing.filter((name) => name.startsWith("CAP_NET"));
  expect(missingCapabilities(status, { bpf: "wanted", sockets: true }, last)).toEqual(others);
  const ofIntercept = missing.filter((name) => name !== "CAP_NET_RAW");
  expect(missingCapabilities(status, { bpf: "needed", sockets: false }, last)).toEqual(ofIntercept);
});

test.each([
  ["0\n", 1],
  ["0-3\n", 4],
  ["0,2-7\n", 8],
])("possible CPUs %j are %d rings", (text, cpus) => {
  expect(countCpus(text)).toBe(cpus);
});

test("rings share their total in powers of two, but none is below the least", () => {
  const sizes = { total: 16 << 20, least: 1 << 20 };
  expect([1, 2, 3, 4, 16, 128].map((rings) => ringBytes(sizes, rings) >> 20)).toEqual([16, 8, 4, 4, 1, 1]);
});

test("rings without -B come as near to 1 % of the memory as powers of two can, 32 to 512 MB", () => {
  const total = (gigabytes: number, rings: number) =>
    (ringBytesFor(null, rings, 1 << 18, gigabytes * 2 ** 30) * rings) >> 20;
  expect([0.5, 2, 8, 24, 64, 512].map((memory) => total(memory, 2))).toEqual([32, 32, 64, 256, 512, 512]);
  expect([1, 4, 16, 96, 128].map((rings) => total(64, rings))).toEqual([512, 512, 512, 384, 512]);
  expect(total(1, 256)).toBe(64);
});

test("rings with -B have together at most that, but none is below the least", () => {
  expect(ringBytesFor(100 << 20, 2, 1 << 18, 2 ** 35) >> 20).toBe(32);
  expect(ringBytesFor(1 << 20, 8, 1 << 18, 2 ** 35)).toBe(1 << 18);
});

test("requests that wait get 5 % of the memory, 256 to 2048 MB, or what -m says", () => {
  const of = (gigabytes: number) => waitingBytes(null, gigabytes * 2 ** 30) / 2 ** 20;
  expect([1, 20, 1024].map(of)).toEqual([256, 1024, 2048]);
  expect(waitingBytes(16 << 20, 2 ** 40)).toBe(16 << 20);
});

describe("with an intercept", () => {
  test("connections come from the clients, from their own ports", async () => {
    expect(await pathsOf("-x 80-10.0.0.2:8080 -s 10.0.0.2")).toEqual(["clients > 10.0.0.2:8080 over 0"]);
    const made = await plan("-x 80-10.0.0.2:8080 -s 10.0.0.2:99");
    expect(made.keepsClientPorts).toBe(true);
    expect(made.ports).toEqual([[1024, 65535]]);
    expect(made.intercepts.map(({ label, port }) => `${label} ${port}`)).toEqual(["10.0.0.2:99 99"]);
    expect(made.probeFrom.map(formatAddress)).toEqual(["192.0.2.1"]);
    expect(made.warnings).toEqual([
      "IPv6 requests to port 80 are not copied: the target has an IPv4 address.",
    ]);
  });

  test("or from a pool, on all its ports", async () => {
    const words = "-x 80-10.0.0.2 -s 10.0.0.3 -c 10.1.0.1-10.1.0.2";
    expect(await pathsOf(words)).toEqual(["10.1.0.1 > 10.0.0.2:80 over 0", "10.1.0.2 > 10.0.0.2:80 over 0"]);
    const made = await plan(words);
    expect(made.keepsClientPorts).toBe(false);
    expect(made.ports).toEqual([[1024, 65535]]);
    expect(made.probeFrom.map(formatAddress)).toEqual(["10.1.0.1", "10.1.0.2"]);
    expect(made.warnings).toEqual([]);
  });

  test("a part of the ports is a part of all ports, and the clients' own are not used", async () => {
    const made = await plan("-x 80-10.0.0.2 -s 10.0.0.3 -f 1/2");
    expect(made.keepsClientPorts).toBe(false);
    expect(made.ports).toEqual([[33280, 65535]]);
  });

  test("--probe-from gives the source address of the preflight", async () => {
    const made = await plan("-x 80-10.0.0.2 -s 10.0.0.3 --probe-from 10.1.0.9");
    expect(made.probeFrom.map(formatAddress)).toEqual(["10.1.0.9"]);
  });

  test.each([
    ["80-10.0.0.2,80-[2001:db8::2]", "80-[2001:db8::2]", 4, 6],
    ["[2001:db8::1]:80-10.0.0.2", "[2001:db8::1]:80-10.0.0.2", 6, 4],
  ])("%s is refused: clients have one family", async (transfer, label, client, target) => {
    const failure = await rejecting(plan(`-x ${transfer} -s 10.0.0.3`));
    expect(failure.message).toBe(
      `Cannot use -x "${label}" with -s: requests cannot be sent from IPv${client} clients' addresses to an IPv${target} target`,
    );
    expect(failure.exitCode).toBe(2);
  });

  test("a name of an intercept that does not resolve is refused", async () => {
    const failure = await rejecting(plan("-x 80-10.0.0.2 -s catcher"));
    expect(failure.message).toBe('Cannot use -s "catcher": the name "catcher" does not resolve');
  });
});

describe("a link-local target", () => {
  test("is sent to over the interface of its zone, by name or number", async () => {
    const asked: Way[] = [];
    const resolveEgress: Host["resolveEgress"] = async (target, way) => {
      asked.push(way);
      const found = await host.resolveEgress(target, way);
      return { ...found, egress: { ...found.egress, interface: way.over === 3 ? "eth1" : "eth0" } };
    };
    const { paths, ways } = await plan("-x 80-[fe80::2%eth1]:8080,81-[fe80::3%2]", { resolveEgress });
    expect(ways.map(({ over }) => over)).toEqual(["eth1", "eth0"]);
    expect(asked.map(({ over }) => over)).toEqual([3, 2]);
    expect(paths.map(({ target }) => formatAddress(target))).toEqual(["fe80::2", "fe80::3"]);
  });

  test.each([
    ["-x 80-[fe80::2%eth9]", 'this host has no interface "eth9"'],
    ["-x 80-[fe80::2%eth0] -o eth1", "-o names another interface"],
    ["-x 80-[fe80::2%eth0],81-[fe80::2%eth1]", "fe80::2 is on another link"],
  ])("%s: %s", async (words, cause) => {
    const { message, exitCode } = await rejecting(plan(words));
    expect([message.includes(cause), exitCode]).toEqual([true, 2]);
  });
});
