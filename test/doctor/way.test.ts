/** What is said of the way to a target, for what was tried and for what this host's rules do. */
import { expect, test } from "bun:test";
import { parseAddress } from "../../src/config/address.ts";
import type { Findings, ProbeResult } from "../../src/copy/data-plane/preflight.ts";
import type { CopyOptions } from "../../src/copy/options.ts";
import type { Plan } from "../../src/copy/plan.ts";
import type { OrdinaryConnection } from "../../src/copy/target/connection.ts";
import { judgeMtu, measurePath, type PathMtu, type Send } from "../../src/doctor/way/mtu.ts";
import { blockedPaths, checkConnectionTable, judgeRules } from "../../src/doctor/way/rules.ts";
import { judgeLoop, judgeSame, judgeTarget, judgeTls, type Target } from "../../src/doctor/way/verdict.ts";
import { readIptables } from "../../src/netfilter/listed/iptables.ts";

const at = (text: string) => parseAddress(text)!.bytes;
const TARGET = at("10.0.0.2");
const said = (finding: { id: string; status: string; found: string; fix: string | null } | null) =>
  finding && `${finding.status} ${finding.id}: ${finding.found}${finding.fix ? ` -> ${finding.fix}` : ""}`;

/** A way that takes packets of so many bytes to a target that answers; `word`: whether a router says what it takes. */
const way = (takes: number, word: boolean, answers = true) => {
  const sizes: number[] = [];
  const send = async (bytes: number) => {
    sizes.push(bytes);
    if (bytes > takes && word) return { result: "too-large" as const, mtu: takes };
    return { result: bytes <= takes && answers ? ("arrived" as const) : ("silent" as const), mtu: 1500 };
  };
  return { sizes, send };
};

test.each<[string, number, boolean, boolean, string, number]>([
  ["all", 1500, true, true, "ok way.mtu: 1500 bytes get there", 1],
  [
    "less, as a router says",
    1400,
    true,
    true,
    "ok way.mtu: 1400 bytes on the way, as a router says, of 1500 by the route",
    1,
  ],
  [
    "nothing that is answered",
    1500,
    true,
    false,
    "ok way.mtu: 1500 bytes by the route; the target answers no UDP, by which the way could be tried",
    7,
  ],
])("a way that takes %s", async (_, takes, word, answers, expected, packets) => {
  const { sizes, send } = way(takes, word, answers);
  expect(said(judgeMtu(TARGET, 1500, await measurePath(1500, send, 0)))).toBe(expected);
  expect(sizes.length).toBe(packets);
});

test.each([
  [1499, 1492],
  [1450, 1450],
  [1399, 1380],
  [600, 576],
])("a way that takes %p bytes, and loses more without a word: %p get there", async (takes, largest) => {
  const { sizes, send } = way(takes, false);
  const finding = judgeMtu(TARGET, 1500, await measurePath(1500, send, 0));
  expect(said(finding)).toBe(
    `warning way.mtu: packets of ${largest} bytes get there, those of 1500 are lost without a word: large requests hang -> -M ${largest}, and let ICMP through on the way.`,
  );
  expect(sizes.length).toBeLessThanOrEqual(24);
});

/** A host at a way that takes `takes` bytes, which answers so many packets, and as many more after each `wait`. */
const limited = (takes: number, first: number, more: number) => {
  let left = first;
  return async (bytes: number) => {
    const isAnswered = bytes <= takes && left-- > 0;
    // It has recovered when nothing was answered and it was asked again.
    if (bytes <= takes && left < 0) left = more;
    return { result: isAnswered ? ("arrived" as const) : ("silent" as const), mtu: 0 };
  };
};

test.each<[string, Send, PathMtu]>([
  ["that has answered too much and answers again", limited(1500, 0, 3), { largest: 1500, isSilent: false }],
  [
    "that has answered too much and does not answer again",
    limited(1500, 0, 0),
    { largest: null, isSilent: false },
  ],
  ["at a narrow way that answers no more", limited(1300, 0, 0), { largest: null, isSilent: false }],
  ["at a narrow way that answers again", limited(1300, 0, 9), { largest: 1300, isSilent: true }],
  ["at a narrow way that stops to answer meanwhile", limited(1300, 3, 0), { largest: null, isSilent: false }],
])("a host %s", async (_, send, expected) => {
  expect(await measurePath(1500, send, 0)).toEqual(expected);
});

test("a way on which one large packet is lost by chance is not narrow", async () => {
  let sent = 0;
  const send = async (bytes: number) => ({
    result: bytes < 1500 || ++sent > 2 ? ("arrived" as const) : ("silent" as const),
    mtu: 0,
  });
  expect(await measurePath(1500, send, 0)).toEqual({ largest: 1500, isSilent: false });
});

const PLAN = (
  kind: "packet" | "raw",
  { intercepts = 0, usesPool = false, local = "10.0.0.1" as string | null } = {},
) =>
  ({
    paths: [{ family: 4, local: local && at(local), target: TARGET, targetPort: 8080, egress: 0 }],
    egresses: [{ kind, interface: "back" }],
    probeFrom: [at("192.0.2.1")],
    ports: [[1024, 2000]],
    intercepts: Array.from({ length: intercepts }, () => ({ label: "10.0.0.2" })),
    usesPool,
    key: null,
  }) as unknown as Plan;
const OPTIONS = { mark: 1 } as CopyOptions;
const listed = (table: string, ...rules: string[]) => ({
  chains: readIptables(
    [`*${table}`, ":OUTPUT ACCEPT [0:0]", ":POSTROUTING ACCEPT [0:0]", ...rules, "COMMIT"].join("\n"),
    "iptables",
  ),
  missing: [],
});
const DROP = "-A OUTPUT -d 10.0.0.2/32 -j DROP";

test.each<[string, Plan, ReturnType<typeof listed>, string]>([
  [
    "drops IP packets",
    PLAN("raw"),
    listed("filter", "-A OUTPUT -p udp -j DROP", DROP),
    'failed way.output: what goes to 10.0.0.2:8080 is dropped: rule "-d 10.0.0.2/32 -j DROP" (number 2) in chain OUTPUT of iptables -t filter -> iptables -t filter -I OUTPUT 2 -d 10.0.0.2 -p tcp --dport 8080 -j ACCEPT',
  ],
  ["does not see frames", PLAN("packet"), listed("filter", DROP), "ok way.output: none of 1 is in the way"],
  [
    "masquerades this host's own address",
    PLAN("raw"),
    listed("nat", "-A POSTROUTING -j MASQUERADE"),
    "ok way.output: none of 1 is in the way",
  ],
  [
    "gives clients' addresses another",
    PLAN("raw", { local: null }),
    listed("nat", "-A POSTROUTING -o back -j SNAT --to-source 10.0.0.9"),
    'warning way.source: what goes to 10.0.0.2:8080 from 192.0.2.1 gets another source: rule "-o back -j SNAT --to-source 10.0.0.9" (number 1) in chain POSTROUTING of iptables -t nat -> iptables -t nat -I POSTROUTING 1 -d 10.0.0.2 -p tcp --dport 8080 -j ACCEPT',
  ],
  [
    "sends them elsewhere",
    PLAN("raw"),
    listed("nat", "-A OUTPUT -p tcp -m tcp --dport 8080 -j REDIRECT --to-ports 81"),
    'failed way.destination: what goes to 10.0.0.2:8080 is sent elsewhere: rule "-p tcp -m tcp --dport 8080 -j REDIRECT --to-ports 81" (number 1) in chain OUTPUT of iptables -t nat -> iptables -t nat -I OUTPUT 1 -d 10.0.0.2 -p tcp --dport 8080 -j ACCEPT',
  ],
])("a rule that %s", (_, plan, rules, expected) => {
  expect(judgeRules(blockedPaths(plan, OPTIONS, rules), rules).map(said)).toEqual([expected]);
});

test.each([
  ["100", "262144", ["ok way.conntrack: 100 of 262,144"]],
  [
    "240000",
    "262144",
    [
      "warning way.conntrack: 240,000 of 262,144: nearly full, then new connections are dropped -> sysctl -w net.netfilter.nf_conntrack_max=524288",
    ],
  ],
  [
    "262144",
    "262144",
    [
      "failed way.conntrack: 262,144 of 262,144: full: new connections are dropped -> sysctl -w net.netfilter.nf_conntrack_max=524288",
    ],
  ],
  [null, null, []],
])("a table of connections with %p of %p", (count, max, expected) => {
  const read = (path: string) => (path.endsWith("count") ? count : max);
  expect(checkConnectionTable(read).map(said)).toEqual(expected);
});

type Result = ProbeResult["result"];
const findings = (result: Result, facts: object[] = []): Findings => ({
  probes: [{ path: 0, result, facts: facts as ProbeResult["facts"] }],
  intercepts: [],
  registersAll: false,
});
const target = (ordinary: Partial<OrdinaryConnection>, greeting: Target["greeting"] = null): Target => ({
  endpoint: "10.0.0.2:8080",
  ordinary: { result: "answered", translatedTo: null, ...ordinary },
  greeting,
});
const SEEN = { mode: "target", known: true, caught: 0, listening: true };

test.each<[string, Target, Plan, Findings | null, string]>([
  ["answers", target({}), PLAN("packet"), findings("answered"), "ok way.port: open, waits"],
  [
    "greets",
    target({}, { protocol: "MySQL", isFirst: true }),
    PLAN("packet"),
    findings("answered"),
    "ok way.port: open, greets as MySQL does",
  ],
  [
    "responses copies alone",
    target({ result: "silent" }),
    PLAN("packet"),
    findings("answered"),
    "ok way.port: answers copied connections",
  ],
  [
    "refuses",
    target({ result: "refused" }),
    PLAN("packet"),
    findings("refused"),
    "failed way.port: connection refused",
  ],
  [
    "refuses, as far as could be tried",
    target({ result: "refused" }),
    PLAN("packet"),
    null,
    "failed way.port: connection refused",
  ],
  [
    "is not reached",
    target({ result: "silent", error: "EHOSTUNREACH" }),
    PLAN("packet"),
    null,
    "failed way.port: no response (EHOSTUNREACH)",
  ],
  [
    "is silent",
    target({ result: "silent" }),
    PLAN("packet"),
    findings("silent"),
    "failed way.port: no response to a connection attempt from 10.0.0.1",
  ],
  [
    "is translated",
    target({ translatedTo: "10.0.0.3:80" }),
    PLAN("packet"),
    findings("refused"),
    "failed way.translated: connection refused, as 10.0.0.2:8080 is an address that",
  ],
  [
    "does not answer a pool",
    target({}),
    PLAN("packet", { usesPool: true }),
    findings("silent"),
    "failed way.pool: no response",
  ],
  ["responses elsewhere", target({}), PLAN("packet"), findings("silent"), "failed way.answers: no response"],
  [
    "is behind a check of addresses",
    target({}),
    PLAN("packet", { intercepts: 1 }),
    findings("silent", [{ ...SEEN, known: false }]),
    "failed way.spoofing: a connection attempt",
  ],
  [
    "has a rule that drops copies",
    target({ result: "silent" }),
    PLAN("packet", { intercepts: 1 }),
    findings("silent", [
      { ...SEEN, blocked: { drops: "requests", place: 'rule "drop" (handle 3)', fix: "nft '...'" } },
    ]),
    "failed way.rules: the attempt from 192.0.2.1 arrived and was not answered, and neither is",
  ],
  [
    "has a firewall that knows its clients",
    target({}),
    PLAN("packet", { intercepts: 1 }),
    findings("silent", [SEEN]),
    "failed way.answers: the attempt from 192.0.2.1 arrived and was not answered, though",
  ],
])("a target that %s", (_, one, plan, found, expected) => {
  expect(said(judgeTarget(one, plan, found))).toStartWith(expected);
});

test.each<[string, Result, object, string]>([
  ["no intercept catches", "uncaught", {}, "services"],
  ["has no way back", "silent", { route: { error: "network is unreachable" } }, "route_back"],
  ["cannot resolve the tried address", "silent", { unresolved: "192.0.2.1" }, "route_back"],
  ["does not listen", "silent", { listening: false }, "listening"],
  ["filters by the way back", "silent", { route: { interface: "other" }, strict: ["net0"] }, "rp_filter"],
])(
  "a target that %s is told of once: by the checks of its intercept, or else here",
  (_, result, fact, id) => {
    const state = { index: 0, up: true, covers: [0], text: "", welcome: { mode: "target" } };
    const intercepts = [state] as unknown as Findings["intercepts"];
    const found = { ...findings(result, [{ ...SEEN, ...fact }]), intercepts };
    const about = {
      id: `intercept.${id}`,
      what: "",
      found: "",
      fix: null,
      host: id === "services" ? null : "10.0.0.2",
    };
    const judged = (status: "ok" | "failed", host = about.host) =>
      judgeTarget(target({}), PLAN("packet", { intercepts: 1 }), found, [{ ...about, host, status }]);
    expect(judged("failed")).toBeNull();
    expect(judged("ok")?.status).toBe("failed");
    if (about.host !== null) expect(judged("failed", "10.0.0.3")?.status).toBe("failed");
  },
);

test.each<[string, object, RegExp]>([
  ["drops by rp_filter", { strict: ["net0"], dropped: { reversePath: 2, listen: 0 } }, /rp_filter=1 on net0/],
  [
    "has rp_filter=1, which has dropped nothing",
    { strict: ["net0"], dropped: { reversePath: 0, listen: 0 } },
    /Let port 8080 through in the target's own firewall/,
  ],
  [
    "has a full queue",
    { dropped: { reversePath: 0, listen: 2 } },
    /queue of those that wait is full -> .* ss -ltn/,
  ],
])("a target that %s", (_, fact, expected) => {
  const found = findings("silent", [{ ...SEEN, ...fact }]);
  expect(said(judgeTarget(target({}), PLAN("packet", { intercepts: 1 }), found))).toMatch(expected);
});

test.each<[string, Partial<OrdinaryConnection>, Result, RegExp]>([
  [
    "rejects",
    { result: "refused" },
    "silent",
    /an ordinary connection from this host is refused: a firewall rejects it with an ICMP error, or/,
  ],
  [
    "prohibits",
    { result: "silent", error: "EHOSTUNREACH" },
    "silent",
    /\(EHOSTUNREACH\).* -> Let port 8080 through/,
  ],
  ["resets", { result: "refused" }, "refused", /: connection refused -> Start the service/],
])("a firewall that %s", (_, ordinary, result, expected) => {
  expect(said(judgeTarget(target(ordinary), PLAN("packet"), findings(result)))).toMatch(expected);
});

test("a target that closes each connection at once is open, and of no use", () => {
  const closing = target({}, { protocol: null, isFirst: false, isClosed: true });
  expect(said(judgeTarget(closing, PLAN("packet"), findings("answered")))).toStartWith(
    "warning way.port: open, but it closes each connection at once",
  );
});

test.each([
  ["arrived", "failed way.port: nobody listens there -> Start the service there, or correct the port in -x."],
  ["silent", "ok way.port: no error comes back for an empty datagram; whether it answers is not tried"],
  [
    "prohibited",
    'failed way.port: a firewall rejects datagrams to it with an ICMP error (prohibited) -> Let the port through in the firewall there and in those on the way ("nft list ruleset" or "iptables -S" shows the rule).',
  ],
] as const)("a UDP target of which comes back: %s", (datagram, expected) => {
  const one = { endpoint: "10.0.0.2:53", ordinary: null, greeting: null, datagram };
  expect(said(judgeTarget(one, PLAN("packet"), findings("answered")))).toBe(expected);
});

test("TLS at the target only is a warning, if production is known to speak without", () => {
  const tls = target({}, { protocol: "TLS", isFirst: false });
  expect(said(judgeTls(tls, new Map([["HTTP/1", 3]])))).toStartWith("warning way.tls: the target speaks TLS");
  const mixed = new Map([
    ["TLS", 1],
    ["HTTP/1", 3],
  ]);
  expect(said(judgeTls(tls, mixed))).toEndWith("-> Name in -x a port of the target without TLS.");
  for (const production of [new Map(), new Map([["", 3]]), new Map([["TLS", 3]])])
    expect(judgeTls(tls, production)).toBeNull();
  expect(judgeTls(target({}, { protocol: null, isFirst: false }), new Map([["HTTP/1", 3]]))).toBeNull();
});

test("a target that is the copied service itself, also where other hosts are behind this one", () => {
  const service = { address: at("10.0.0.2"), port: 80, isUdp: false, families: [4 as const] };
  expect(said(judgeSame("10.0.0.2:80", [service]))).toStartWith(
    "failed way.loop: it is the service that is copied",
  );
  expect(judgeSame("10.0.0.2:8080", [service])).toBeNull();
  expect(judgeSame("10.0.0.2:80", [{ ...service, address: null }])).toBeNull();
});

test("a target whose host is a client of production may be a loop", () => {
  expect(said(judgeLoop("[fd00::2]:8080", 3, "port 80"))).toBe(
    "warning way.loop: its host opened 3 connections to port 80 meanwhile: if it passes requests on to production, each copy comes back as a request -> Let the target answer by itself, or leave its connections out: -F 'not src host fd00::2'.",
  );
  expect(judgeLoop("10.0.0.2:8080", 0, "port 80")).toBeNull();
});
