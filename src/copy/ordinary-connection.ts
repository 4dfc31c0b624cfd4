/** Tries an ordinary connection from this host to a target, to see whether the target answers at all. */
import { createConnection } from "node:net";
import { formatAddress, formatEndpoint } from "../config/address.ts";
import { afterPatience } from "../runtime/patience.ts";
import type { Findings } from "./data-plane/preflight.ts";
import type { Plan } from "./plan.ts";

/** ms: as long as for a try by way of an intercept, in which a lost SYN is sent again. */
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
 * For the first target that did not answer through its intercept: what it answers to this host, by its endpoint. Empty if
 * there is no such target, or an intercept would catch that answer too.
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
    // One result is enough for the diagnosis.
    break;
  }
  return results;
}
