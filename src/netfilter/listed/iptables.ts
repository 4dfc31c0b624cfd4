/** Reads what `iptables-save` and `ip6tables-save` print. */
import { anyOf, between, exactly, FIELDS, fieldIs, type Meant, UNKNOWN, within } from "./match.ts";
import type { Action, Condition, ListedChain, ListedRule } from "./ruleset.ts";

/** The hooks of built-in chains, and the priorities of tables there (linux/netfilter_ipv4.h). */
const HOOKS: Record<string, string> = {
  PREROUTING: "prerouting",
  INPUT: "input",
  FORWARD: "forward",
  OUTPUT: "output",
  POSTROUTING: "postrouting",
};
const PRIORITIES: Record<string, number> = { raw: -300, mangle: -150, nat: -100, filter: 0, security: 50 };
const NAT_SOURCE_PRIORITY = 100;

const ACTIONS: Record<string, Action["kind"]> = {
  ACCEPT: "accept",
  DROP: "drop",
  REJECT: "drop",
  RETURN: "return",
};
/** Targets after which a packet goes on in the chain. */
const GOES_ON = new Set([
  "LOG",
  "MARK",
  "CONNMARK",
  "TCPMSS",
  "NFLOG",
  "CT",
  "CHECKSUM",
  "SET",
  "NOTRACK",
  "TRACE",
]);

/** The chains of one family. `tool`: what the rules are changed with. */
export function readIptables(saved: string, tool: Exclude<ListedChain["tool"], "nft">): ListedChain[] {
  const family = tool.startsWith("ip6") ? "ip6" : "ip";
  const chains: ListedChain[] = [];
  let table = "";
  for (const line of saved.split("\n")) {
    if (line.startsWith("*")) table = line.slice(1).trim();
    const [, name, policy] = /^:(\S+) (\S+)/.exec(line) ?? [];
    if (name !== undefined) chains.push(chainOf(tool, family, table, name, policy!));
    const [, where, rest] = /^-A (\S+) ?(.*)$/.exec(line) ?? [];
    const chain = chains.find((one) => one.table === table && one.name === where);
    chain?.rules.push(readRule(rest!, family, chain.rules.length + 1));
  }
  return chains;
}

function chainOf(
  tool: ListedChain["tool"],
  family: "ip" | "ip6",
  table: string,
  name: string,
  policy: string,
): ListedChain {
  const hook = HOOKS[name] ?? null;
  const isSource = table === "nat" && (hook === "postrouting" || hook === "input");
  return {
    tool,
    family,
    table,
    name,
    hook,
    type: table === "nat" ? "nat" : "filter",
    priority: isSource ? NAT_SOURCE_PRIORITY : (PRIORITIES[table] ?? 0),
    policy: policy === "DROP" ? "drop" : "accept",
    devices: [],
    rules: [],
  };
}

/** Words, in quotes or not. */
function wordsOf(text: string): string[] {
  return (text.match(/"(?:[^"\\]|\\.)*"|\S+/g) ?? []).map((word) => word.replace(/^"(.*)"$/, "$1"));
}

function readRule(text: string, family: "ip" | "ip6", handle: number): ListedRule {
  const conditions: Condition[] = [];
  let action: Action = { kind: "continue" };
  let ports: string | null = null;
  const words = wordsOf(text);
  for (let at = 0; at < words.length; at++) {
    const isNegated = words[at] === "!";
    if (isNegated) at++;
    const option = words[at]!;
    if (option === "-j" || option === "-g") {
      action = actionOf(option, words[at + 1] ?? "", words.slice(at + 2));
      break;
    }
    const value = words[at + 1] ?? "";
    if (option === "-m") {
      at++;
      // A match whose options are not read asks for more than is known.
      if (!READ_MATCHES.has(value)) conditions.push(UNKNOWN);
      continue;
    }
    if (!option.startsWith("-")) continue;
    const condition = conditionOf(option, value, family, isNegated);
    if (condition !== null) {
      conditions.push(condition);
      at++;
    } else if (option !== "--comment") conditions.push(UNKNOWN);
    else at++;
    if (/^--(dport|dports)$/.test(option) && !isNegated) ports = value.replaceAll(":", "-");
  }
  return { handle, text, conditions, action, ports };
}

const READ_MATCHES = new Set(["tcp", "udp", "multiport", "comment", "conntrack", "state", "mark"]);

function conditionOf(
  option: string,
  value: string,
  family: "ip" | "ip6",
  isNegated: boolean,
): Condition | null {
  const is = (field: string, meant: Meant) => fieldIs(FIELDS[field], meant, isNegated);
  switch (option) {
    case "-s":
      return is(`${family} saddr`, networks(value, family));
    case "-d":
      return is(`${family} daddr`, networks(value, family));
    case "-i":
      return is("meta iifname", exactly(value, "+"));
    case "-o":
      return is("meta oifname", exactly(value, "+"));
    case "-p":
      return value === "all" ? () => true : is("meta l4proto", exactly(value));
    case "--dport":
    case "--dports":
      return is("th dport", portsOf(value));
    case "--sport":
    case "--sports":
      return is("th sport", portsOf(value));
    case "--ctstate":
    case "--state":
      return is(
        "ct state",
        anyOf(
          value
            .toLowerCase()
            .split(",")
            .map((one) => exactly(one)),
        ),
      );
    case "--mark":
      return is("meta mark", markIs(value));
    default:
      return null;
  }
}

function networks(value: string, family: "ip" | "ip6"): Meant {
  const whole = family === "ip" ? 32 : 128;
  return anyOf(
    value.split(",").map((one) => {
      const [network, bits] = one.split("/");
      return within(network!, bits === undefined ? whole : Number(bits));
    }),
  );
}

function portsOf(value: string): Meant {
  return anyOf(
    value.split(",").map((one) => {
      const [first, last] = one.split(":");
      return between(first!, last ?? first!);
    }),
  );
}

function markIs(text: string): Meant {
  const [value, mask] = text.split("/").map(Number);
  return (mark) => (Number(mark) & (mask ?? 0xffffffff)) >>> 0 === value! >>> 0;
}

function actionOf(option: string, target: string, rest: string[]): Action {
  const kind = ACTIONS[target];
  if (kind) return { kind } as Action;
  if (GOES_ON.has(target)) return { kind: "continue" };
  const to = rest[rest.findIndex((word) => /^--to-(destination|source|ports?)$/.test(word)) + 1] ?? "";
  if (target === "DNAT" || target === "REDIRECT")
    return { kind: "translate", to: { kind: "destination", ...endpointOf(target, to) } };
  if (target === "SNAT" || target === "MASQUERADE")
    return { kind: "translate", to: { kind: "source", ...endpointOf(target, to) } };
  if (/^[A-Z][A-Z0-9]*$/.test(target) && EXTENSIONS.has(target)) return { kind: "unknown" };
  return { kind: option === "-g" ? "goto" : "jump", chain: target };
}

/** Targets that are no chains, and of which only the kernel knows what becomes of a packet. */
const EXTENSIONS = new Set(["NFQUEUE", "QUEUE", "TPROXY", "TEE", "NETMAP", "SYNPROXY", "BPF"]);

/** "10.0.0.5:80", "[fd00::5]:80", "10.0.0.5", "8080". */
function endpointOf(target: string, text: string): { address: string | null; port: number | null } {
  if (target === "REDIRECT") return { address: null, port: Number(text.split("-")[0]) || null };
  const [, address, port] = /^\[?([^\]]*?)\]?(?::(\d+))?$/.exec(text) ?? [];
  return { address: address || null, port: port ? Number(port) : null };
}
