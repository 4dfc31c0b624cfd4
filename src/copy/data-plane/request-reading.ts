/**
 * Reads captured requests out of their rings into the engine, so that bursts find room: the rings first, then the engine, which
 * keeps what waits within -m. What production drops for its checksums goes no further.
 */

import { checkIpHeader, checkTransport, MERGED, OFFLOADED, WRONG } from "../../capture/integrity.ts";
import { FRAGMENT_INDEX, OUTGOING, SEGMENT_FRAGMENT_INDEX } from "../../capture/record-index.ts";
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
 * more than sending does. Of so much, memory is kept ready (src/native/page.ts).
 */
export function reserveOf({ source, memory }: Pick<DataPlaneConfig, "source" | "memory">): number {
  const rings = source?.kind === "rings" ? source.rings.length * source.ringBytes : 0;
  return Math.min(rings * RESERVE_SHARE, memory / 2);
}

/**
 * What is accepted of packets besides right checksums (see integrity.ts), by what a source can tell: programs whether a packet was
 * merged, packet sockets also whether its checksum is still to be finished, the others neither.
 */
export function acceptedOf({ source }: Pick<DataPlaneConfig, "source">): number {
  if (source?.kind === "packet") return 0;
  return source?.kind === "rings" ? OFFLOADED : OFFLOADED | MERGED;
}

export class RequestReading {
  private readonly passOne = (packet: Packet): void => this.pass(packet);

  /**
   * `limit`: records of a round; `counters`: those of the data plane; `reserve`: see `reserveOf`; `accepted`: see `acceptedOf`.
   */
  constructor(
    private readonly source: RequestSource,
    private readonly sink: (packet: Packet) => void,
    private readonly counters: Float64Array,
    private readonly limit: number,
    private readonly reserve: number,
    private readonly accepted: number,
  ) {}

  /** Reads a round of requests and returns how many; where the rings are crowded it reads on before anything is sent. `now`: us. */
  take(now: number): number {
    const { source } = this;
    if (this.counters[INDEX.memory]! > this.reserve && this.mayStay(now)) return 0;
    let taken = source.drain(this.passOne, this.limit, now, ROUND_BYTES);
    while ((source.isCrowded ?? source.isFilling) && monotonicMicroseconds() - now < MOST_READING) {
      const more = source.drain(this.passOne, this.limit, now, ROUND_BYTES);
      if (more === 0) break;
      taken += more;
    }
    return taken;
  }

  /** Passes a packet on, if its checksums are right; those of fragments are known when they are put together. */
  private pass(packet: Packet): void {
    if (packet.index < OUTGOING && this.isDamaged(packet)) this.counters[INDEX.checksumErrors]!++;
    else this.sink(packet);
  }

  private isDamaged(packet: Packet): boolean {
    if (checkIpHeader(packet, this.accepted) === WRONG) return true;
    const isFragment = packet.index === FRAGMENT_INDEX || packet.index === SEGMENT_FRAGMENT_INDEX;
    return !isFragment && checkTransport(packet, this.accepted) === WRONG;
  }

  private mayStay(now: number): boolean {
    return this.source.isCrowded === false && (this.source.oldest ?? 0) > now - MOST_LEFT;
  }
}
