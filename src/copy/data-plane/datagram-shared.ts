/** The memory that the main thread and one data plane share about datagrams; as shared.ts. */
import { DATAGRAM_COUNTERS } from "../../datagram/counters.ts";
import { HISTOGRAM_WORDS } from "../../runtime/histogram.ts";
import type { Published } from "../../runtime/shared.ts";

/** Counters in the order of DATAGRAM_COUNTERS. */
export interface DatagramShared extends Published {
  /** us from capture to the hand-over to the kernel, and from there to the answer; see histogram.ts. */
  lag: Uint32Array;
  latency: Uint32Array;
}

const VERSION_BYTES = 8;
const COUNTER_BYTES = DATAGRAM_COUNTERS.length * 8;
const HISTOGRAM_BYTES = HISTOGRAM_WORDS * 4;

export function createDatagramShared(): SharedArrayBuffer {
  return new SharedArrayBuffer(VERSION_BYTES + 2 * COUNTER_BYTES + 2 * HISTOGRAM_BYTES);
}

export function viewDatagramShared(memory: SharedArrayBuffer): DatagramShared {
  const histograms = VERSION_BYTES + 2 * COUNTER_BYTES;
  return {
    version: new Int32Array(memory, 0, 1),
    counters: [
      new Float64Array(memory, VERSION_BYTES, DATAGRAM_COUNTERS.length),
      new Float64Array(memory, VERSION_BYTES + COUNTER_BYTES, DATAGRAM_COUNTERS.length),
    ],
    lag: new Uint32Array(memory, histograms, HISTOGRAM_WORDS),
    latency: new Uint32Array(memory, histograms + HISTOGRAM_BYTES, HISTOGRAM_WORDS),
  };
}
