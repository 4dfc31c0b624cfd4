/** How many workers share the connections, and how much of this host's CPUs they get. */
import type { Arguments } from "../command-line/reading/arguments.ts";
import { Failure } from "../native/failure.ts";
import { isWhole, parseDecimal } from "./number.ts";

/** Upper bounds of the options; that of the workers is what the kernel programs have room for. */
export const MOST_WORKERS = 64;
const MOST_CPU = 8191;
const MOST_NICE = 19;
const MOST_PERCENT = 100 * (MOST_CPU + 1);

export interface WorkerOptions {
  /** Null: not given. */
  workers: number | "auto" | null;
  /** The CPUs to run on, in the order given; empty: any. */
  cpus: number[];
  /** 0 to 19; `idle`: only when no other program wants the CPU; null: as xcopy was started. */
  nice: number | "idle" | null;
  /** CPUs that all workers together may use, 0.5 for half of one; 0: as much as they need. */
  cpuLimit: number;
}

function parseCount(text: string): number | "auto" {
  if (text === "auto") return text;
  if (isWhole(text, { first: 1, last: MOST_WORKERS })) return Number(text);
  throw new Failure(
    `Cannot use --workers "${text}": neither "auto" nor a whole number from 1 to ${MOST_WORKERS}`,
    `Give 2 for two workers, or "auto".`,
    2,
  );
}

/** `2,4-7`, each CPU once. Throws a Failure (exit code 2). */
export function parseCpus(text: string): number[] {
  const fix = 'Write it as "2", "2,3" or "4-7".';
  const cpus = text.split(",").flatMap((part) => {
    const [first, last = first, ...rest] = part.trim().split("-");
    const isRange =
      rest.length === 0 && [first!, last!].every((cpu) => isWhole(cpu, { first: 0, last: MOST_CPU }));
    if (!isRange || Number(first) > Number(last)) {
      throw new Failure(`Cannot use --cpus "${part.trim()}": neither a CPU nor a range of CPUs`, fix, 2);
    }
    return Array.from({ length: Number(last) - Number(first) + 1 }, (_, index) => Number(first) + index);
  });
  return [...new Set(cpus)];
}

function parseNice(text: string): number | "idle" {
  if (text === "idle") return text;
  if (isWhole(text, { first: 0, last: MOST_NICE })) return Number(text);
  throw new Failure(
    `Cannot use --nice "${text}": neither "idle" nor a whole number from 0 to ${MOST_NICE}`,
    "Give 19 for the lowest of the usual priorities, or idle.",
    2,
  );
}

export function parseWorkers(args: Arguments): WorkerOptions {
  const one = (name: string) => args.get(name)?.[0] ?? null;
  const [workers, cpus, nice, limit] = [one("workers"), one("cpus"), one("nice"), one("cpu-limit")];
  const percent = { first: 1, last: MOST_PERCENT, unit: "percent" };
  return {
    workers: workers === null ? null : parseCount(workers),
    cpus: cpus === null ? [] : parseCpus(cpus),
    nice: nice === null ? null : parseNice(nice),
    cpuLimit: limit === null ? 0 : parseDecimal("--cpu-limit", limit, percent) / 100,
  };
}

/** `2-4, 7`. */
export function formatCpus(cpus: readonly number[]): string {
  const ranges: [number, number][] = [];
  for (const cpu of cpus.toSorted((one, other) => one - other)) {
    const last = ranges.at(-1);
    if (last && last[1] === cpu - 1) last[1] = cpu;
    else ranges.push([cpu, cpu]);
  }
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(", ");
}
