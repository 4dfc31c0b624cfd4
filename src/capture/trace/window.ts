/** The part of a byte stream that is in memory: bytes are added at the end and taken from the front. */
import { copyBytes } from "../../wire/copy.ts";

export class Window {
  bytes: Uint8Array;
  view: DataView;
  /** Where the unread bytes are: offsets into `bytes`. */
  start = 0;
  end = 0;
  /** Bytes of the stream before `start`. */
  position = 0;

  /** `size`: bytes; it grows if `reserve` asks for more. */
  constructor(size: number) {
    const memory = new ArrayBuffer(size);
    this.bytes = new Uint8Array(memory);
    this.view = new DataView(memory);
  }

  get available(): number {
    return this.end - this.start;
  }

  /** Makes room for `bytes` bytes from `start` on, and for at least one more than are available. May move the unread bytes. */
  reserve(bytes: number): void {
    const needed = Math.max(bytes, this.available + 1);
    if (this.start + needed <= this.bytes.length) return;
    if (needed > this.bytes.length) {
      const memory = new ArrayBuffer(Math.max(needed, this.bytes.length * 2));
      const bytes = new Uint8Array(memory);
      copyBytes(this.bytes, this.start, this.available, bytes, 0);
      this.bytes = bytes;
      this.view = new DataView(memory);
    } else {
      this.bytes.copyWithin(0, this.start, this.end);
    }
    this.end -= this.start;
    this.start = 0;
  }

  push(chunk: Uint8Array): void {
    this.reserve(this.available + chunk.length);
    copyBytes(chunk, 0, chunk.length, this.bytes, this.end);
    this.end += chunk.length;
  }

  /** Skips `bytes` of the available bytes. */
  skip(bytes: number): void {
    this.start += bytes;
    this.position += bytes;
  }
}
