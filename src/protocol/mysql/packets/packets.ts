/**
 * A stream of packets (3 bytes of length, a sequence number, the payload) walked over, whatever pieces it comes in. Of each
 * packet the beginning is put together, the rest is stepped over.
 */
import { MOST_PAYLOAD } from "./constants.ts";

/** Bytes before a payload: its length, and a sequence number. */
export const HEADER = 4;

/** Takes a packet: `bytes` from `from` to `to` are the beginning of its payload, `length` its bytes, all of them. */
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
  /** Bytes of the packet that are still to be stepped over. */
  private skip = 0;
  /** The packet before was as long as one can be: the next goes on with it. */
  private continues = false;

  /** `most`: bytes of each payload that the sink gets at most; may be changed between packets. */
  constructor(
    public most: number,
    private readonly sink: PacketSink,
  ) {}

  /** Whether a packet begins with the next byte. */
  get isBetween(): boolean {
    return this.keptLength === 0 && this.skip === 0;
  }

  /** Forgets what has come: a packet begins with the next byte. */
  reset(): void {
    this.keptLength = 0;
    this.skip = 0;
    this.continues = false;
  }

  /** Takes bytes. The sink is called for each packet whose beginning is complete; packets that go on with another are left out. */
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

  /** Steps over bytes that are not known; false if the beginning of a packet may be among them. */
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
    if (isContinuation) return;
    this.sink(bytes, from + HEADER, from + HEADER + known, length, bytes[from + 3]!);
  }
}
