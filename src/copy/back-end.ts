/** What a back end of the capture is to a run, whatever captures. */
import type { KernelCounter } from "../capture/counters.ts";
import type { SourceConfig } from "../capture/source.ts";
import type { CaptureCounts } from "./account/summary.ts";

/** A back end that is open. */
export interface Capture {
  /** `tcx`, `packet`. */
  readonly name: string;
  /** How requests on an interface are captured, once it is attached: `XDP (generic)`. */
  wayOn(ifindex: number): string;
  /** For the data plane. */
  readonly source: SourceConfig;
  /** Captures on these interfaces; may be called again for those that came later. Throws a Failure (1, 2, 3, 4, 5). */
  attach(ifindexes: number[]): void;
  /** An interface is gone. */
  forget(ifindex: number): void;
  /** Goes along with what has changed of interfaces; called about every 2 s. */
  refresh(): void;
  /** Nothing more is captured; what was can still be read. */
  stop(): void;
  counts(): Counts;
  /** Gives everything back that is not the kernel programs'. */
  close(): void;
}

export type Counts = Omit<CaptureCounts, "source" | "responsesLost" | "trace">;

/** What all back ends count alike. */
export function countsOf(stats: Record<KernelCounter, number>): Counts {
  return {
    packets: stats.requestsCaptured,
    bytes: stats.requestBytes,
    lost: stats.requestRingFull,
    abandoned: stats.abandoned,
    pureAcks: stats.pureAcks,
    duplicates: stats.duplicates,
    fragments: stats.fragments,
    oversize: stats.oversize,
    inert: stats.inert,
    unsampled: stats.unsampled,
  };
}
