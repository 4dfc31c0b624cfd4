/** The memory that the main thread and one data plane share about datagrams; see src/runtime/shared.ts. */
import { DATAGRAM_COUNTERS } from "../../datagram/counters.ts";
import { HISTOGRAM_WORDS } from "../../runtime/histogram.ts";
import { commandedBytes, type Published, viewCommanded } from "../../runtime/shared.ts";

/** Counters in the order of DATAGRAM_COUNTERS. */
export interface DatagramShared extends Published {
  /** us from capture to the hand-over to the kernel, and from there to the answer; see histogram.ts. */
  lag: Uint32Array;
  latency: Uint32Array;
}

const HISTOGRAMS = commandedBytes(DATAGRAM_COUNTERS.length);

export function createDatagramShared(): SharedArrayBuffer {
  return new SharedArrayBuffer(HISTOGRAMS + 2 * HISTOGRAM_WORDS * 4);
}

export function viewDatagramShared(memory: SharedArrayBuffer): DatagramShared {
  return {
    ...viewCommanded(memory, DATAGRAM_COUNTERS.length),
    lag: new Uint32Array(memory, HISTOGRAMS, HISTOGRAM_WORDS),
    latency: new Uint32Array(memory, HISTOGRAMS + HISTOGRAM_WORDS * 4, HISTOGRAM_WORDS),
  };
}
