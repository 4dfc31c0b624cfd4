/**
 * Finds where the blocks and frames of a zstd stream end (RFC 8878 section 3.1), without decoding them. node:zlib reports no
 * error for a stream that ends within a frame, waits for ever on data that is not a frame, and can make 128 KiB of 4 bytes.
 * So it is given whole blocks, few at a time.
 */
import { TraceError } from "./frame.ts";
import type { Window } from "./window.ts";

const MAGIC = 0xfd2fb528;
const SKIPPABLE = 0x184d2a50;
const SKIPPABLE_HEADER = 8;
const BLOCK_HEADER = 3;
const RLE = 1;
const RESERVED = 3;
/** Bytes of a header field by its two flag bits. In a single segment the content size has one byte where the bits are 0. */
const DICTIONARY_BYTES = [0, 1, 2, 4];
const CONTENT_BYTES = [0, 2, 4, 8];
const CHECKSUM_BYTES = 4;

/** Whether a file that begins with this word (read in network order) is compressed by zstd. */
export function isZstdMagic(magic: number): boolean {
  const word = ((magic & 0xff) << 24) | ((magic & 0xff00) << 8) | ((magic >>> 8) & 0xff00) | (magic >>> 24);
  return word >>> 0 === MAGIC || (word & 0xfffffff0) >>> 0 === SKIPPABLE;
}

export class ZstdFrames {
  #isInFrame = false;
  #hasChecksum = false;
  /** Bytes still to come of the current header, block or skippable frame. */
  #left = 0;

  /** Whether the stream may end here. */
  get isWhole(): boolean {
    return !this.#isInFrame && this.#left === 0;
  }

  /**
   * Number of bytes from the window's start to give to the decoder: at most `limit` headers and blocks, or parts of them. 0 if
   * more bytes are needed. Throws a TraceError for data that is not a frame.
   */
  measure(window: Window, limit: number): number {
    const { view, end } = window;
    let at = window.start;
    for (let count = 0; count < limit; count++) {
      const step = Math.min(this.#left, end - at);
      at += step;
      this.#left -= step;
      if (this.#left > 0 || at === end) break;
      const size = this.#isInFrame ? this.#block(view, at, end) : this.#frame(view, at, end, window);
      if (size === 0) break;
      this.#left = size;
    }
    return at - window.start;
  }

  /** Bytes of the block at `at`, with the checksum after the last one; 0 if its header is not there yet. */
  #block(view: DataView, at: number, end: number): number {
    if (at + BLOCK_HEADER > end) return 0;
    const header = view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
    const type = (header >> 1) & 3;
    const isLast = (header & 1) === 1;
    // The decoder reports a reserved type as an error.
    const content = type === RLE ? 1 : type === RESERVED ? 0 : header >>> 3;
    if (isLast) this.#isInFrame = false;
    return BLOCK_HEADER + content + (isLast && this.#hasChecksum ? CHECKSUM_BYTES : 0);
  }

  /** Bytes of the frame's header, or of a whole skippable frame; 0 if the header is not there yet. */
  #frame(view: DataView, at: number, end: number, window: Window): number {
    if (at + 5 > end) return 0;
    const magic = view.getUint32(at, true);
    if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE) {
      return at + SKIPPABLE_HEADER > end ? 0 : SKIPPABLE_HEADER + view.getUint32(at + 4, true);
    }
    if (magic !== MAGIC) {
      // The bytes before it are decoded first.
      if (at > window.start) return 0;
      throw new TraceError(window.position, "the compressed data is not a zstd frame");
    }
    const descriptor = view.getUint8(at + 4);
    const isSingleSegment = (descriptor & 0x20) !== 0;
    const content = CONTENT_BYTES[descriptor >> 6]! || (isSingleSegment ? 1 : 0);
    this.#isInFrame = true;
    this.#hasChecksum = (descriptor & 4) !== 0;
    return 5 + (isSingleSegment ? 0 : 1) + DICTIONARY_BYTES[descriptor & 3]! + content;
  }
}
