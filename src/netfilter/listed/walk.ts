/** Follows a packet through listed rules, to the one that would drop or translate it. */
import { formatAddress } from "../../config/address.ts";
import type { DescribedPacket, ListedChain, ListedRule } from "./ruleset.ts";

/** Chains within each other, and rules in all, that are followed: rulesets may have circles only where the kernel refuses them. */
const MOST_DEPTH = 16;
const MOST_RULES = 20_000;

export interface Verdict {
  kind: "drop" | "translate";
  chain: ListedChain;
  /** Null: the policy of the chain. */
  rule: ListedRule | null;
}

interface Walk {
  packet: DescribedPacket;
  chains: readonly ListedChain[];
  left: number;
  /** Whether all that was passed so far is known. */
  isSure: boolean;
}

type Outcome = "accept" | "through" | Verdict;

/**
 * What surely becomes of a packet at a hook ("output", "postrouting", "egress", ...): the first rule, or policy, that drops it; or
 * that translates it, if none drops it. Null: nothing, or it depends on what is not known.
 */
export function verdictAt(
  hook: string,
  packet: DescribedPacket,
  chains: readonly ListedChain[],
): Verdict | null {
  const device = (hook === "ingress" ? packet.in : hook === "egress" ? packet.out : null) ?? null;
  const bases = chains
    .filter((chain) => chain.hook === hook && sees(chain, packet, device))
    .sort((one, other) => one.priority - other.priority);
  let translation: Verdict | null = null;
  for (const chain of bases) {
    const walk: Walk = { packet, chains, left: MOST_RULES, isSure: true };
    const outcome = follow(chain, walk, 0);
    const isPolicy = outcome === "through" && chain.policy === "drop" && walk.isSure;
    const verdict: Outcome = isPolicy ? { kind: "drop", chain, rule: null } : outcome;
    if (typeof verdict !== "object" || !walk.isSure) continue;
    if (verdict.kind === "drop") return verdict;
    translation ??= verdict;
  }
  return translation;
}

function sees({ family, devices }: ListedChain, packet: DescribedPacket, device: string | null): boolean {
  if (family === "netdev") return device !== null && devices.includes(device);
  return family === "inet" || family === (packet.family === 4 ? "ip" : "ip6");
}

function follow(chain: ListedChain, walk: Walk, depth: number): Outcome {
  for (const rule of chain.rules) {
    if (--walk.left < 0 || depth > MOST_DEPTH) {
      walk.isSure = false;
      return "through";
    }
    const matches = fulfils(rule, walk.packet);
    const { action } = rule;
    if (matches === false || action.kind === "continue") continue;
    if (matches === null || action.kind === "unknown") {
      walk.isSure = false;
      continue;
    }
    if (action.kind === "accept") return "accept";
    if (action.kind === "return") return "through";
    if (action.kind === "drop") return { kind: "drop", chain, rule };
    if (action.kind === "translate") return { kind: "translate", chain, rule };
    if (action.kind !== "jump" && action.kind !== "goto") continue;
    const inner = walk.chains.find(
      ({ tool, family, table, name }) =>
        tool === chain.tool && family === chain.family && table === chain.table && name === action.chain,
    );
    if (!inner) {
      walk.isSure = false;
      continue;
    }
    const outcome = follow(inner, walk, depth + 1);
    if (outcome !== "through" || action.kind === "goto") return outcome;
  }
  return "through";
}

/** Whether a packet fulfils all conditions; null: as far as is known. */
function fulfils({ conditions }: ListedRule, packet: DescribedPacket): boolean | null {
  let result: boolean | null = true;
  for (const condition of conditions) {
    const found = condition(packet);
    if (found === false) return false;
    if (found === null) result = null;
  }
  return result;
}

/** The rules at prerouting that send what comes to other ports to this one. */
export function translationsTo(
  port: number,
  chains: readonly ListedChain[],
): { chain: ListedChain; rule: ListedRule }[] {
  return chains.flatMap((chain) =>
    chain.rules
      .filter(
        ({ action }) =>
          action.kind === "translate" && action.to.kind === "destination" && action.to.port === port,
      )
      .filter(({ ports }) => ports !== null && ports !== String(port))
      .map((rule) => ({ chain, rule })),
  );
}

/** The command that lets a packet pass in front of the rule that drops it. `isAnswer`: all answers of the port it comes from. */
export function letThrough({ chain, rule }: Verdict, packet: DescribedPacket, isAnswer = false): string {
  const { tool, family, table, name } = chain;
  const { protocol } = packet;
  const port = isAnswer ? packet.sourcePort : packet.destinationPort;
  const address = formatAddress(isAnswer ? packet.source : packet.destination);
  if (tool === "nft") {
    const verb = rule ? "insert" : "add";
    const where = rule ? ` handle ${rule.handle}` : "";
    const header = packet.family === 4 ? "ip" : "ip6";
    return `nft '${verb} rule ${family} ${table} ${name}${where} ${header} ${isAnswer ? "saddr" : "daddr"} ${address} ${protocol} ${isAnswer ? "sport" : "dport"} ${port} accept'`;
  }
  const where = rule ? `-I ${name} ${rule.handle}` : `-A ${name}`;
  return `${tool} -t ${table} ${where} ${isAnswer ? "-s" : "-d"} ${address} -p ${protocol} ${isAnswer ? "--sport" : "--dport"} ${port} -j ACCEPT`;
}
