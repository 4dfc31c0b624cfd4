/** Finds the end of an HTTP/1.1 body: by its length, by its last chunk, or when the connection closes. */
import { lineFeed } from "./head.ts";

const LF = 10;

/** The part of a chunked body that comes next (RFC 9112 section 7.1). */
const SIZE = 0;
const DATA = 1;
const TRAILER = 2;

/** Most characters of a chunk's size line; a longer one is malformed. */
const LONGEST_SIZE_LINE = 4096;

/** Takes bytes of the content: those of the body without the lines between chunks, and without trailers. */
export type ContentSink = (bytes: Uint8Array, from: number, to: number) => void;

export class Body {
  /** Bytes left in the body or chunk; Infinity: until the connection closes. */
  private rest = 0;
  private isChunked = false;
  private place = SIZE;
  private line = "";
  isOver = true;
  /** Bytes of the content so far. */
  length = 0;

  /** `length`: bytes; -1: in chunks; Infinity: until the connection closes. */
  begin(length: number): void {
    this.isChunked = length < 0;
    this.rest = this.isChunked ? 0 : length;
    this.place = SIZE;
    this.line = "";
    this.isOver = length === 0;
    this.length = 0;
  }

  /** Whether it goes on until the connection closes. */
  get isEndless(): boolean {
    return this.rest === Number.POSITIVE_INFINITY;
  }

  /** Takes the bytes that belong to the body and returns the index after them, at most `to`. Throws on a malformed chunk. */
  take(bytes: Uint8Array, from: number, to: number, content?: ContentSink | null): number {
    while (from < to && !this.isOver) {
      if (this.isChunked && this.place !== DATA) {
        from = this.takeLine(bytes, from, to);
        continue;
      }
      const end = from + this.takeData(to - from);
      content?.(bytes, from, end);
      from = end;
    }
    return from;
  }

  /** Skips bytes that were not captured, at most `count`; returns how many of them are known to be content. */
  skip(count: number): number {
    if (this.isOver || (this.isChunked && this.place !== DATA)) return 0;
    return this.takeData(count);
  }

  private takeData(count: number): number {
    const taken = Math.min(this.rest, count);
    this.rest -= taken;
    this.length += taken;
    if (this.rest > 0) return taken;
    // The line end after a chunk is read as an empty size line.
    if (this.isChunked) this.place = SIZE;
    else this.isOver = true;
    return taken;
  }

  private takeLine(bytes: Uint8Array, from: number, to: number): number {
    const lf = lineFeed(bytes, from, to);
    const end = lf < 0 ? to : lf + 1;
    for (let at = from; at < end; at++) this.line += String.fromCharCode(bytes[at]!);
    if (this.line.length > LONGEST_SIZE_LINE) throw new Error("a chunk without a size");
    if (end === to && bytes[end - 1] !== LF) return end;
    const line = this.line.trim();
    this.line = "";
    if (this.place === TRAILER) {
      if (line === "") this.isOver = true;
      return end;
    }
    if (line === "") return end;
    const size = /^[0-9a-f]{1,12}/i.exec(line);
    if (!size) throw new Error("a chunk without a size");
    this.rest = Number.parseInt(size[0], 16);
    this.place = this.rest === 0 ? TRAILER : DATA;
    return end;
  }
}
