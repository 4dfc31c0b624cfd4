/**
 * Reads captured requests out of their rings into the engine, so that bursts find room: the rings first, then the engine, which
 * keeps what waits within -m.
 */
import type { RequestSource } from "../../capture/source.ts";
import { monotonicMicroseconds } from "../../native/libc.ts";
import type { Packet } from "../../wire/packet.ts";
import type { DataPlaneConfig } from "./config.ts";
import { INDEX } from "./shared.ts";

/** Bytes of a round, as many as a batch has: what is due is sent before more is read. */
const ROUND_BYTES = 4 << 20;
/** us that a round reads on while the rings are crowded. */
const MOST_READING = 20_000;
/** us that requests stay in the rings at most. */
const MOST_LEFT = 200_000;
/** The share of what the rings have that the engine keeps before requests stay in the rings. */
const RESERVE_SHARE = 1 / 2;

/**
 * Bytes that the engine keeps before requests stay in the rings until these are crowded: the first use of more memory can cost
 * more than sending does. So much is made ready after the start.
 */
export function reserveOf({ source, memory }: Pick<DataPlaneConfig, "source" | "memory">): number {
  const rings = source?.kind === "rings" ? source.rings.length * source.ringBytes : 0;
  return Math.min(rings * RESERVE_SHARE, memory / 2);
}

export class RequestReading {
  /** `limit`: records of a round; `counters`: those of the data plane; `reserve`: see `reserveOf`. */
  constructor(
    private readonly source: RequestSource,
    private readonly sink: (packet: Packet) => void,
    private readonly counters: Float64Array,
    private readonly limit: number,
    private readonly reserve: number,
  ) {}

  /** Reads a round of requests and returns how many; where the rings are crowded it reads on before anything is sent. `now`: us. */
  take(now: number): number {
    const { source } = this;
    if (this.counters[INDEX.memory]! > this.reserve && this.mayStay(now)) return 0;
    let taken = source.drain(this.sink, this.limit, now, ROUND_BYTES);
    while ((source.isCrowded ?? source.isFilling) && monotonicMicroseconds() - now < MOST_READING) {
      const more = source.drain(this.sink, this.limit, now, ROUND_BYTES);
      if (more === 0) break;
      taken += more;
    }
    return taken;
  }

  private mayStay(now: number): boolean {
    return this.source.isCrowded === false && (this.source.oldest ?? 0) > now - MOST_LEFT;
  }
}
