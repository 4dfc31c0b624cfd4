/** The rules of this host as they were listed by nft or iptables, with what they ask of a packet. */

/** What is known of a packet that a hook sees; addresses are 4 or 16 bytes. */
export interface DescribedPacket {
  family: 4 | 6;
  protocol: "tcp" | "udp";
  source: Uint8Array;
  destination: Uint8Array;
  sourcePort: number;
  destinationPort: number;
  /** Names of the interfaces that it came in by and goes out by; null where it has none, undefined where that is not known. */
  in: string | null | undefined;
  out: string | null | undefined;
  mark: number;
  /** What connection tracking knows of its connection. */
  state: "new" | "established";
}

/** Whether a packet fulfils it; null: that cannot be told from what is known. */
export type Condition = (packet: DescribedPacket) => boolean | null;

/** Where a rule sends a connection (DNAT, REDIRECT) or what it makes of its source; null: not changed, or only known when it happens. */
export interface Translation {
  kind: "destination" | "source";
  address: string | null;
  port: number | null;
}

export type Action =
  | { kind: "accept" | "drop" | "return" | "continue" | "unknown" }
  | { kind: "jump" | "goto"; chain: string }
  | { kind: "translate"; to: Translation };

export interface ListedRule {
  /** What the tool calls it by: the handle of nft, the number in its chain of iptables. */
  handle: number;
  /** As the tool writes it. */
  text: string;
  conditions: Condition[];
  action: Action;
  /** Ports that the rule is about, as it names them ("80", "8080-8090"); null: of all ports. */
  ports: string | null;
}

export interface ListedChain {
  tool: "nft" | "iptables" | "ip6tables" | "iptables-legacy" | "ip6tables-legacy";
  /** "ip", "ip6", "inet", "netdev", "bridge", "arp". */
  family: string;
  table: string;
  name: string;
  /** The hook whose packets begin here; null: only rules of other chains lead here. */
  hook: string | null;
  /** "filter", "nat", "route". */
  type: string;
  priority: number;
  policy: "accept" | "drop";
  /** Of chains of the family netdev; empty: all, as far as is known. */
  devices: string[];
  rules: ListedRule[];
}

/** `chain` or `rule` as a user finds it again. */
export function placeOf({ tool, family, table, name }: ListedChain, rule: ListedRule | null): string {
  if (tool === "nft") {
    const chain = `chain ${name} of the table ${family} ${table}`;
    return rule ? `rule "${rule.text}" (handle ${rule.handle}) in ${chain}` : `policy drop of ${chain}`;
  }
  const chain = `chain ${name} of ${tool} -t ${table}`;
  return rule ? `rule "${rule.text}" (number ${rule.handle}) in ${chain}` : `policy DROP of ${chain}`;
}
