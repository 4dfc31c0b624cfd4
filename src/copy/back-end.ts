/** The interface of a capture back end, as the main thread uses it. */
import type { KernelCounter } from "../capture/counters.ts";
import type { Forwarded } from "../capture/local-maps.ts";
import type { AnsweringService, KernelService } from "../capture/services.ts";
import type { SourceConfig } from "../capture/source.ts";
import type { LocalPrefix } from "../native/netlink/local-prefixes.ts";
import type { CaptureCounts } from "./account/account.ts";

/** A back end that is open. */
export interface Capture {
  /** `tcx`, `packet`. */
  readonly name: string;
  /** How requests on an interface are captured, once it is attached: `XDP (generic)`. */
  wayOn(ifindex: number): string;
  /** For the data plane. */
  readonly source: SourceConfig;
  /** What is there for captured packets that wait to be read: `256 MB`. */
  readonly room: string;
  /**
   * Attaches to the first of these interfaces for a moment, and loads what all of them need: most of what `attach` may throw
   * shows then.
   */
  try(ifindexes: number[]): void;
  /**
   * Captures on these interfaces, of which some may be gone; may be called again for those that came later. Throws a Failure
   * (1, 2, 3, 4, 5).
   */
  attach(ifindexes: number[]): void;
  /** Tells it that an interface is gone. */
  forget(ifindex: number): void;
  /** Looks up again what may have changed of interfaces (MAC addresses); called when one has changed. */
  refresh(): void;
  /** Says which addresses are this host's; returns how many there is no room for. Null where it does not matter. */
  readonly setLocal: ((local: readonly LocalPrefix[]) => number) | null;
  /** Packets are captured by another filter (-F) from now on, null: by none; each is judged by one of the two. Throws a Failure (2, 5), and nothing is changed then. */
  setFilter(filter: string | null): void;
  /** These services are captured from now on, and what these send to clients. Throws an Error, where the kernel has no room. */
  setServices(services: KernelService[], answering: AnsweringService[]): void;
  /** A destination whose packets only passed through this host; null: there was none. */
  forwarded(): Forwarded | null;
  /** Stops capturing; what was captured can still be read. */
  stop(): void;
  counts(): Counts;
  /** Closes everything but the kernel programs. */
  close(): void;
}

export type Counts = Omit<CaptureCounts, "source" | "responsesLost" | "trace">;

/** The counts that all back ends have. */
export function countsOf(stats: Record<KernelCounter, number>): Counts {
  const { outgoingCaptured: packets, outgoingBytes: bytes, outgoingRingFull: lost } = stats;
  return {
    ...(packets + lost > 0 && { answers: { packets, bytes, lost } }),
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
    forwarded: stats.forwarded,
  };
}
