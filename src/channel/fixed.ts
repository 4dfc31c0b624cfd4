/** Reads messages of fixed sizes from a stream of bytes: the framing of tcpcopy 1.x, which has no lengths. */
import { copyBytes } from "../wire/copy.ts";

/** Takes a message of the size that was asked for, at `at` in `bytes` during the call. False if no more is wanted. */
export type TakeMessage = (bytes: Uint8Array, view: DataView, at: number) => boolean;

/** Hands on messages that are whole in the given bytes in place; collects the others until they are complete. */
export class FixedReader {
  readonly #part: Uint8Array;
  readonly #partView: DataView;
  #used = 0;
  #source: Uint8Array;
  #sourceView: DataView;
  readonly #size: () => number;
  readonly #take: TakeMessage;

  /** `size`: bytes of the message that comes next, at most `most`. */
  constructor(most: number, size: () => number, take: TakeMessage) {
    this.#part = new Uint8Array(new ArrayBuffer(most));
    this.#partView = new DataView(this.#part.buffer);
    this.#source = this.#part;
    this.#sourceView = this.#partView;
    this.#size = size;
    this.#take = take;
  }

  /** Ready for a new connection. */
  reset(): void {
    this.#used = 0;
  }

  /** Takes what came next: `bytes` from `from` to `to`, which may be used again after the call. */
  feed(bytes: Uint8Array, from: number, to: number): void {
    if (bytes !== this.#source) {
      this.#source = bytes;
      this.#sourceView = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
    while (from < to) {
      const size = this.#size();
      if (this.#used === 0 && to - from >= size) {
        if (!this.#take(bytes, this.#sourceView, from)) return;
        from += size;
        continue;
      }
      const count = Math.min(size - this.#used, to - from);
      copyBytes(bytes, from, count, this.#part, this.#used);
      this.#used += count;
      from += count;
      if (this.#used < size) return;
      this.#used = 0;
      if (!this.#take(this.#part, this.#partView, 0)) return;
    }
  }
}
