/** The text of the netfilter rules that send the responses of services to a queue, as nft and iptables read it. */
import { type Address, formatAddress } from "../config/address.ts";
import type { PortRange } from "../config/ports.ts";

/** Where responses come from. */
export interface QueuedService {
  /** Null: every address of this host. */
  address: Address | null;
  ports: PortRange;
}

export interface RuleOptions {
  /** Number of the netfilter queue, 0 to 65535. */
  queue: number;
  services: QueuedService[];
  /** Clients whose responses are not queued. */
  pass: Address[];
}

export type Family = 4 | 6;
export type QueueHook = "output" | "forward";
export type Hook = QueueHook | "prerouting";
export type HookedServices = Record<QueueHook, QueuedService[]>;

/** Rules of one process, as each tool reads them. */
export interface Ruleset {
  /** Name of the nft table; the iptables chains are NAME-HOOK. */
  name: string;
  /** The table of iptables. */
  table: "mangle" | "raw";
  /** The hooks that have rules. */
  hooks: Hook[];
  /** Input for `nft -f`. */
  nft: string;
  /** Input for iptables-restore (family 4) or ip6tables-restore; null where a family has no rules. */
  iptables(family: Family): string | null;
}

const PROTOCOLS = ["tcp", "udp"];
export const HOOKS: QueueHook[] = ["output", "forward"];
export const COMMENT = ["-m", "comment", "--comment", "xcopy"];

/** The rules that queue responses, named after this process. */
export function queueRuleset(options: RuleOptions, isLocal: (address: Address) => boolean): Ruleset {
  const name = `xcopy-${process.pid}-${options.queue}`;
  const services = hookedServices(options.services, isLocal);
  return {
    name,
    table: "mangle",
    hooks: HOOKS.filter((hook) => services[hook].length > 0),
    nft: nftRuleset(name, options, services),
    iptables: (family) => iptablesRuleset(name, options, services, family),
  };
}

/**
 * The services by the hook that their responses pass. Services without an address, and those on an address for which `isLocal`
 * is true, are on this host: `output`. Those on other addresses, such as containers behind a bridge: `forward`.
 */
export function hookedServices(
  services: QueuedService[],
  isLocal: (address: Address) => boolean,
): HookedServices {
  const hooked: HookedServices = { output: [], forward: [] };
  for (const service of services) {
    const { address } = service;
    hooked[address === null || isLocal(address) ? "output" : "forward"].push(service);
  }
  return hooked;
}

/** The whole table, for `nft -f`; it replaces a table with the same name. */
export function nftRuleset(name: string, { queue, pass }: RuleOptions, services: HookedServices): string {
  const chains = HOOKS.filter((hook) => services[hook].length > 0).map((hook) => {
    // Right after the mangle rules of others (-150).
    const head = `  chain ${hook} {\n    type filter hook ${hook} priority -149; policy accept;`;
    const passed = pass.map((client) => `${nftAddress("daddr", client)} return comment "xcopy"`);
    const toQueue = `queue num ${queue} bypass comment "xcopy"`;
    const queued = services[hook].flatMap(({ address, ports: [first, last] }) => {
      const source = address === null ? "" : `${nftAddress("saddr", address)} `;
      // nft before 1.0 takes no range of one port.
      const ports = first === last ? first : `${first}-${last}`;
      return PROTOCOLS.map((protocol) => `${source}${protocol} sport ${ports} ${toQueue}`);
    });
    const errors = ["icmp", "icmpv6"].map(
      (protocol) => `${protocol} type destination-unreachable ${toQueue}`,
    );
    return [head, ...[...passed, ...queued, ...errors].map((rule) => `    ${rule}`), "  }"].join("\n");
  });
  return `table inet ${name}\ndelete table inet ${name}\ntable inet ${name} {\n${chains.join("\n")}\n}\n`;
}

function nftAddress(field: "saddr" | "daddr", { family, bytes }: Address): string {
  return `${family === 4 ? "ip" : "ip6"} ${field} ${formatAddress(bytes)}`;
}

/**
 * The input of iptables-restore (family 4) or ip6tables-restore that adds the rules to the table `mangle`, all or none: our own
 * chains, after the rules of others, so that a packet that is accepted from the queue has passed all of them. Null where the
 * family has no services.
 */
export function iptablesRuleset(
  name: string,
  { queue, pass }: RuleOptions,
  services: HookedServices,
  family: Family,
): string | null {
  const lines: string[] = [];
  const toQueue = ["-j", "NFQUEUE", "--queue-num", `${queue}`, "--queue-bypass"];
  const isOurs = (address: Address | null) => address === null || address.family === family;
  for (const hook of HOOKS) {
    const queued = services[hook].filter(({ address }) => isOurs(address));
    if (queued.length === 0) continue;
    const chain = chainOf(name, hook);
    const add = (...rule: string[]) => lines.push(["-A", ...rule].join(" "));
    lines.push(`:${chain} - [0:0]`);
    for (const client of pass.filter(isOurs)) {
      add(chain, "-d", formatAddress(client.bytes), ...COMMENT, "-j", "RETURN");
    }
    for (const { address, ports } of queued) {
      const source = address === null ? [] : ["-s", formatAddress(address.bytes)];
      for (const protocol of PROTOCOLS)
        add(chain, ...source, "-p", protocol, "--sport", ports.join(":"), ...COMMENT, ...toQueue);
    }
    const [protocol, type] = family === 4 ? ["icmp", "--icmp-type"] : ["icmpv6", "--icmpv6-type"];
    add(chain, "-p", protocol, type, "destination-unreachable", ...COMMENT, ...toQueue);
    add(...jump(name, hook));
  }
  return lines.length === 0 ? null : `*mangle\n${lines.join("\n")}\nCOMMIT\n`;
}

/** The iptables chain of a hook; at most 28 characters. */
export function chainOf(name: string, hook: Hook): string {
  return `${name}-${hook}`;
}

/** The iptables rule that jumps from the chain of the hook to ours: the arguments after -A or -D. */
export function jump(name: string, hook: Hook): string[] {
  // The rules at prerouting are for TCP only, those at the other hooks for several protocols.
  const only = hook === "prerouting" ? ["-p", "tcp"] : [];
  return [hook.toUpperCase(), ...only, ...COMMENT, "-j", chainOf(name, hook)];
}
