/** What the facts about an intercept's host mean, and intercepts that refuse, say nothing or are too old to be asked. */
import { afterEach, describe, expect, test } from "bun:test";
import { version } from "../../package.json";
import type { Welcome } from "../../src/channel/messages.ts";
import { parseAddress } from "../../src/config/address.ts";
import type { Plan } from "../../src/copy/plan.ts";
import { checkIntercepts } from "../../src/doctor/intercept/check.ts";
import { judgeHost, type Question } from "../../src/doctor/intercept/judge.ts";
import type { Subject } from "../../src/doctor/subject.ts";
import type { HostFacts } from "../../src/intercept/data-plane/host-facts.ts";
import { Failure } from "../../src/native/failure.ts";
import { type FakeIntercept, fakeIntercept } from "../support/fake-intercept.ts";
import { linesOf, optionsOf } from "./look.ts";

const NOW = 1_800_000_000_000;
const way = (through: string) => ({
  ...{ type: "unicast", interface: through, gateway: null, source: null, mtu: 1500 },
});

/** A host on which nothing is wrong. */
const GOOD: HostFacts = {
  ...{ version, kernel: "6.12.9", time: NOW, mode: "target", hook: "tcx", interfaces: ["eth0"], strict: [] },
  ipForward: { 4: 0, 6: 0 },
  conntrack: null,
  routes: ["192.0.2.1", "10.0.0.1"].map((address) => ({ address, route: way("eth0"), unresolved: null })),
  servers: [{ address: "10.0.0.2", port: 8080, transport: "tcp", listening: true }],
};
const QUESTION: Question = {
  ...{ label: "target", clients: ["192.0.2.1"], self: "10.0.0.1" },
  servers: [{ address: "10.0.0.2", port: 8080, transport: "tcp" }],
  answered: new Set(),
};

/** All findings that are not ok, with the ids of those that are. */
function judge(given: Partial<HostFacts>, question: Partial<Question> = {}) {
  const findings = judgeHost({ ...GOOD, ...given }, { ...QUESTION, ...question }, NOW, version);
  expect(findings.every(({ host }) => host === "target")).toBe(true);
  return linesOf(findings.filter(({ status }) => status !== "ok"));
}

const elsewhere = [
  { address: "192.0.2.1", route: way("eth1"), unresolved: null },
  { address: "10.0.0.1", route: way("eth0"), unresolved: null },
];
const between = [{ ...GOOD.servers[0]!, listening: null }];

describe("facts", () => {
  test("nothing wrong", () => {
    expect(judge({})).toEqual([]);
  });

  test.each<[string, Partial<HostFacts>, string[]]>([
    [
      "another version",
      { version: "0.0.9" },
      [
        `warning intercept.version: xcopy 0.0.9, Linux 6.12.9, mode target by tcx; here it is xcopy ${version} -> Install the same version on both hosts.`,
      ],
    ],
    [
      "nothing listens",
      { servers: [{ ...GOOD.servers[0]!, listening: false }] },
      [
        "failed intercept.listening: nothing listens on 10.0.0.2 -> Start the service there, or correct the port in -x.",
      ],
    ],
    [
      "no route back",
      {
        routes: [
          {
            address: "192.0.2.1",
            route: { error: "Cannot look up a route over netlink: network is unreachable" },
            unresolved: null,
          },
        ],
      },
      [
        "failed intercept.route_back: none to 192.0.2.1 (network is unreachable) -> ip route add 192.0.2.1 via GATEWAY (a default route will do: responses do not leave that host), or name an address that it has a route to with --probe-from",
      ],
    ],
    [
      "a next hop that answers nobody",
      { routes: [{ ...elsewhere[0]!, unresolved: "192.0.2.1" }, elsewhere[1]!] },
      [
        "failed intercept.route_back: 192.0.2.1, the next hop to them, answers no ARP or ND -> Responses to such clients never leave: route them through a host that answers, or name another address with --probe-from.",
      ],
    ],
    [
      "rp_filter=1, and another way back",
      { strict: ["eth0"], routes: elsewhere },
      [
        "failed intercept.rp_filter: drops packets from 192.0.2.1 that come in by eth0, as the way back is eth1 (rp_filter=1) -> sysctl -w net.ipv4.conf.all.rp_filter=2",
      ],
    ],
    ["rp_filter=1, and the same way back", { strict: ["eth0"] }, []],
    ["another way back, but a loose filter", { routes: elsewhere }, []],
    ["rp_filter=1 on the other interface", { strict: ["eth1"], routes: elsewhere }, []],
    [
      "a queue on a host that forwards nothing",
      { mode: "nfqueue", servers: between },
      [
        "failed intercept.ip_forward: off (net.ipv4.ip_forward=0): responses that are routed through it are not queued -> sysctl -w net.ipv4.ip_forward=1",
      ],
    ],
    ["a queue on a host that forwards", { mode: "nfqueue", servers: between, ipForward: { 4: 1, 6: 0 } }, []],
    ["a queue on the target", { mode: "nfqueue" }, []],
    ["an assistant that forwards nothing", { mode: "assistant", servers: between }, []],
    ["connection tracking", { conntrack: { count: 100, max: 1000 } }, []],
    [
      "connection tracking nearly full",
      { conntrack: { count: 850, max: 1000 } },
      [
        "warning intercept.conntrack: 850 of 1000 connections: it is nearly full, and each copied connection takes one -> sysctl -w net.netfilter.nf_conntrack_max=2000",
      ],
    ],
    [
      "connection tracking full",
      { conntrack: { count: 1000, max: 1000 } },
      [
        "failed intercept.conntrack: 1000 of 1000 connections: it is full, and drops new connections -> sysctl -w net.netfilter.nf_conntrack_max=2000",
      ],
    ],
    ["a clock that is a little off", { time: NOW + 1500 }, []],
    [
      "a clock far off",
      { time: NOW - 65_000 },
      [
        "warning intercept.clock: 65.0 s behind this host's: times in reports and logs of both do not fit together -> timedatectl set-ntp true (on both hosts)",
      ],
    ],
  ])("%s", (_, given, lines) => {
    expect(judge(given)).toEqual(lines);
  });

  test("a server that answers is listened at, has ways back and no filter in the way, whatever the settings seem to say", () => {
    const routes = [
      { address: "192.0.2.1", route: { error: "no route" }, unresolved: null },
      { address: "10.0.0.1", route: way("eth0"), unresolved: null },
    ];
    const servers = [{ ...GOOD.servers[0]!, listening: false }];
    expect(judge({ servers, routes, strict: ["eth0"] }).length).toBe(2);
    const answered = new Set(["10.0.0.2 8080"]);
    expect(judge({ servers, routes, strict: ["eth0"] }, { answered })).toEqual([]);
    // One that answers says nothing of another one.
    const two = [servers[0]!, { ...servers[0]!, port: 8081 }];
    expect(judge({ servers: two, routes }, { answered, servers: two }).length).toBe(2);
    // A service over UDP is not tried.
    const udp = [{ ...servers[0]!, transport: "udp" as const }];
    expect(judge({ servers: udp, routes }, { answered, servers: udp }).length).toBe(2);
  });

  test("IPv6 has no rp_filter, and a forwarding of its own", () => {
    const routes = ["2001:db8::1", "fd00::1"].map((address, index) => ({
      ...{ address, route: way(`eth${1 - index}`), unresolved: null },
    }));
    const six = { clients: ["2001:db8::1"], self: "fd00::1" };
    expect(judge({ strict: ["eth0"], routes }, six)).toEqual([]);
    expect(judge({ mode: "nfqueue", servers: between, routes }, six)).toEqual([
      expect.stringContaining("sysctl -w net.ipv6.conf.all.forwarding=1"),
    ]);
  });
});

describe("intercepts", () => {
  const KEY = new TextEncoder().encode("a key of these tests alone");
  const started: FakeIntercept[] = [];
  afterEach(() => {
    for (const one of started.splice(0)) one.end();
  });

  /** The copy of one TCP service with these intercepts. */
  function subject(ports: number[], key: Uint8Array | null, keyless: Failure | null = null): Subject {
    const target = parseAddress("10.0.0.2")!;
    const loopback = parseAddress("127.0.0.1")!;
    const plan = {
      paths: [{ family: 4, local: null, target: target.bytes, targetPort: 8080 }],
      probeFrom: [parseAddress("192.0.2.1")!.bytes],
      ways: [{ source: parseAddress("10.0.0.1")!.bytes, paths: [0] }],
      intercepts: ports.map((port) => ({ label: `127.0.0.1:${port}`, address: loopback, port })),
    };
    const options = optionsOf("-s", ports.map((port) => `127.0.0.1:${port}`).join(","));
    const used = key && { bytes: key, source: "test" };
    return { options, plan: plan as unknown as Plan, key: used, keyless } as unknown as Subject;
  }

  function start(answer: Parameters<typeof fakeIntercept>[2], welcome: Partial<Welcome> = {}): FakeIntercept {
    const one = fakeIntercept(KEY, welcome, answer);
    started.push(one);
    return one;
  }

  const untried = async () => ({ tried: null, failure: null });
  const look = async (given: Subject) =>
    linesOf((await checkIntercepts(given, untried)).filter(({ status }) => status !== "ok"));

  test("one that answers is asked about the addresses of the copy", async () => {
    let asked: object = {};
    const { port, taken } = start((question) => {
      asked = question;
      return { ...GOOD, time: Date.now() };
    });
    expect(await look(subject([port], KEY))).toEqual([]);
    expect(asked).toMatchObject({
      what: "host",
      addresses: ["192.0.2.1", "10.0.0.1"],
      servers: [{ address: "10.0.0.2", port: 8080, transport: "tcp" }],
    });
    expect(taken()).toBe(1);
  });

  test("one of an earlier version does not know the question", async () => {
    const { port } = start(() => ({ error: 'there is no response to "host"' }), { version: "0.0.1" });
    expect(await look(subject([port], KEY))).toEqual([
      'warning intercept.facts: xcopy 0.0.1 there does not tell (there is no response to "host") -> Update xcopy there.',
    ]);
  });

  test("two, of which one has another key, and the other catches another port", async () => {
    const services = [{ address: null, port: 9090 }];
    const good = start(() => ({ ...GOOD, time: Date.now(), servers: [] }), { services });
    const other = fakeIntercept(new TextEncoder().encode("another key than that of this"), {}, () => null);
    started.push(other);
    expect(await look(subject([good.port], KEY))).toEqual([
      `failed intercept.services: caught by none of the intercepts (127.0.0.1:${good.port} catches port 9090) -> Start the intercept on the host of 10.0.0.2 with -o :8080, correct -x, or name the intercept that catches them in -s.`,
    ]);
    // Whether the one that refuses would catch them is not known.
    const lines = await look(subject([good.port, other.port], KEY));
    expect(lines).toEqual([expect.stringMatching(/^failed intercept\.connection: .*different keys/)]);
    expect(other.taken()).toBe(0);
  });

  test("no key: that alone is said", async () => {
    const keyless = new Failure("Cannot copy with -s: there is no key", "Make one.", 2);
    expect(await look(subject([1], null, keyless))).toEqual([
      "failed intercept.key: Cannot copy with -s: there is no key -> Make one.",
    ]);
  });
});
