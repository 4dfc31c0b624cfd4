/** Reads how many packets the kernel programs did not record, by reason, for the comments in the files. */
import { readStats } from "../capture/counters.ts";
import { words } from "../capture/maps.ts";
import { lookUp } from "../native/bpf/map.ts";
import type { LossSource } from "./recorder.ts";

/** Reads the maps of a RecordKernel by their descriptors. */
export function kernelLosses(countersMap: number, lostMap: number): LossSource {
  const value = new BigUint64Array(new ArrayBuffer(8));
  const bytes = new Uint8Array(value.buffer);
  return {
    lostOf: (ifindex) => (lookUp(lostMap, words(ifindex), bytes) ? Number(value[0]) : 0),
    counts() {
      const stats = readStats(countersMap);
      return {
        "no room in the rings": stats.requestRingFull + stats.outgoingRingFull,
        "xcopy stalled": stats.inert,
        "too large": stats.oversize,
        unreadable: stats.unreadable,
        fragments: stats.fragments,
        "pure ACKs left out": stats.pureAcks,
        "left out by the sample": stats.unsampled,
        "passed through to other hosts": stats.forwarded,
        "seen on another interface before": stats.duplicates,
        "sent by xcopy": stats.ownMark,
      };
    },
  };
}
