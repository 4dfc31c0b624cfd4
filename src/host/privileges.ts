/** Checks the capabilities of this process: what a mode needs, and what for (docs/security.md has the whole table). */
import { CAP, effectiveIn, lastCapability, missingForBpf, readStatus } from "../native/bpf/capabilities.ts";
import { Failure } from "../native/failure.ts";

/** What eBPF is to a command: it cannot do without, it does without where it must, it has no use for it. */
export type BpfUse = "needed" | "wanted" | "unused";

/** What a mode needs at its start. */
export interface Needs {
  /** Completes "Cannot ...". */
  what: string;
  bpf: BpfUse;
  /** Whether it opens raw and packet sockets, to send or to capture. */
  sockets: boolean;
}

/** What xcopy does with each, for people who have to give them. */
const PURPOSES: Record<string, string> = {
  CAP_SYS_ADMIN: "loads its eBPF programs (before Linux 5.8)",
  CAP_BPF: "loads its eBPF programs",
  CAP_PERFMON: "allows them arithmetic with pointers",
  CAP_NET_ADMIN:
    "attaches them, marks packets, makes netfilter rules, and asks for the MAC addresses of next hops",
  CAP_NET_RAW: "opens the sockets that send and capture packets",
};

/**
 * The capabilities that these needs take and `status` (the text of /proc/self/status) does not have in effect; where eBPF is only
 * wanted, those for it may be missing. `last` is the number of the last capability that the kernel knows.
 */
export function missingCapabilities(
  status: string,
  { bpf, sockets }: Omit<Needs, "what">,
  last: number = CAP.BPF,
): string[] {
  const has = effectiveIn(status);
  const missing = bpf === "needed" ? missingForBpf(status, last) : [];
  if (!has(CAP.NET_ADMIN)) missing.push("CAP_NET_ADMIN");
  if (sockets && !has(CAP.NET_RAW)) missing.push("CAP_NET_RAW");
  return missing;
}

/** The fix for missing capabilities, with what each is for. */
export function fixFor(missing: readonly string[]): string {
  const purposes = missing.map((name) => `${name} ${PURPOSES[name]}`).join(", ");
  return `Run it as root (sudo), or as a service with these as ambient capabilities too: ${purposes}.`;
}

function refuse(what: string, missing: string[]): void {
  if (missing.length === 0) return;
  throw new Failure(`Cannot ${what}: this process lacks ${missing.join(", ")}`, fixFor(missing), 4);
}

/** Throws a Failure (exit code 4) that names the capabilities that this process lacks, and what each is for. */
export function requirePrivileges(needs: Needs): void {
  const status = readStatus();
  const last = lastCapability();
  if (missingCapabilities(status, needs, last).length === 0) return;
  // Who has to give some capabilities should hear of all.
  const all: Needs = { ...needs, bpf: needs.bpf === "unused" ? "unused" : "needed" };
  refuse(needs.what, missingCapabilities(status, all, last));
}

/** Throws a Failure (exit code 4) that names the capabilities for eBPF that this process lacks. */
export function requireBpf(): void {
  refuse("load eBPF programs", missingForBpf(readStatus(), lastCapability()));
}
