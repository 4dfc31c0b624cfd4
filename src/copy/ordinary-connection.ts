/** Tries an ordinary connection from this host to a target, to see whether the target answers at all. */
import { formatAddress, formatEndpoint, isLinkLocal } from "../config/address.ts";
import type { Findings } from "./data-plane/preflight.ts";
import type { Plan } from "./plan.ts";
import { connectOnce, type OrdinaryConnection } from "./target/connection.ts";

/** ms: as long as for a try by way of an intercept, in which a lost SYN is sent again. */
const PATIENCE = 3000;

/**
 * For the first target that did not answer: what it answers to this host, by its endpoint. Empty if there is no such target,
 * or an intercept would catch that answer too.
 */
export async function connectOrdinarily(
  { probes, intercepts }: Findings,
  plan: Plan,
): Promise<Map<string, OrdinaryConnection>> {
  const results = new Map<string, OrdinaryConnection>();
  for (const { path, result } of probes) {
    const { target, targetPort } = plan.paths[path]!;
    const endpoint = formatEndpoint(target, targetPort);
    const catching = intercepts.filter(({ covers }) => covers.includes(path));
    const isOpen = catching.every(
      ({ welcome }) => welcome?.mode === "target" || welcome?.mode === "assistant",
    );
    const isDirect = plan.intercepts.length === 0;
    const isTried = isDirect
      ? result === "silent" || result === "refused"
      : result === "silent" && catching.length > 0;
    if (!isTried || !isOpen || results.has(endpoint)) continue;
    const { interface: zone } = plan.egresses[plan.paths[path]!.egress]!;
    const address = isLinkLocal(target) ? `${formatAddress(target)}%${zone}` : formatAddress(target);
    results.set(endpoint, await connectOnce(address, targetPort, PATIENCE));
    // One result is enough for the diagnosis.
    break;
  }
  return results;
}
