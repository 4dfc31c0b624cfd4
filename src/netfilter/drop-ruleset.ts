/**
 * The text of the netfilter rules that keep answers of the targets from this host's TCP, which does not know the connections
 * and would reset them: for hosts without eBPF. They drop what a target sends to a port that xcopy sends from, before connection
 * tracking, and nothing else.
 */
import { formatAddress } from "../config/address.ts";
import { formatPorts, type PortRange } from "../config/ports.ts";
import { COMMENT, chainOf, type Family, jump, type Ruleset } from "./ruleset.ts";

/** Answers of a target to one of our addresses. */
export interface DroppedPath {
  family: Family;
  target: Uint8Array;
  targetPort: number;
  local: Uint8Array;
}

/** The rules for these paths; `ports` are the local ports that xcopy sends from on all of them. */
export function dropRuleset(paths: readonly DroppedPath[], ports: readonly PortRange[]): Ruleset {
  const name = `xcopy-${process.pid}-d`;
  return {
    name,
    table: "raw",
    hooks: ["prerouting"],
    nft: nftDrops(name, paths, ports),
    iptables: (family) => iptablesDrops(name, paths, ports, family),
  };
}

/** Groups the paths by target and port: one path of each, and the local addresses of all. */
function byTarget(paths: readonly DroppedPath[]): { path: DroppedPath; locals: string[] }[] {
  const groups = Map.groupBy(paths, ({ target, targetPort }) => `${formatAddress(target)} ${targetPort}`);
  return [...groups.values()].map((those) => ({
    path: those[0]!,
    locals: those.map(({ local }) => formatAddress(local)),
  }));
}

/** The whole table, for `nft -f`; it replaces a table with the same name. */
export function nftDrops(name: string, paths: readonly DroppedPath[], ports: readonly PortRange[]): string {
  const ours = ports.map((range) => formatPorts([range])).join(", ");
  const rules = byTarget(paths).map(({ path: { family, target, targetPort }, locals }) => {
    const ip = family === 4 ? "ip" : "ip6";
    const ends = `${ip} saddr ${formatAddress(target)} ${ip} daddr { ${locals.join(", ")} }`;
    return `    ${ends} tcp sport ${targetPort} tcp dport { ${ours} } counter drop comment "xcopy"`;
  });
  // Before connection tracking (-200), with the priority of the iptables table raw.
  const head = "  chain prerouting {\n    type filter hook prerouting priority -300; policy accept;";
  const table = `table inet ${name}`;
  return `${table}\ndelete ${table}\n${table} {\n${[head, ...rules].join("\n")}\n  }\n}\n`;
}

/** The input of iptables-restore that adds the rules to the table `raw`. Null where the family has no paths. */
export function iptablesDrops(
  name: string,
  paths: readonly DroppedPath[],
  ports: readonly PortRange[],
  family: Family,
): string | null {
  const ofFamily = byTarget(paths).filter(({ path }) => path.family === family);
  if (ofFamily.length === 0) return null;
  const chain = chainOf(name, "prerouting");
  const rules = ofFamily.flatMap(({ path: { target, targetPort }, locals }) =>
    locals.flatMap((local) =>
      ports.map((range) => {
        const ends = ["-s", formatAddress(target), "-d", local, "-p", "tcp", "--sport", `${targetPort}`];
        return ["-A", chain, ...ends, "--dport", range.join(":"), ...COMMENT, "-j", "DROP"].join(" ");
      }),
    ),
  );
  const lines = [`:${chain} - [0:0]`, ...rules, ["-A", ...jump(name, "prerouting")].join(" ")];
  return `*raw\n${lines.join("\n")}\nCOMMIT\n`;
}
