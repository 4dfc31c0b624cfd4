/** The part of a stream of bytes that is in memory: added to at the end, taken from the front. */
import { copyBytes } from "../../wire/copy.ts";

export class Window {
  bytes: Uint8Array;
  view: DataView;
  /** What is there: offsets into `bytes`. */
  start = 0;
  end = 0;
  /** Bytes of the stream before `start`. */
  position = 0;

  /** `size`: bytes, at least what `reserve` will be asked for most of the time. */
  constructor(size: number) {
    const memory = new ArrayBuffer(size);
    this.bytes = new Uint8Array(memory);
    this.view = new DataView(memory);
  }

  get available(): number {
    return this.end - this.start;
  }

  /** Makes room for `bytes` bytes from `start` on, and for at least one more than there are. What was read moves. */
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

  /** Steps over `bytes` bytes that are there. */
  skip(bytes: number): void {
    this.start += bytes;
    this.position += bytes;
  }
}
