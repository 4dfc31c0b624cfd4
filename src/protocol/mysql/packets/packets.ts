/**
 * Splits a stream, which comes in any pieces, into packets (3 bytes of length, a sequence number, the payload). The beginning
 * of each packet is collected, the rest is skipped.
 */
import { MOST_PAYLOAD } from "./constants.ts";

/** Bytes of a packet's header: the length of its payload, and a sequence number. */
export const HEADER = 4;

/** Takes a packet: `bytes` from `from` to `to` are the beginning of its payload of `length` bytes. */
export type PacketSink = (
  bytes: Uint8Array,
  from: number,
  to: number,
  length: number,
  sequence: number,
) => void;

export class PacketStream {
  private kept = new Uint8Array(64);
  private keptLength = 0;
  /** Bytes of the packet that are still to be skipped. */
  private skip = 0;
  /** The packet before had the maximum length: the next one continues it. */
  private continues = false;
  /** Bytes of packets so far that continue others. */
  continued = 0;

  /** `most`: most bytes of each payload that the sink gets; may be changed between packets. */
  constructor(
    public most: number,
    private readonly sink: PacketSink,
  ) {}

  /** Whether the next byte begins a packet. */
  get isBetween(): boolean {
    return this.keptLength === 0 && this.skip === 0;
  }

  /** Drops an incomplete packet: the next byte begins a packet. */
  reset(): void {
    this.keptLength = 0;
    this.skip = 0;
    this.continues = false;
  }

  /** Takes bytes, and calls the sink for each packet whose beginning is complete, but not for packets that continue another. */
  take(bytes: Uint8Array, from: number, to: number): void {
    while (from < to) {
      if (this.skip > 0) {
        const skipped = Math.min(this.skip, to - from);
        this.skip -= skipped;
        from += skipped;
        continue;
      }
      if (this.keptLength === 0 && to - from >= HEADER) {
        const length = bytes[from]! | (bytes[from + 1]! << 8) | (bytes[from + 2]! << 16);
        const wanted = HEADER + Math.min(length, this.most);
        if (to - from >= wanted) {
          this.hand(bytes, from, length);
          from += wanted;
          continue;
        }
      }
      from = this.keep(bytes, from, to);
    }
  }

  /** Skips `count` bytes that were not captured; false if a packet begins among them. */
  pass(count: number): boolean {
    if (count > this.skip) return count === 0;
    this.skip -= count;
    return true;
  }

  private keep(bytes: Uint8Array, from: number, to: number): number {
    let wanted = HEADER;
    if (this.keptLength >= HEADER) wanted = this.wanted();
    while (from < to && this.keptLength < wanted) {
      if (this.keptLength === this.kept.length) {
        const grown = new Uint8Array(4 * this.keptLength);
        grown.set(this.kept);
        this.kept = grown;
      }
      this.kept[this.keptLength++] = bytes[from++]!;
      if (this.keptLength === HEADER) wanted = this.wanted();
    }
    if (this.keptLength >= HEADER && this.keptLength === wanted) {
      this.keptLength = 0;
      this.hand(this.kept, 0, this.kept[0]! | (this.kept[1]! << 8) | (this.kept[2]! << 16));
    }
    return from;
  }

  private wanted(): number {
    const length = this.kept[0]! | (this.kept[1]! << 8) | (this.kept[2]! << 16);
    return HEADER + Math.min(length, this.most);
  }

  private hand(bytes: Uint8Array, from: number, length: number): void {
    const known = Math.min(length, this.most);
    this.skip = length - known;
    const isContinuation = this.continues;
    this.continues = length === MOST_PAYLOAD;
    if (isContinuation) {
      this.continued += HEADER + length;
      return;
    }
    this.sink(bytes, from + HEADER, from + HEADER + known, length, bytes[from + 3]!);
  }
}
