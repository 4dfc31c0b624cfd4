/** Checks the capabilities of this process. */
import { CAP, effectiveIn, lastCapability, missingForBpf, readStatus } from "../native/bpf/capabilities.ts";
import { Failure } from "../native/failure.ts";

/**
 * The capabilities that copying needs and `status` (the text of /proc/self/status) does not have in effect; without `needsBpf`
 * those for eBPF may be missing. `last` is the number of the last capability that the kernel knows.
 */
export function missingCapabilities(status: string, needsBpf = true, last: number = CAP.BPF): string[] {
  const has = effectiveIn(status);
  const missing = needsBpf ? missingForBpf(status, last) : [];
  if (!has(CAP.NET_ADMIN)) missing.push("CAP_NET_ADMIN");
  if (!has(CAP.NET_RAW)) missing.push("CAP_NET_RAW");
  return missing;
}

function refuse(what: string, missing: string[]): void {
  if (missing.length === 0) return;
  throw new Failure(
    `Cannot ${what}: this process lacks ${missing.join(", ")}`,
    "Run it as root (sudo), or as a service with these ambient capabilities.",
    4,
  );
}

/** What eBPF is to a command: it cannot do without, it does without where it must, it has no use for it. */
export type BpfUse = "needed" | "wanted" | "unused";

/** Throws a Failure (exit code 4) that names the capabilities that this process lacks for `what`, those for eBPF too. */
export function requirePrivileges(what = "capture and send packets", bpf: BpfUse = "needed"): void {
  const status = readStatus();
  const last = lastCapability();
  if (bpf === "wanted" && missingCapabilities(status, false, last).length === 0) return;
  refuse(what, missingCapabilities(status, bpf !== "unused", last));
}

/** Throws a Failure (exit code 4) that names the capabilities for eBPF that this process lacks. */
export function requireBpf(): void {
  refuse("load eBPF programs", missingForBpf(readStatus(), lastCapability()));
}
