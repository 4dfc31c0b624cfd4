/** The capabilities of this process, as far as bpf(2) asks for them. */
import { readFileSync } from "node:fs";

/** Bits of linux/capability.h. */
export const CAP = {
  DAC_OVERRIDE: 1,
  NET_BIND_SERVICE: 10,
  NET_ADMIN: 12,
  NET_RAW: 13,
  SYS_ADMIN: 21,
  SYS_NICE: 23,
  PERFMON: 38,
  BPF: 39,
  CHECKPOINT_RESTORE: 40,
} as const;

/** Returns whether a capability is in effect by the text of /proc/self/status. */
export function effectiveIn(status: string): (capability: number) => boolean {
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  return (capability) => (effective >> BigInt(capability)) % 2n === 1n;
}

/**
 * What loading programs takes and `status` (the text of /proc/self/status) does not have in effect: CAP_BPF, and CAP_PERFMON
 * for arithmetic with pointers. CAP_SYS_ADMIN includes both. A kernel whose last capability (`last`) is before them, as before
 * Linux 5.8, asks for CAP_SYS_ADMIN itself.
 */
export function missingForBpf(status: string, last: number): string[] {
  const has = effectiveIn(status);
  if (has(CAP.SYS_ADMIN)) return [];
  if (last < CAP.BPF) return ["CAP_SYS_ADMIN"];
  return [["CAP_BPF", CAP.BPF] as const, ["CAP_PERFMON", CAP.PERFMON] as const].flatMap(([name, bit]) =>
    has(bit) ? [] : [name],
  );
}

/** The text of /proc/self/status. */
export function readStatus(): string {
  return readFileSync("/proc/self/status", "utf8");
}

/** The number of the last capability that the kernel knows; without /proc/sys that of Linux 5.9. */
export function lastCapability(): number {
  try {
    return Number(readFileSync("/proc/sys/kernel/cap_last_cap", "utf8"));
  } catch {
    return CAP.CHECKPOINT_RESTORE;
  }
}
