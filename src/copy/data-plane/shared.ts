/**
 * The memory that the main thread and one data plane share. The worker writes the counters with plain stores
 * (one writer), the main thread only `command`.
 */
import { ENGINE_COUNTERS, type EngineCounter } from "../../engine/sessions/counters.ts";
import { MYSQL_COUNTERS, type MysqlCounter } from "../../protocol/mysql/account.ts";
import { HISTOGRAM_WORDS } from "../../runtime/histogram.ts";
import { type Commanded, commandedBytes, indexesOf, viewCommanded } from "../../runtime/shared.ts";

const OWN_COUNTERS = [
  "sentPackets",
  "sentBytes",
  "sendErrors",
  "requests",
  "requestBytes",
  /** Captured packets with a wrong checksum, which production drops. */
  "checksumErrors",
  /** TCP packets in IP fragments that could not be put together. */
  "fragmentsLost",
  "lagMax",
  "ownMax",
  /** Responses that an intercept sent for none of our targets. */
  "strayResponses",
  /** How often an intercept was lost. */
  "interceptsLost",
  /** Channels to intercepts that ended as what came was changed on its way, or stopped in the middle of a record. */
  "channelsBroken",
  /** Sessions that --compare reads as HTTP and whose first bytes are none: they are copied, and not compared. */
  "sessionsNotHttp",
  /** us until the next request of a recording, while it is a long time. */
  "nextRequest",
] as const;
const COUNTERS = [...ENGINE_COUNTERS, ...OWN_COUNTERS, ...MYSQL_COUNTERS] as const;

export type Counter = EngineCounter | (typeof OWN_COUNTERS)[number] | MysqlCounter;

/** Histograms of times in us; see histogram.ts. */
const HISTOGRAMS = [
  /** From when a packet with captured data was due to its hand-over to the kernel. */
  "lag",
  /** What the lag is made of: waiting for a connection, then for the target, then xcopy's own part. */
  "connectionWait",
  "answerWait",
  "own",
  /** From a request to its answer, of any protocol. */
  "productionAnswer",
  "targetAnswer",
  /** The same where a protocol module sees both. */
  "productionLatency",
  "targetLatency",
] as const;
export type HistogramName = (typeof HISTOGRAMS)[number];

/** The engine's counters come first, in the order of ENGINE_COUNTERS, then the data plane's own. */
export interface Shared extends Commanded {
  histograms: Record<HistogramName, Uint32Array>;
}

const HISTOGRAMS_AT = commandedBytes(COUNTERS.length);
const HISTOGRAM_BYTES = HISTOGRAM_WORDS * 4;

export function createShared(): SharedArrayBuffer {
  return new SharedArrayBuffer(HISTOGRAMS_AT + HISTOGRAMS.length * HISTOGRAM_BYTES);
}

export function viewShared(memory: SharedArrayBuffer): Shared {
  return {
    ...viewCommanded(memory, COUNTERS.length),
    histograms: Object.fromEntries(
      HISTOGRAMS.map((name, index) => [
        name,
        new Uint32Array(memory, HISTOGRAMS_AT + index * HISTOGRAM_BYTES, HISTOGRAM_WORDS),
      ]),
    ) as Shared["histograms"],
  };
}

/** Index of a counter in `Shared.counters`. */
export const INDEX = indexesOf(COUNTERS);

/** A place for the worker to count in between two rounds. */
export function createCounters(): Float64Array {
  return new Float64Array(COUNTERS.length);
}
