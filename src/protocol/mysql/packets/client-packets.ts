/**
 * Splits the client's stream into packets. The beginning of each packet is collected, so that it can be judged; the rest is
 * passed on as it comes.
 */
import { MOST_PAYLOAD } from "./constants.ts";
import { HEADER } from "./packets.ts";
import { integer24 } from "./reader.ts";

/** Most payload bytes that are collected: enough to judge or rewrite a command, and few enough for one segment of the engine. */
export const MOST_JUDGED = 65000;

export interface ClientSink {
  /**
   * Whether a packet with this header may come now; if not, it and all bytes that came with it are passed over. `length`: of its
   * payload.
   */
  mayBegin(length: number, sequence: number): boolean;
  /**
   * A packet begins: its header is at `at` in `bytes`, followed by the first `known` bytes of its payload of `length` bytes. The
   * others come by `rest`.
   */
  packet(bytes: Uint8Array, at: number, known: number, length: number, sequence: number): void;
  /**
   * More bytes of the packet, or of a packet that continues it. In the second case they begin with its header. `payload`: offset
   * of the first payload byte. `isEnd`: nothing follows.
   */
  rest(bytes: Uint8Array, from: number, to: number, payload: number, isEnd: boolean): void;
}

export class ClientPackets {
  private pieces: Uint8Array | null = null;
  private left = 0;
  private continues = false;
  /** Sequence number of the packet that began last. */
  number = 0;

  constructor(private readonly sink: ClientSink) {}

  /** Whether the next byte begins a packet. */
  get isBetween(): boolean {
    return this.pieces === null && this.left === 0;
  }

  /** Drops an incomplete packet: the next byte begins a packet. */
  reset(): void {
    this.pieces = null;
    this.left = 0;
    this.continues = false;
  }

  take(bytes: Uint8Array, from: number, to: number): void {
    while (from < to) {
      if (this.left > 0) {
        const end = Math.min(to, from + this.left);
        this.left -= end - from;
        this.sink.rest(bytes, from, end, from, this.isBetween && !this.continues);
        from = end;
        continue;
      }
      if (this.pieces !== null) {
        const before = this.pieces.length;
        const joined = new Uint8Array(Math.min(before + to - from, HEADER + MOST_JUDGED));
        joined.set(this.pieces);
        joined.set(bytes.subarray(from, from + joined.length - before), before);
        this.pieces = null;
        const taken = this.begin(joined, 0, joined.length);
        if (taken === 0) {
          this.pieces = joined;
          return;
        }
        from += taken - before;
        continue;
      }
      const taken = this.begin(bytes, from, to);
      if (taken === 0) {
        this.pieces = bytes.slice(from, to);
        return;
      }
      from += taken;
    }
  }

  /** If the beginning of a packet is complete, passes it on and returns its bytes; else returns 0. */
  private begin(bytes: Uint8Array, from: number, to: number): number {
    if (to - from < HEADER) return 0;
    const length = integer24(bytes, from);
    const isContinuation = this.continues;
    if (!isContinuation && !this.sink.mayBegin(length, bytes[from + 3]!)) return to - from;
    const known = Math.min(length, MOST_JUDGED);
    if (to - from < HEADER + known) return 0;
    this.continues = length === MOST_PAYLOAD;
    this.left = length - known;
    this.number = isContinuation ? (this.number + 1) & 0xff : bytes[from + 3]!;
    // In compressed frames, clients number continuing packets in different ways.
    if (this.number !== bytes[from + 3]) bytes[from + 3] = this.number;
    const end = from + HEADER + known;
    if (isContinuation) this.sink.rest(bytes, from, end, from + HEADER, this.left === 0 && !this.continues);
    else this.sink.packet(bytes, from, known, length, bytes[from + 3]!);
    return HEADER + known;
  }
}
