/** The compressed protocol of a client (Protocol::CompressedPacket): frames of 3 bytes of length, a number, 3 of the length in full. */
import { inflateSync, zstdDecompressSync } from "node:zlib";
import { Malformed } from "./reader.ts";

export class Inflater {
  static readonly HEADER = 7;
  /** The client compresses from here on. */
  isOn = false;
  /** What is not a whole frame yet: the first `length` bytes. */
  private pieces: Uint8Array = new Uint8Array(0);
  private length = 0;

  constructor(private readonly isZstd: boolean) {}

  reset(): void {
    this.length = 0;
  }

  /** Whether these are the first bytes that the client compresses: those of its login have other numbers. */
  mayBegin(bytes: Uint8Array, from: number, to: number): boolean {
    if (to - from > 3 && bytes[from + 3] !== 0) return false;
    this.isOn = true;
    return true;
  }

  /** Hands what is in the frames on, frame by frame. Throws Malformed. */
  take(bytes: Uint8Array, from: number, to: number, sink: (bytes: Uint8Array) => void): void {
    const end = this.length + to - from;
    if (end > this.pieces.length) {
      const grown = new Uint8Array(Math.max(end, 2 * this.length));
      grown.set(this.pieces.subarray(0, this.length));
      this.pieces = grown;
    }
    const joined = this.pieces;
    joined.set(bytes.subarray(from, to), this.length);
    this.length = end;
    let at = 0;
    while (this.length - at >= Inflater.HEADER) {
      const length = joined[at]! | (joined[at + 1]! << 8) | (joined[at + 2]! << 16);
      const whole = joined[at + 4]! | (joined[at + 5]! << 8) | (joined[at + 6]! << 16);
      const next = at + Inflater.HEADER + length;
      if (next > this.length) break;
      const frame = joined.subarray(at + Inflater.HEADER, next);
      sink(whole === 0 ? frame : this.inflate(frame, whole));
      at = next;
    }
    joined.copyWithin(0, at, this.length);
    this.length -= at;
  }

  private inflate(frame: Uint8Array, whole: number): Uint8Array {
    try {
      const bounds = { maxOutputLength: whole };
      return this.isZstd ? zstdDecompressSync(frame, bounds) : inflateSync(frame, bounds);
    } catch {
      throw new Malformed("a compressed packet that is none");
    }
  }
}
