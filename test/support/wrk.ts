/** wrk as the client: unique requests at a steady rate. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Lab } from "./lab.ts";
import type { Running } from "./process.ts";

export interface LoadOptions {
  /** "http://10.1.0.1". */
  url: string;
  /** Requests per second, 0 for as many as are answered. */
  rate: number;
  /** Requests in all; without it the load goes on until `end`. */
  count?: number;
  connections?: number;
  /** One connection per request. */
  close?: boolean;
  /** Where the client runs; the client host if not given. */
  namespace?: string;
}

/** A load whose end is known. */
export type WholeLoad = LoadOptions & { count: number };

export interface LoadResult {
  /** Answered requests, and how long it took. */
  requests: number;
  seconds: number;
  /** Failed connections, reads, writes, time-outs and answers of 400 and more. */
  errors: number;
  /** us. */
  p50: number;
  p99: number;
  max: number;
}

export interface Load {
  running: Running;
  result: Promise<LoadResult>;
  /** Lets a load without a count begin no more requests. */
  end(): Promise<LoadResult>;
}

let runs = 0;

/** wrk has to be told when it ends: the test's own end comes first. */
const LIMIT_SECONDS = 3600;

/**
 * Starts a load that ends when its last request is answered: what online has logged by then is all that a client ever
 * sent. Where something is to happen while it lasts it has no count: nobody knows how long that takes.
 */
export function startLoad(lab: Lab, options: LoadOptions): Load {
  const { url, rate, count = 0, connections = 100, close = false, namespace = lab.client } = options;
  const run = `${process.pid}-${runs++}`;
  const ending = join(lab.directory, `load-${run}-ends`);
  const running = lab.start(namespace, [
    "wrk",
    "-t1",
    `-c${connections}`,
    `-d${LIMIT_SECONDS}s`,
    `-s${join(import.meta.dir, "wrk.lua")}`,
    url,
    "--",
    run,
    `${connections}`,
    `${rate}`,
    `${count}`,
    ending,
    ...(close ? ["close"] : []),
  ]);
  const result = resultOf(running);
  const end = () => {
    writeFileSync(ending, "");
    return result;
  };
  return { running, result, end };
}

async function resultOf(running: Running): Promise<LoadResult> {
  const code = await running.exited;
  const line = running.output.findLast((text) => text.startsWith("{"));
  if (code !== 0 || !line) {
    throw new Error(`wrk ended with ${code}:\n${[...running.output, ...running.errors].join("\n")}`);
  }
  const { requests, seconds, errors, p50_us: p50, p99_us: p99, max_us: max } = JSON.parse(line);
  return { requests, seconds, errors, p50, p99, max };
}

/** Runs a load to its end. */
export async function load(lab: Lab, options: WholeLoad): Promise<LoadResult> {
  return await startLoad(lab, options).result;
}

/** Two loads at once, each with half of the requests: connections that stay, and one connection per request. */
export async function loadBothKinds(
  lab: Lab,
  { count, rate, ...options }: Omit<WholeLoad, "close">,
): Promise<Pick<LoadResult, "requests" | "errors">> {
  const results = await Promise.all(
    [false, true].map((close) => load(lab, { ...options, rate: rate / 2, count: count / 2, close })),
  );
  const sum = (field: "requests" | "errors") => results.reduce((total, result) => total + result[field], 0);
  return { requests: sum("requests"), errors: sum("errors") };
}
