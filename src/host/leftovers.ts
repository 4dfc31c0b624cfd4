/** What an xcopy that was killed left behind: `xcopy cleanup` and every start remove it. */
import { currentNamespace, readRecords, removeFilters, startTimeOf } from "../capture/clsact.ts";
import { openLibbpf } from "../native/bpf/libbpf.ts";
import type { CarriedLibrary } from "../native/carried.ts";
import { guardedProcesses } from "./guard.ts";

/**
 * Removes the classifiers and qdiscs of processes that are dead, on the interfaces of this network namespace, and says
 * what it removed, one string each. What a running xcopy attached is left alone, so is what a guard stands for (see
 * `endLingeringGuards`), and so is all that xcopy did not attach. Throws a Failure where there is something to remove,
 * but no libbpf (5).
 */
export function removeLeftovers(carried: CarriedLibrary[] = []): string[] {
  const namespace = currentNamespace();
  const guarded = guardedProcesses();
  const dead = readRecords().filter(
    (record) =>
      record.namespace === namespace &&
      startTimeOf(record.pid) !== record.startTime &&
      !guarded.includes(record.pid),
  );
  if (dead.length === 0) return [];
  openLibbpf(carried);
  return dead.flatMap(removeFilters);
}
