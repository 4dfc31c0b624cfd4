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

function require(what: string, missing: string[]): void {
  if (missing.length === 0) return;
  throw new Failure(
    `Cannot ${what}: this process lacks ${missing.join(", ")}`,
    "Run it as root (sudo), or as a service with these ambient capabilities.",
    4,
  );
}

/**
 * Throws a Failure (exit code 4) that names the capabilities that this process lacks for `what`. Without `needsBpf`, those for
 * eBPF (CAP_BPF, CAP_PERFMON) are not asked for alone.
 */
export function requirePrivileges(what = "capture and send packets", needsBpf = true): void {
  const status = readStatus();
  const last = lastCapability();
  if (missingCapabilities(status, needsBpf, last).length === 0) return;
  require(what, missingCapabilities(status, true, last));
}

/** Throws a Failure (exit code 4) that names the capabilities for eBPF that this process lacks. */
export function requireBpf(): void {
  require("load eBPF programs", missingForBpf(readStatus(), lastCapability()));
}
