/**
 * The text of the netfilter rules that keep answers of the targets from this host's TCP, which knows nothing of the connections
 * and would reset them: for hosts where no kernel program can. They drop before connection tracking, what comes from a target to
 * a port that xcopy sends from, and nothing else.
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

/** The rules for these paths, which all send from these ports. */
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

/** The paths of each target and port together: our addresses there. */
function byTarget(paths: readonly DroppedPath[]): { path: DroppedPath; locals: string[] }[] {
  const groups = Map.groupBy(paths, ({ target, targetPort }) => `${formatAddress(target)} ${targetPort}`);
  return [...groups.values()].map((those) => ({
    path: those[0]!,
    locals: those.map(({ local }) => formatAddress(local)),
  }));
}

/** The whole table, for `nft -f`; it takes the place of one with the same name. */
export function nftDrops(name: string, paths: readonly DroppedPath[], ports: readonly PortRange[]): string {
  const ours = ports.map((range) => formatPorts([range])).join(", ");
  const rules = byTarget(paths).map(({ path: { family, target, targetPort }, locals }) => {
    const ip = family === 4 ? "ip" : "ip6";
    const ends = `${ip} saddr ${formatAddress(target)} ${ip} daddr { ${locals.join(", ")} }`;
    return `    ${ends} tcp sport ${targetPort} tcp dport { ${ours} } counter drop comment "xcopy"`;
  });
  // In front of connection tracking (-200), as the table raw of iptables.
  const head = "  chain prerouting {\n    type filter hook prerouting priority -300; policy accept;";
  const table = `table inet ${name}`;
  return `${table}\ndelete ${table}\n${table} {\n${[head, ...rules].join("\n")}\n  }\n}\n`;
}

/** What iptables-restore is to add to the table `raw`. Null where the family has no paths. */
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
