/** Reads the CPU time and memory of a process. */
import { readFileSync } from "node:fs";

export interface Usage {
  /** CPU seconds of the process and all its threads since its start, in steps of 10 ms. */
  user: number;
  system: number;
  /** Resident memory, bytes. */
  resident: number;
}

const TICKS_PER_SECOND = 100;

/** What a process has used, from /proc; throws when it is gone. */
export function usageOf(pid: number): Usage {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  // The second field is the name in parentheses and may hold spaces; utime and stime are fields 14 and 15 of proc(5).
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  return {
    user: Number(fields[11]) / TICKS_PER_SECOND,
    system: Number(fields[12]) / TICKS_PER_SECOND,
    resident: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024,
  };
}
