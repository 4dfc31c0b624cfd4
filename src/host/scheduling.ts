/** Applies --cpus and --nice to this process. */
import { formatCpus, type WorkerOptions } from "../config/workers.ts";
import { Failure } from "../native/failure.ts";
import { EPERM, strerror } from "../native/libc.ts";
import { pinProcess, setIdle, setNice } from "../native/scheduling.ts";

/** Later threads inherit these settings from the thread that creates them. Throws a Failure (exit code 1 or 4). */
export function applyScheduling({ cpus, nice }: Pick<WorkerOptions, "cpus" | "nice">): void {
  const check = (code: number, option: string, value: string) => {
    if (code === 0) return;
    const fix =
      "Leave it out, or allow it where xcopy is started (a service's Nice=, a container's settings).";
    throw new Failure(`Cannot use ${option} "${value}": ${strerror(code)}`, fix, code === EPERM ? 4 : 1);
  };
  if (cpus.length > 0) check(pinProcess(cpus), "--cpus", formatCpus(cpus));
  if (nice !== null) check(nice === "idle" ? setIdle() : setNice(nice), "--nice", `${nice}`);
}
