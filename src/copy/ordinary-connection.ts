/** An ordinary connection of this host to a target: whether it answers anybody at all. */
import { createConnection } from "node:net";
import { formatAddress, formatEndpoint } from "../config/address.ts";
import { afterPatience } from "../runtime/patience.ts";
import type { Findings } from "./data-plane/preflight.ts";
import type { Plan } from "./plan.ts";

/** ms: as long as for a try by way of an intercept, so that a SYN that is lost is repeated. */
const PATIENCE = 3000;

export type OrdinaryResult = "answered" | "refused" | "silent";

/** Opens and closes a connection from this host's own address. */
function connectOnce(address: string, port: number): Promise<OrdinaryResult> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: address, port });
    const end = (result: OrdinaryResult) => {
      callOff();
      socket.destroy();
      resolve(result);
    };
    const callOff = afterPatience(PATIENCE, () => end("silent"));
    socket.on("connect", () => end("answered"));
    socket.on("error", (error: NodeJS.ErrnoException) =>
      end(error.code === "ECONNREFUSED" ? "refused" : "silent"),
    );
  });
}

/**
 * By endpoint of a target that answered no try by way of an intercept: what it answers this host. Empty where an
 * intercept catches that too.
 */
export async function connectOrdinarily(
  { probes, intercepts }: Findings,
  plan: Plan,
): Promise<Map<string, OrdinaryResult>> {
  const results = new Map<string, OrdinaryResult>();
  for (const { path, result } of probes) {
    const { target, targetPort } = plan.paths[path]!;
    const endpoint = formatEndpoint(target, targetPort);
    const catching = intercepts.filter(({ covers }) => covers.includes(path));
    const isOpen = catching.every(
      ({ welcome }) => welcome?.mode === "target" || welcome?.mode === "assistant",
    );
    if (result !== "silent" || catching.length === 0 || !isOpen || results.has(endpoint)) continue;
    results.set(endpoint, await connectOnce(formatAddress(target), targetPort));
    // One is enough to say where it ends.
    break;
  }
  return results;
}
