/** The compressed protocol of a client (Protocol::CompressedPacket): frames of 3 bytes of length, a number, 3 of the length in full. */
import { inflateSync, zstdDecompressSync } from "node:zlib";
import { Malformed } from "./reader.ts";

export class Inflater {
  static readonly HEADER = 7;
  /** The client compresses from here on. */
  isOn = false;
  private pieces: Uint8Array = new Uint8Array(0);

  constructor(private readonly isZstd: boolean) {}

  reset(): void {
    this.pieces = new Uint8Array(0);
  }

  /** Whether these are the first bytes that the client compresses: those of its login have other numbers. */
  mayBegin(bytes: Uint8Array, from: number, to: number): boolean {
    if (to - from > 3 && bytes[from + 3] !== 0) return false;
    this.isOn = true;
    return true;
  }

  /** Hands what is in the frames on, frame by frame. Throws Malformed. */
  take(bytes: Uint8Array, from: number, to: number, sink: (bytes: Uint8Array) => void): void {
    const joined = new Uint8Array(this.pieces.length + to - from);
    joined.set(this.pieces);
    joined.set(bytes.subarray(from, to), this.pieces.length);
    let at = 0;
    while (joined.length - at >= Inflater.HEADER) {
      const length = joined[at]! | (joined[at + 1]! << 8) | (joined[at + 2]! << 16);
      const whole = joined[at + 4]! | (joined[at + 5]! << 8) | (joined[at + 6]! << 16);
      const end = at + Inflater.HEADER + length;
      if (end > joined.length) break;
      const frame = joined.subarray(at + Inflater.HEADER, end);
      sink(whole === 0 ? frame : this.inflate(frame, whole));
      at = end;
    }
    this.pieces = joined.slice(at);
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
