/** The ways to the targets as they are now, in memory that the main thread writes and every data plane reads. */
import type { EgressConfig } from "../../inject/path.ts";
import { createPublished, PublishedReader, publishData } from "../../runtime/published.ts";

/** One of the egresses that injectors send by. */
export interface PublishedEgress {
  config: EgressConfig;
  /** Another number: its interface was made anew, with the same index. */
  epoch: number;
}

export interface PublishedWay {
  /** Index into `egresses`. */
  egress: number;
  /** The address of this host that its packets are sent from; null: it is given by the paths, and stays. */
  source: Uint8Array | null;
  /** Whether nothing is sent. */
  isHeld: boolean;
}

/** `ways`: in the order of the configuration. */
export interface PublishedWays {
  egresses: PublishedEgress[];
  ways: PublishedWay[];
}

/** Bytes for the ways to one target, at most, with its egress. */
const BYTES_PER_WAY = 1024;
const BYTES = 4096;

/** Memory for the ways to so many targets. */
export function createPublishedWays(ways: number): SharedArrayBuffer {
  return createPublished(BYTES + ways * BYTES_PER_WAY);
}

/** Writes the ways; only the main thread does. Returns the version that they have; the first is 1. */
export function publishWays(memory: SharedArrayBuffer, ways: PublishedWays): number {
  return publishData(memory, ways);
}

/** Reads the ways, one data plane's side. */
export class WaysReader extends PublishedReader<PublishedWays> {}
