/** How many workers a run has and where they run. */
import { formatPorts, type PortRange } from "../config/ports.ts";
import { formatCpus, MOST_WORKERS } from "../config/workers.ts";
import { Failure } from "../native/failure.ts";
import { haveOwnPorts } from "./data-plane/share-out.ts";
import type { CopyOptions } from "./options.ts";

export interface WorkerPlan {
  count: number;
  /** By worker: its CPU, or null for any. */
  cpus: (number | null)[];
  /** What was chosen where the user did not say; "" where nothing was. */
  note: string;
}

/** `auto` leaves half of the CPUs to other programs, and makes few workers, as each has rings for every CPU. */
const SHARE_OF_CPUS = 1 / 2;
const MOST_CHOSEN = 8;

/** Why there can be only one worker; "" if there can be several. */
function reasonForOne(options: CopyOptions, isLive: boolean): string {
  if (!isLive) return "recorded traffic is replayed in the order of its times, by one worker";
  const { backEnd } = options.capture;
  if (backEnd === "raw" || backEnd === "pcap")
    return `what --capture ${backEnd} captures is read by one worker`;
  if (options.compat) return "an intercept of tcpcopy may send any response to any of our connections";
  return "";
}

function choose(
  options: CopyOptions,
  usable: readonly number[],
  single: string,
): [count: number, note: string] {
  const { workers, cpus } = options.scheduling;
  const oneEach = Math.min(MOST_WORKERS, cpus.length);
  const wanted = workers ?? (oneEach > 0 && !single ? oneEach : 1);
  if (wanted !== "auto") return [wanted, ""];
  const say = (count: number, why: string): [number, string] => [
    count,
    `--workers auto: ${count} worker${count > 1 ? "s" : ""}, ${why}`,
  ];
  if (single) return say(1, `because ${single}`);
  if (cpus.length > 0) return say(oneEach, "one for each CPU of --cpus");
  const half = Math.max(1, Math.min(MOST_CHOSEN, Math.floor(usable.length * SHARE_OF_CPUS)));
  return say(half, `for ${usable.length} CPU${usable.length > 1 ? "s" : ""}`);
}

/**
 * Decides how many workers there are and where they run. `usable`: the CPUs that this process may run on; `ports`: those to
 * send from. Throws a Failure (exit code 2) if that is not possible as asked for.
 */
export function planWorkers(
  options: CopyOptions,
  usable: readonly number[],
  isLive: boolean,
  ports: readonly PortRange[],
): WorkerPlan {
  const { workers, cpus } = options.scheduling;
  const foreign = cpus.filter((cpu) => !usable.includes(cpu));
  if (foreign.length > 0) {
    throw new Failure(
      `Cannot use --cpus "${formatCpus(foreign)}": xcopy may not run there`,
      `Choose from those it may run on: ${formatCpus(usable)}.`,
      2,
    );
  }
  const single = reasonForOne(options, isLive);
  const [count, note] = choose(options, usable, single);
  if (count > 1 && single) {
    throw new Failure(`Cannot use --workers "${workers}": ${single}`, "Leave it out.", 2);
  }
  if (!haveOwnPorts(ports, count)) {
    throw new Failure(
      `Cannot use --workers "${count}": there are not enough ports for each to have its own (${formatPorts([...ports])})`,
      "Use fewer workers, or name more ports with --ports.",
      2,
    );
  }
  return {
    count,
    cpus: Array.from({ length: count }, (_, worker) => cpus[worker % cpus.length] ?? null),
    note,
  };
}
