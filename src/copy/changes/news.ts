/** What the main thread tells a data plane that runs, as plain data; and what it hears back. */
import type { EngineNumbers } from "../../engine/engine.ts";

/** Numbers that may change, with the units of DataPlaneConfig. */
export interface LiveNumbers extends EngineNumbers {
  sample: number;
  ramp: number;
  /** CPUs that all workers together may use; 0: as much as they need. */
  cpuLimit: number;
  /** UDP: see DatagramsConfig. */
  datagramTimeout: number;
  datagramIdleTimeout: number;
  /** Requests of a recording that start per second; 0: no limit. */
  rate: number;
  /** See changeNumbers (src/engine/change.ts). */
  round: number;
  since: number;
}

/** One change. The next one comes when every data plane has taken this one. */
export interface PlaneNews {
  /** Absent: they stay. */
  numbers?: LiveNumbers;
}

/** A data plane has taken what was published as version `taken`. */
export interface NewsTaken {
  taken: number;
}

/** Bytes of news, at most. */
export const NEWS_BYTES = 256 << 10;
