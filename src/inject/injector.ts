/** What every injector offers: by packet socket (packet.ts) and by raw socket (raw.ts). */
import type { PacketBatch } from "../wire/batch.ts";

/**
 * Hands packets to the kernel. One instance belongs to one egress (interface and next hop) and one worker.
 * A send error never throws and never stops the rest of the batch: it is counted, and TCP retransmits.
 */
export interface Injector {
  readonly name: "packet" | "raw";
  /** Packets the kernel took, their IP bytes, and packets it refused, since the start. */
  packets: number;
  bytes: number;
  errors: number;
  /** errno of the last refusal, 0 if there was none. */
  lastError: number;
  /** Sends every row in order. Does not clear the batch. */
  send(batch: PacketBatch): void;
  /** Looks the next hop up again and keeps its neighbour entry alive. Cheap; called about once a second. */
  refresh(): void;
  close(): void;
}
