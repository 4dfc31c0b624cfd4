/** A plan for what can be tried though the copy that is meant cannot be planned: the same services, copied to this host itself. */
import { parseTransfers } from "../config/transfer.ts";
import type { CopyOptions } from "../copy/options.ts";
import { thisHost } from "../copy/plan/host.ts";
import { makePlan } from "../copy/plan/make.ts";
import type { Plan } from "../copy/plan.ts";
import { Failure } from "../native/failure.ts";

/** Null: not even that can be planned. */
export async function standInPlan(options: CopyOptions): Promise<Plan | null> {
  const ports = [
    ...new Set(options.transfers.map(({ transport, port }) => `${transport ? "udp:" : ""}${port}`)),
  ];
  const transfers = parseTransfers(ports.map((port) => `${port}-127.0.0.1:${portBeside(port)}`));
  const others = {
    pool: [],
    output: null,
    inject: "auto" as const,
    inputs: [],
    traceOptions: [],
    ports: null,
    part: null,
  };
  const simple = { ...options, ...others, transfers, captureOptions: [], dryRun: true };
  try {
    return await makePlan(simple, thisHost(simple));
  } catch (error) {
    if (error instanceof Failure) return null;
    throw error;
  }
}

/** Another port: a service that is copied to itself is refused. */
function portBeside(service: string): number {
  const port = Number(service.replace(/^udp:/, ""));
  return port === 65535 ? 1 : port + 1;
}
