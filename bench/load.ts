/** Measures the cost of copying a steady load: CPU per request, lag, and what production notices. */
import { cpus } from "node:os";
import { ONLINE, TARGET } from "../src/demo/network.ts";
import { usageOf } from "../src/demo/usage.ts";
import type { Lab } from "../test/support/lab.ts";
import { startNginx } from "../test/support/nginx.ts";
import { run } from "../test/support/process.ts";
import { type LoadResult, load } from "../test/support/wrk.ts";
import { startCopy } from "../test/support/xcopy.ts";
import { type Figure, median, microseconds, milliseconds } from "./figures.ts";

export interface Kind {
  name: string;
  /** Requests per second, 0 for as many as online answers. */
  rate: number;
  count: number;
  close: boolean;
  /** us of CPU per request to stay below. */
  aim?: number;
}

interface Copied {
  result: LoadResult;
  /** With the target's receive path, and without it. */
  onVeth: Cost;
  own: Cost;
  /** Requests that were not answered. */
  lost: number;
  lag: { p50: number; p99: number; max: number };
}

/** CPU seconds per request of the whole of xcopy. */
interface Cost {
  user: number;
  system: number;
}

/** Seconds between reports: more than a run takes, as reports cost CPU. */
export const QUIET = 600;
const TRANSFER = `80-${TARGET}:8080`;

/** Runs the load `pairs` times, each time first without and then with xcopy; medians of both. */
export async function measureLoad(lab: Lab, kind: Kind, pairs: number): Promise<Figure[]> {
  await startNginx(lab, lab.online, 80);
  await startNginx(lab, lab.target, 8080);
  const { rate, count, close } = kind;
  const options = { url: `http://${ONLINE}`, rate, count, close };
  const alone: LoadResult[] = [];
  const copied: Copied[] = [];
  for (let pair = 0; pair < pairs; pair++) {
    alone.push(await load(lab, options));
    copied.push(await measureCopied(lab, () => load(lab, options)));
  }
  await lab.stopAll();
  return figuresOf(kind, alone, copied);
}

async function measureCopied(lab: Lab, produce: () => Promise<LoadResult>): Promise<Copied> {
  const copy = await startCopy(lab, ["-x", TRANSFER], { interval: QUIET });
  // Bun compiles what is used often: half a second of CPU, once.
  const warm = await produce();
  const results = [warm];
  const measure = async (): Promise<Cost> => {
    const before = usageOf(copy.running.pid);
    const result = await produce();
    const after = usageOf(copy.running.pid);
    results.push(result);
    return {
      user: (after.user - before.user) / result.requests,
      system: (after.system - before.system) / result.requests,
    };
  };
  const onVeth = await measure();
  const [, result] = results;
  receiveElsewhere(lab, copy.running.pid, true);
  const own = await measure();
  receiveElsewhere(lab, copy.running.pid, false);
  const { report } = await copy.stop();
  const requests = results.reduce((sum, each) => sum + each.requests, 0);
  return { result: result!, onVeth, own, lost: requests - report.turns.answered, lag: report.lag_us };
}

/**
 * A veth runs the target's receive path, down to its socket, on the sender's CPU time. With `isElsewhere` receive packet steering
 * moves that to the first CPU and xcopy is pinned to the second, so that its CPU time is its own.
 */
export function receiveElsewhere(lab: Lab, pid: number, isElsewhere: boolean): void {
  const steering = "/sys/class/net/net0/queues/rx-0/rps_cpus";
  run(lab.target, "sh", "-c", `echo ${isElsewhere ? 1 : 0} > ${steering}`);
  run(lab.online, "taskset", "-a", "-cp", isElsewhere ? "1" : `0-${cpus().length - 1}`, `${pid}`);
}

function figuresOf({ name, rate, aim }: Kind, alone: LoadResult[], copied: Copied[]): Figure[] {
  const of = (value: (run: Copied) => number) => median(copied.map(value));
  const rates = {
    with: of(({ result }) => result.requests / result.seconds),
    without: median(alone.map((result) => result.requests / result.seconds)),
  };
  const tails = { with: of(({ result }) => result.p99), without: median(alone.map(({ p99 }) => p99)) };
  const errors = [...alone, ...copied.map(({ result }) => result)].reduce((sum, run) => sum + run.errors, 0);
  const label = rate ? `${name}, ${rate.toLocaleString("en-US")}/s` : `${name}, as fast as online answers`;
  return [
    {
      name: `${label}: reached by the client`,
      value: `${rates.with.toFixed(0)}/s`,
      without: `${rates.without.toFixed(0)}/s`,
      ratio: rates.with / rates.without,
    },
    {
      name: "  p99 seen by the client",
      value: milliseconds(tails.with),
      without: milliseconds(tails.without),
      ratio: tails.with / tails.without,
    },
    { name: "  errors seen by the client", value: `${errors}`, aim: "0" },
    {
      name: "  requests not answered by the target",
      value: `${copied.reduce((sum, run) => sum + run.lost, 0)}`,
      aim: "0",
    },
    {
      name: "  CPU of xcopy per request",
      value: microseconds(of(({ own }) => own.user + own.system)),
      ...(aim ? { aim: `${aim} us` } : {}),
    },
    { name: "    in user space", value: microseconds(of(({ own }) => own.user)) },
    { name: "    in the kernel", value: microseconds(of(({ own }) => own.system)) },
    {
      name: "    with the target's receive path",
      value: microseconds(of(({ onVeth }) => onVeth.user + onVeth.system)),
    },
    { name: "  lag p50", value: milliseconds(of(({ lag }) => lag.p50)) },
    { name: "  lag p99", value: milliseconds(of(({ lag }) => lag.p99)), ...(rate ? { aim: "5 ms" } : {}) },
  ];
}
