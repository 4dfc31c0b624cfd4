/** The interface of all injectors: of frames (packet.ts), and of IP packets (ip.ts). */
import type { PacketBatch } from "../wire/batch.ts";

/**
 * Sends packets. One instance belongs to one egress (interface and next hop) and one worker.
 * A send error never throws and never stops the rest of the batch: it is counted, and TCP retransmits.
 */
export interface Injector {
  readonly name: "packet" | "cooked" | "raw";
  /** Packets that the kernel accepted, their IP bytes, and packets that it refused, since the start. */
  packets: number;
  bytes: number;
  errors: number;
  /** errno of the last refusal, 0 if there was none. */
  lastError: number;
  /** Sends every row in order. Does not clear the batch. */
  send(batch: PacketBatch): void;
  /** Looks up the next hop again and keeps its neighbour entry valid. Takes little time; called about once a second. */
  refresh(): void;
  close(): void;
}
