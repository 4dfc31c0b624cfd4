/**
 * How slow the machine is at the moment, beside the tests: how many threads there are to a CPU (a thread that would run
 * waits for the others), times how long a fixed piece of work takes a CPU (one that is slow, or stolen by other guests).
 */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";

/** ms between two measurements of the threads. */
const INTERVAL = 100;
/** Measurements that the factor of the moment is the mean of: the last two seconds. */
const RECENT = 20;
/** Measurements of threads to one of the work: once a second. */
const WORK_EVERY = 10;
/** What the work compresses: native code, which takes as long however much of this program has been compiled. */
const TEXT = Buffer.from(
  Array.from({ length: 4096 }, (_, line) => `${(line * 40503) % 4093} GET /items/${line}\n`).join(""),
);
/** us of CPU that it takes on a machine of the kind that the bounds of the tests were chosen on. */
const FREE = 2000;

export interface Gauge {
  /** Mean and maximum of the factor since the start; 1 is a free machine. */
  overall(): { mean: number; most: number };
  stop(): void;
}

/** Starts to measure; keeps the factor of the moment, 1 at least, as text in `file`: see test/support/patience.ts. */
export function startGauge(file: string): Gauge {
  work(); // The first time takes longer.
  const cpus = availableParallelism();
  const recent: number[] = [];
  let cpuSlowness = 1;
  let sum = 0;
  let count = 0;
  let most = 1;
  measure();
  const timer = setInterval(measure, INTERVAL);
  return {
    overall: () => ({ mean: sum / count, most }),
    stop: () => clearInterval(timer),
  };

  function measure(): void {
    if (count % WORK_EVERY === 0) cpuSlowness = Math.max(1, work() / FREE);
    recent.push(Math.max(1, runnableThreads() / cpus) * cpuSlowness);
    if (recent.length > RECENT) recent.shift();
    const factor = recent.reduce((total, one) => total + one, 0) / recent.length;
    sum += factor;
    count++;
    most = Math.max(most, factor);
    // By another name first: a reader never sees half of it.
    writeFileSync(`${file}.new`, factor.toFixed(2));
    renameSync(`${file}.new`, file);
  }
}

/** Threads that run or would run, without this one: the fourth field of /proc/loadavg (proc(5)). */
function runnableThreads(): number {
  return Number.parseInt(readFileSync("/proc/loadavg", "latin1").split(" ")[3]!, 10) - 1;
}

/** Does the work; us of CPU that it took. */
function work(): number {
  const before = process.cpuUsage();
  Bun.gzipSync(TEXT);
  const { user, system } = process.cpuUsage(before);
  return user + system;
}
