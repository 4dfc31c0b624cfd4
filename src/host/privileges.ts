/** Checks the capabilities of this process. */
import { readFileSync } from "node:fs";
import { Failure } from "../native/failure.ts";

/** Bits of linux/capability.h. CAP_SYS_ADMIN includes CAP_BPF, which is newer. */
const NET_ADMIN = 12n;
const NET_RAW = 13n;
const SYS_ADMIN = 21n;
const BPF = 39n;

/** The capabilities that copying needs and `status` (the text of /proc/self/status) does not have in effect. */
export function missingCapabilities(status: string): string[] {
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  const has = (bit: bigint) => (effective >> bit) % 2n === 1n;
  const missing = [];
  if (!has(BPF) && !has(SYS_ADMIN)) missing.push("CAP_BPF");
  if (!has(NET_ADMIN)) missing.push("CAP_NET_ADMIN");
  if (!has(NET_RAW)) missing.push("CAP_NET_RAW");
  return missing;
}

/**
 * Throws a Failure (exit code 4) that names the capabilities that this process lacks for `what`. Without `needsBpf`, CAP_BPF
 * may be missing.
 */
export function requirePrivileges(what = "capture and send packets", needsBpf = true): void {
  const missing = missingCapabilities(readFileSync("/proc/self/status", "utf8"));
  if (missing.length === 0 || (!needsBpf && missing.join() === "CAP_BPF")) return;
  throw new Failure(
    `Cannot ${what}: this process lacks ${missing.join(", ")}`,
    "Run it as root (sudo), or as a service with these ambient capabilities.",
    4,
  );
}
