/** Rules as nft and iptables list them, and what becomes of packets there. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseAddress } from "../../src/config/address.ts";
import { Blocking } from "../../src/intercept/data-plane/blocking.ts";
import { readIptables } from "../../src/netfilter/listed/iptables.ts";
import { readNft, readTexts } from "../../src/netfilter/listed/nft.ts";
import { type DescribedPacket, type ListedChain, placeOf } from "../../src/netfilter/listed/ruleset.ts";
import { letThrough, translationsTo, verdictAt } from "../../src/netfilter/listed/walk.ts";

const at = (text: string) => parseAddress(text)!.bytes;

const PACKET: DescribedPacket = {
  family: 4,
  protocol: "tcp",
  source: at("10.0.0.1"),
  destination: at("10.0.0.2"),
  sourcePort: 40_000,
  destinationPort: 8080,
  in: null,
  out: "back",
  mark: 0x78636f70,
  state: "new",
};

const payload = (protocol: string, field: string) => ({ payload: { protocol, field } });
const meta = (key: string) => ({ meta: { key } });
const is = (left: object, right: unknown, op = "==") => ({ match: { op, left, right } });
const PORT = payload("tcp", "dport");

/** A chain of nft at the hook output, with one rule of these expressions after others. */
function nft(expressions: object[], { policy = "accept", before = [] as object[][], hook = "output" } = {}) {
  const place = { family: "inet", table: "t" };
  const rules = [...before, expressions].map((expr, index) => ({
    rule: { ...place, chain: "c", handle: 10 + index, expr },
  }));
  const chains = [
    { chain: { ...place, name: "c", handle: 1, type: "filter", hook, prio: 0, policy } },
    { chain: { ...place, name: "other", handle: 2 } },
    { rule: { ...place, chain: "other", handle: 9, expr: [{ return: null }] } },
    { set: { ...place, name: "s", type: "ipv4_addr", elem: [{ prefix: { addr: "10.0.0.0", len: 24 } }] } },
  ];
  return readNft(JSON.stringify({ nftables: [...chains, ...rules] }), readTexts(""));
}

const DROP = { drop: null };
const fate = (chains: ListedChain[], packet: Partial<DescribedPacket> = {}, hook = "output") => {
  const verdict = verdictAt(hook, { ...PACKET, ...packet }, chains);
  return verdict && `${verdict.kind} ${verdict.rule?.handle ?? "policy"}`;
};

test.each<[string, object[], string | null]>([
  ["all", [DROP], "drop 10"],
  ["a rejection", [{ counter: {} }, { reject: { type: "tcp reset" } }], "drop 10"],
  ["the port", [is(PORT, 8080), DROP], "drop 10"],
  ["another port", [is(PORT, 8081), DROP], null],
  ["a range of ports in a set", [is(PORT, { set: [22, { range: [8000, 9000] }] }), DROP], "drop 10"],
  ["all but the port", [is(PORT, 8080, "!="), DROP], null],
  ["a port of UDP", [is(payload("udp", "dport"), 8080), DROP], null],
  ["a port of either", [is(payload("th", "dport"), 8080), DROP], "drop 10"],
  ["the address", [is(payload("ip", "daddr"), "10.0.0.2"), DROP], "drop 10"],
  ["a network in a named set", [is(payload("ip", "daddr"), "@s"), DROP], "drop 10"],
  ["an unknown set", [is(payload("ip", "daddr"), "@gone"), DROP], null],
  ["an address of IPv6", [is(payload("ip6", "daddr"), "fd00::2"), DROP], null],
  ["the interface", [is(meta("oifname"), "ba*"), DROP], "drop 10"],
  ["an interface that it did not come in by", [is(meta("iifname"), "back", "!="), DROP], null],
  ["the mark", [is(meta("mark"), 0x78636f70), DROP], "drop 10"],
  ["TCP by its number", [is(meta("l4proto"), 6), DROP], "drop 10"],
  ["IPv4", [is(meta("nfproto"), "ipv4"), DROP], "drop 10"],
  ["new connections", [is({ ct: { key: "state" } }, ["invalid", "new"], "in"), DROP], "drop 10"],
  ["established ones", [is({ ct: { key: "state" } }, "established", "in"), DROP], null],
  ["a user", [is(meta("skuid"), 0), DROP], null],
  ["more than a rate", [{ limit: { rate: 3, per: "second" } }, DROP], null],
  [
    "by a verdict map",
    [
      {
        vmap: {
          key: PORT,
          data: {
            set: [
              [22, { accept: null }],
              [8080, DROP],
            ],
          },
        },
      },
    ],
    "drop 10",
  ],
  ["to a chain that returns", [{ jump: { target: "other" } }], null],
])("nft drops %s", (_, expressions, expected) => {
  expect(fate(nft(expressions))).toBe(expected);
});

test.each<[string, object[], string | null]>([
  ["nothing", [is(PORT, 22), { accept: null }], "drop policy"],
  ["the packet", [is(PORT, 8080), { accept: null }], null],
  ["perhaps the packet", [is(meta("skuid"), 0), { accept: null }], null],
])("a chain that drops the rest, and accepts %s", (_, expressions, expected) => {
  expect(fate(nft(expressions, { policy: "drop" }))).toBe(expected);
});

test("what an unknown rule may have accepted is not said to be dropped", () => {
  expect(fate(nft([DROP], { before: [[is(meta("cgroup"), 1), { accept: null }]] }))).toBeNull();
});

test("a chain sees the packets of its hook, its family and its device", () => {
  expect(fate(nft([DROP]), {}, "postrouting")).toBeNull();
  const text =
    'table netdev t { # handle 1\n\tchain c { # handle 1\n\t\ttype filter hook egress device "back" priority 0; policy accept;\n\t\ttcp dport 8080 drop # handle 3\n\t}\n}';
  const place = { family: "netdev", table: "t" };
  const json = JSON.stringify({
    nftables: [
      { chain: { ...place, name: "c", type: "filter", hook: "egress", prio: 0, policy: "accept" } },
      { rule: { ...place, chain: "c", handle: 3, expr: [is(PORT, 8080), DROP] } },
    ],
  });
  const chains = readNft(json, readTexts(text));
  expect(fate(chains, {}, "egress")).toBe("drop 3");
  expect(fate(chains, { out: "front" }, "egress")).toBeNull();
  expect(placeOf(chains[0]!, chains[0]!.rules[0]!)).toBe(
    'rule "tcp dport 8080 drop" (handle 3) in chain c of the table netdev t',
  );
});

const saved = (table: string, ...rules: string[]) =>
  [
    `*${table}`,
    ":OUTPUT ACCEPT [0:0]",
    ":INPUT ACCEPT [0:0]",
    ":PREROUTING ACCEPT [0:0]",
    ":POSTROUTING ACCEPT [0:0]",
    ":MINE - [0:0]",
    ...rules,
    "COMMIT",
  ].join("\n");

test.each<[string, string | null]>([
  ["-j DROP", "drop 1"],
  ["-d 10.0.0.2/32 -p tcp -m tcp --dport 8080 -j REJECT --reject-with icmp-port-unreachable", "drop 1"],
  ["! -d 10.0.0.0/8 -p tcp -j DROP", null],
  ["-p tcp -m multiport --dports 80,8000:9000 -j DROP", "drop 1"],
  ["-p udp -m udp --dport 8080 -j DROP", null],
  ["-o ba+ -m conntrack --ctstate NEW,INVALID -j DROP", "drop 1"],
  ["-m conntrack --ctstate RELATED,ESTABLISHED -j DROP", null],
  ["-m mark --mark 0x78636f70/0xffffffff -j DROP", "drop 1"],
  ["-m owner --uid-owner 0 -j DROP", null],
  ['-m comment --comment "no way -j" -j DROP', "drop 1"],
  ["-m statistic --mode random --probability 0.5 -j DROP", null],
  ["-j LOG --log-prefix x", null],
  ["-j NFQUEUE --queue-num 3", null],
  ["-j MINE", "drop 1"],
])("iptables -A OUTPUT %s", (rule, expected) => {
  const text = saved("filter", `-A OUTPUT ${rule}`, "-A MINE -p tcp -j DROP");
  expect(fate(readIptables(text, "iptables"))).toBe(expected);
});

test("what translates is found, with the ports that clients use", () => {
  const text = saved(
    "nat",
    "-A PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080",
    "-A MINE ! -i docker0 -p tcp -m tcp --dport 8443 -j DNAT --to-destination 172.17.0.2:8080",
    "-A OUTPUT -d 10.0.0.2/32 -j DNAT --to-destination 10.0.0.3:81",
    "-A POSTROUTING -o back -j MASQUERADE",
  );
  const chains = readIptables(text, "iptables");
  expect(translationsTo(8080, chains).map(({ rule }) => rule.ports)).toEqual(["80", "8443"]);
  expect(translationsTo(80, chains)).toEqual([]);
  expect(verdictAt("output", PACKET, chains)!.rule!.action).toEqual({
    kind: "translate",
    to: { kind: "destination", address: "10.0.0.3", port: 81 },
  });
  expect(fate(chains, {}, "postrouting")).toBe("translate 1");
  const json = nft([is(PORT, { set: [80, 81] }), { dnat: { addr: "10.0.0.5", port: 8080 } }], {
    hook: "prerouting",
  });
  expect(translationsTo(8080, json).map(({ rule }) => rule.ports)).toEqual(["80, 81"]);
});

test("the command that lets a packet pass in front of what drops it", () => {
  const [rule] = [verdictAt("output", PACKET, nft([DROP]))!];
  expect(letThrough(rule, PACKET)).toBe(
    "nft 'insert rule inet t c handle 10 ip daddr 10.0.0.2 tcp dport 8080 accept'",
  );
  const policy = verdictAt("output", PACKET, nft([is(PORT, 1), DROP], { policy: "drop" }))!;
  expect(letThrough(policy, PACKET)).toBe("nft 'add rule inet t c ip daddr 10.0.0.2 tcp dport 8080 accept'");
  const six = { ...PACKET, family: 6 as const, source: at("fd00::1"), destination: at("fd00::2") };
  const tables = readIptables(
    saved("filter", "-A OUTPUT -p udp -j ACCEPT", "-A OUTPUT -p tcp -j DROP"),
    "ip6tables",
  );
  expect(letThrough(verdictAt("output", six, tables)!, six)).toBe(
    "ip6tables -t filter -I OUTPUT 2 -d fd00::2 -p tcp --dport 8080 -j ACCEPT",
  );
});

test("a connection that rules at its end drop, or the responses to it, by what the tools have printed", () => {
  const printed = (output: string | null) => ({ output, error: null });
  const texts = (rules: string) => ({
    ...{ json: printed(null), texts: printed(null) },
    saved: [printed(rules), printed(null), printed(null), printed(null)],
  });
  const connection = {
    ...{ client: at("192.0.2.1"), clientPort: 40_000, server: at("10.0.0.2"), serverPort: 8080 },
    ...{ in: undefined, out: "net0" },
  };
  const found = (...rules: string[]) => new Blocking(texts(saved("filter", ...rules))).find(connection);
  expect(found("-A INPUT -s 192.0.2.0/24 -p tcp -m tcp --dport 8080 -j DROP")).toEqual({
    drops: "requests",
    place:
      'rule "-s 192.0.2.0/24 -p tcp -m tcp --dport 8080 -j DROP" (number 1) in chain INPUT of iptables -t filter',
    fix: "iptables -t filter -I INPUT 1 -d 10.0.0.2 -p tcp --dport 8080 -j ACCEPT",
  });
  expect(found("-A OUTPUT -o net0 -d 192.0.2.0/24 -j DROP")).toMatchObject({
    drops: "answers",
    fix: "iptables -t filter -I OUTPUT 1 -s 10.0.0.2 -p tcp --sport 8080 -j ACCEPT",
  });
  // By which interface it comes in is not known.
  expect(found("-A INPUT -i net9 -j DROP")).toBeNull();
  expect(found("-A INPUT -i net9 -j ACCEPT", "-A INPUT -j DROP")).toBeNull();
  expect(found("-A OUTPUT -m conntrack --ctstate NEW -j DROP")).toBeNull();
  expect(new Blocking(null).find(connection)).toBeNull();
});

test("tools that fail or cannot be run are no error, and are named", () => {
  const directory = mkdtempSync(join(tmpdir(), "xcopy-tools-"));
  for (const [name, text] of [
    ["nft", "#!/bin/sh\necho 'Operation not permitted' >&2; exit 1\n"],
    ["iptables-save", "no program"],
  ] as const)
    writeFileSync(join(directory, name), text, { mode: 0o755 });
  const list = join(import.meta.dir, "../../src/netfilter/listed/list.ts");
  const script = `const { listRules } = await import("${list}"); console.log(JSON.stringify(await listRules()));`;
  const done = Bun.spawnSync([process.execPath, "-e", script], {
    env: { PATH: `${directory}:/bin:/usr/bin` },
  });
  rmSync(directory, { recursive: true });
  const { chains, missing } = JSON.parse(done.stdout.toString());
  expect(missing).toEqual(["nft: Operation not permitted"]);
  expect(chains.filter(({ tool }: ListedChain) => tool === "nft" || tool === "iptables")).toEqual([]);
});
