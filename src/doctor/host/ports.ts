/** The source ports that copies may use here, and other xcopies that use them. */
import { countPorts, formatPorts, reservedWith } from "../../config/ports.ts";
import { PORTS_WARNING } from "../../copy/plan/sources.ts";
import { refuseClaimed } from "../../host/claims.ts";
import { Failure } from "../../native/failure.ts";
import { DIRECTORY } from "../../native/run-directory.ts";
import { type Finding, findingsAbout } from "../finding.ts";
import type { Subject } from "../subject.ts";

/** Fewer are used up within a second by a few connections each second, as the target keeps closed ones for a while. */
const FEW = 1000;

/** --ports, -f, and what this host keeps for itself. */
export function checkPorts({ plan, read }: Pick<Subject, "plan" | "read">, directory = DIRECTORY): Finding[] {
  if (plan === null) return [];
  const about = findingsAbout("host.ports", "source ports");
  try {
    refuseClaimed(plan.paths, plan.ports, directory);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return about.failed(error.message, error.fix);
  }
  const count = countPorts(plan.ports);
  const found = `${count} to each target (${formatPorts(plan.ports)})`;
  if (plan.warnings.some((text) => text.startsWith(PORTS_WARNING))) {
    const kept = read("/proc/sys/net/ipv4/ip_local_reserved_ports") ?? "";
    const fix = `sysctl -w net.ipv4.ip_local_reserved_ports=${reservedWith(plan.ports, kept)}`;
    return about.warning(`${found}: this host may use them for its own connections`, fix);
  }
  if (count < FEW)
    return about.warning(
      `${found}: that many connections at a time`,
      "Give it more with --ports, or more addresses with -c.",
    );
  return about.ok(found);
}
