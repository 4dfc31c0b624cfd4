/** From options to paths, egresses and ports, on hosts that only exist here. */
import { describe, expect, test } from "bun:test";
import { countCpus, ringBytes } from "../../src/commands/load.ts";
import { type Host, makePlan } from "../../src/commands/plan.ts";
import { missingCapabilities } from "../../src/commands/privileges.ts";
import { formatAddress, formatEndpoint, parseAddress } from "../../src/config/address.ts";
import { parseArguments } from "../../src/config/arguments.ts";
import { COPY, parseCopy } from "../../src/config/copy.ts";
import { Failure } from "../../src/native/failure.ts";
import { rejecting } from "../config/failing.ts";

const bytes = (text: string) => parseAddress(text)!.bytes;
const LOCAL = ["10.0.0.1", "192.168.1.1", "2001:db8::1", "127.0.0.1"];

/** A host with an address in 10.0.0.0/8 on eth0 and one in 192.168.0.0/16, behind a gateway, on eth1. */
const host: Host = {
  lookup: () => Promise.reject(new Error("no names here")),
  interfaces: [
    { name: "lo", ifindex: 1, up: true },
    { name: "eth0", ifindex: 2, up: true },
    { name: "eth1", ifindex: 3, up: true },
  ],
  isLocal: (address) => LOCAL.includes(formatAddress(address)),
  localPorts: "32768\t60999\n",
  reservedPorts: "\n",
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

const plan = (words: string, on: Partial<Host> = {}) =>
  makePlan(parseCopy(parseArguments(COPY, words.split(" "))), { ...host, ...on });

/** `10.0.0.1 > 10.0.0.2:80 over 0`. */
async function pathsOf(words: string): Promise<string[]> {
  const { paths } = await plan(words);
  return paths.map(
    ({ local, target, targetPort, egress }) =>
      `${formatAddress(local)} > ${formatEndpoint(target, targetPort)} over ${egress}`,
  );
}

describe("paths", () => {
  test("one per target, from our own address towards it", async () => {
    expect(await pathsOf("-x 80-10.0.0.2:8080 -x 81-192.168.9.9")).toEqual([
      "10.0.0.1 > 10.0.0.2:8080 over 0",
      "192.168.1.1 > 192.168.9.9:81 over 1",
    ]);
  });

  test("one per address of -c of the target's family", async () => {
    expect(await pathsOf("-x 80-10.0.0.2,81-[2001:db8::2] -c 10.1.0.1-10.1.0.2,2001:db8::9")).toEqual([
      "10.1.0.1 > 10.0.0.2:80 over 0",
      "10.1.0.2 > 10.0.0.2:80 over 0",
      "2001:db8::9 > [2001:db8::2]:81 over 1",
    ]);
  });

  test("services with the same target share them: ports must not be used twice", async () => {
    const { paths, pathsOf: of } = await plan("-x 80-10.0.0.2:8080,81-10.0.0.2:8080,82-10.0.0.2:8082");
    expect(paths).toHaveLength(2);
    expect(of).toEqual([[0], [0], [1]]);
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

  test("none left is an error", async () => {
    expect(await rejecting(plan("-x 80-10.0.0.2", { localPorts: "1024\t65535\n" }))).toMatchObject({
      exitCode: 3,
    });
  });
});

test("a target that cannot be reached is named with its -x", async () => {
  expect(await rejecting(plan("-x 80-10.0.0.2,81-172.16.0.1"))).toEqual({
    message: 'Cannot reach target "172.16.0.1": no route (-x "81-172.16.0.1")',
    fix: "Add one.",
    exitCode: 3,
  });
});

test("a loop is found before the network is asked", async () => {
  const resolveEgress = () => Promise.reject(new Error("asked"));
  for (const words of ["-x 80-10.0.0.1", "-x 10.0.0.1:80-10.0.0.1", "-x 80-10.0.0.2,8080-192.168.1.1:80"]) {
    expect(await rejecting(plan(words, { resolveEgress }))).toMatchObject({ exitCode: 2 });
  }
});

test("a source address of another host is warned about", async () => {
  expect((await plan("-x 10.0.0.9:80-10.0.0.2")).warnings).toEqual([
    '10.0.0.9 in -x "10.0.0.9:80-10.0.0.2" is not an address of this host.',
  ]);
  expect((await plan("-x 10.0.0.1:80-10.0.0.2")).warnings).toEqual([]);
});

test.each([
  ["CapEff:\t000001ffffffffff", []],
  ["CapEff:\t0000000000000000", ["CAP_BPF", "CAP_NET_ADMIN", "CAP_NET_RAW"]],
  // CAP_SYS_ADMIN stands for CAP_BPF, as in kernels before 5.8.
  ["CapEff:\t0000000000203000", []],
  ["CapEff:\t0000008000001000", ["CAP_NET_RAW"]],
])("%s lacks %j", (line, missing) => {
  expect(missingCapabilities(`Name:\txcopy\nCapPrm:\t0000000000000000\n${line}\nCapBnd:\t0\n`)).toEqual(
    missing,
  );
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
