/** Rules of this host's netfilter that stand in the way of what is sent, and its table of connections. */
import { formatAddress, formatEndpoint } from "../../config/address.ts";
import type { CopyOptions } from "../../copy/options.ts";
import type { Plan } from "../../copy/plan.ts";
import type { PathConfig } from "../../inject/path.ts";
import type { Listed } from "../../netfilter/listed/list.ts";
import { type DescribedPacket, placeOf } from "../../netfilter/listed/ruleset.ts";
import { letThrough, type Verdict, verdictAt } from "../../netfilter/listed/walk.ts";
import { number } from "../../runtime/figures.ts";
import type { Finding } from "../finding.ts";
import type { Read } from "../subject.ts";

/** Shares of the table of connections from which on it is nearly full, and full: as for intercepts (src/doctor/intercept/judge.ts). */
const NEARLY_FULL = 0.8;
const FULL = 0.98;

const about = (id: string, what: string) => ({ id: `way.${id}`, what, host: null });

interface Blocked {
  path: PathConfig;
  verdict: Verdict;
  packet: DescribedPacket;
}

/** The first packet of a copied connection on a path. */
function packetOn(path: PathConfig, plan: Plan, { mark }: CopyOptions): DescribedPacket {
  const { family, local, target, targetPort, transport, egress } = path;
  return {
    family,
    protocol: transport ?? "tcp",
    source: local ?? plan.probeFrom[plan.paths.indexOf(path)]!,
    destination: target,
    sourcePort: plan.ports[0]?.[0] ?? 0,
    destinationPort: targetPort,
    in: null,
    out: plan.egresses[egress]!.interface,
    mark,
    state: "new",
  };
}

/** The hooks that copied packets pass: frames and packets given to an interface only the one of that interface. */
function hooksOf(kind: "packet" | "cooked" | "raw"): string[] {
  return kind === "raw" ? ["output", "postrouting", "egress"] : ["egress"];
}

/** What has this host's own address gets the same when it is masqueraded. */
function isHarmless({ rule }: Verdict, { local }: PathConfig, { usesPool }: Plan): boolean {
  if (rule?.action.kind !== "translate" || rule.action.to.kind !== "source" || local === null || usesPool)
    return false;
  const { address } = rule.action.to;
  return address === null || address === formatAddress(local);
}

/** What drops copied packets, or gives them another address, by path: the first of each. */
export function blockedPaths(plan: Plan, options: CopyOptions, { chains }: Listed): Blocked[] {
  return plan.paths.flatMap((path) => {
    const packet = packetOn(path, plan, options);
    for (const hook of hooksOf(plan.egresses[path.egress]!.kind)) {
      const verdict = verdictAt(hook, packet, chains);
      if (verdict && !isHarmless(verdict, path, plan)) return [{ path, verdict, packet }];
    }
    return [];
  });
}

/** Findings about copied packets, one for each target that a rule stands in the way of. */
export function judgeRules(blocked: readonly Blocked[], { missing, chains }: Listed): Finding[] {
  const what = "netfilter rules for copied packets";
  if (blocked.length === 0) {
    const rules = chains.reduce((sum, chain) => sum + chain.rules.length, 0);
    const unread = missing.length > 0 ? ` (not all could be read: ${missing.join("; ")})` : "";
    return [
      {
        ...about("output", what),
        status: "ok",
        found: `none of ${number(rules)} is in the way${unread}`,
        fix: null,
      },
    ];
  }
  const byTarget = new Map(blocked.map((one) => [formatEndpoint(one.path.target, one.path.targetPort), one]));
  return [...byTarget].map(([endpoint, { verdict, packet }]): Finding => {
    const place = placeOf(verdict.chain, verdict.rule);
    const fix = letThrough(verdict, packet);
    if (verdict.kind === "drop")
      return {
        ...about("output", what),
        status: "failed",
        found: `what goes to ${endpoint} is dropped: ${place}`,
        fix,
      };
    const isSource = verdict.rule?.action.kind === "translate" && verdict.rule.action.to.kind === "source";
    return isSource
      ? {
          ...about("source", what),
          status: "warning",
          found: `what goes to ${endpoint} from ${formatAddress(packet.source)} gets another source: ${place}`,
          fix,
        }
      : {
          ...about("destination", what),
          status: "failed",
          found: `what goes to ${endpoint} is sent elsewhere: ${place}`,
          fix,
        };
  });
}

/** Whether this host's table of connections is nearly full: then it drops what begins new ones. Empty where it has none. */
export function checkConnectionTable(read: Read): Finding[] {
  const [count, most] = ["count", "max"].map((name) =>
    Number(read(`/proc/sys/net/netfilter/nf_conntrack_${name}`) ?? Number.NaN),
  );
  if (!(most! > 0)) return [];
  const what = about("conntrack", "table of connections (conntrack)");
  const found = `${number(count!)} of ${number(most!)}`;
  if (count! < most! * NEARLY_FULL) return [{ ...what, status: "ok", found, fix: null }];
  const fix = `sysctl -w net.netfilter.nf_conntrack_max=${most! * 2}`;
  const isFull = count! >= most! * FULL;
  const state = isFull
    ? "full: new connections are dropped"
    : "nearly full, then new connections are dropped";
  return [{ ...what, status: isFull ? "failed" : "warning", found: `${found}: ${state}`, fix }];
}
