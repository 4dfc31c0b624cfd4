/** Divides the configuration of the data plane among the workers. */
import { ofWorker } from "../../capture/maps.ts";
import type { SourceConfig } from "../../capture/source.ts";
import { shareWords } from "../../engine/sessions/share.ts";
import { Failure } from "../../native/failure.ts";
import { monotonicMicroseconds } from "../../native/libc.ts";
import { mapReserve } from "../../native/page.ts";
import type { PairConfig } from "../../pairs/pair.ts";
import { createPairMemory } from "../../pairs/ring.ts";
import { createPublished } from "../../runtime/published.ts";
import { workerOfPort } from "../../wire/shard.ts";
import { NEWS_BYTES } from "../changes/news.ts";
import type { DatagramsConfig, DataPlaneConfig } from "./config.ts";
import { createDatagramShared } from "./datagram-shared.ts";
import { reserveOf } from "./request-reading.ts";
import { createShared } from "./shared.ts";

/** The configuration for all workers; rings and memory are those of all together. */
export type WholeConfig = Omit<
  DataPlaneConfig,
  "worker" | "shared" | "datagrams" | "reserve" | "pairs" | "changes"
> & {
  datagrams: Omit<DatagramsConfig, "shared"> | null;
  pairs: PairConfig | null;
};

/** Bytes of all rings for pairs together: with content a pair may have several 100 KB, but few have any. */
const PAIR_RINGS = { heads: 8 << 20, body: 32 << 20 };

/** The part of one of `count` workers. */
function pairsOf(config: PairConfig | null, count: number): DataPlaneConfig["pairs"] {
  if (config === null) return null;
  const bytes = (config.body ? PAIR_RINGS.body : PAIR_RINGS.heads) / count;
  const memory = Math.floor(config.memory / count);
  return { config: { ...config, memory }, memory: createPairMemory(Math.floor(bytes)) };
}

/** Whether each of `workers` workers has a port of its own in these ranges, [first, last] each. */
export function haveOwnPorts(ports: readonly (readonly [number, number])[], workers: number): boolean {
  const owners = new Set<number>();
  for (const [first, last] of ports) {
    for (let port = first; port <= Math.min(last, first + workers - 1); port++) {
      owners.add(workerOfPort(port, workers));
    }
  }
  return owners.size === workers;
}

function sourceOf(source: SourceConfig | null, worker: number, workers: number): SourceConfig | null {
  if (source === null || workers === 1) return source;
  if (source.kind === "rings") return { ...source, rings: ofWorker(source.rings, worker, workers) };
  if (source.kind !== "packet") throw new Error(`Cannot share ${source.kind} among workers`);
  const sockets = ofWorker(source.sockets, worker, workers);
  return { ...source, sockets, match: { ...source.match, worker } };
}

/** Answers from a socket go to one worker; this is known only now, as `--capture auto` may have fallen back to sockets. */
function refuseSharedAnswers({ responseSocket }: WholeConfig, workers: number): void {
  if (responseSocket === null || workers === 1) return;
  throw new Failure(
    `Cannot use --workers "${workers}": without eBPF one worker reads all responses`,
    "Leave it out.",
    5,
  );
}

/**
 * A configuration for each worker; `cpus`: by worker the CPU it runs on, or null; `cpuLimit`: as in WorkerConfig. Throws a
 * Failure where they cannot share the work.
 */
export function shareOut(
  whole: WholeConfig,
  cpus: readonly (number | null)[],
  cpuLimit: number,
): DataPlaneConfig[] {
  const count = cpus.length;
  refuseSharedAnswers(whole, count);
  const words = new SharedArrayBuffer(4 * shareWords(count));
  const since = monotonicMicroseconds();
  const memory = Math.floor(whole.memory / count);
  return cpus.map((cpu, index) => {
    const source = sourceOf(whole.source, index, count);
    return {
      ...whole,
      worker: { index, count, cpu, cpuLimit, words, since },
      source,
      responseRings: ofWorker(whole.responseRings, index, count),
      datagrams: whole.datagrams && { ...whole.datagrams, shared: createDatagramShared() },
      pairs: pairsOf(whole.pairs, count),
      memory,
      reserve: mapReserve(reserveOf({ source, memory })),
      shared: createShared(),
      changes: createPublished(NEWS_BYTES),
    };
  });
}
