/** Removes what an xcopy that was killed has left; called by `xcopy cleanup` and at every start. */
import { currentNamespace, hasEnded, readRecords, removeFilters } from "../capture/clsact.ts";
import { openLibbpf } from "../native/bpf/libbpf.ts";
import { removeLogs } from "../native/bpf/verifier.ts";
import type { CarriedLibrary } from "../native/carried.ts";
import { guardedProcesses } from "./guard.ts";

/**
 * Removes the clsact filters and qdiscs of processes that have ended, on the interfaces of this network namespace. Returns what
 * it removed, one string each. It leaves alone what a running xcopy attached, what a guard still needs (see
 * `endLingeringGuards`), and what xcopy did not attach. Throws a Failure (5) where there is something to remove, but no libbpf.
 */
export function removeLeftovers(carried: CarriedLibrary[] = []): string[] {
  const namespace = currentNamespace();
  const guarded = guardedProcesses();
  const dead = readRecords().filter(
    (record) =>
      record.namespace === namespace &&
      hasEnded(record.pid, record.startTime) &&
      !guarded.includes(record.pid),
  );
  if (dead.length === 0) return [];
  openLibbpf(carried);
  return dead.flatMap(removeFilters);
}

/** Removes the logs about programs that the kernel refused, which stay for whoever is to read them. Returns their paths. */
export function removeVerifierLogs(): string[] {
  return removeLogs();
}
