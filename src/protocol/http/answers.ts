/** Reads the stream of answers that one side sends: finds their heads, their content, and their ends. */
import { Body, type ContentSink } from "./body.ts";
import {
  endOfHead,
  type Fields,
  isVersion,
  LONGEST_HEAD,
  lineFeed,
  readStatus,
  skipEmptyLines,
} from "./head.ts";

/** What `AnswerSink.head` returns for an interim answer (1xx): another head follows. */
export const INTERIM = -10;
/** What it returns where the connection goes on with another protocol. */
export const STOP = -11;

const NONE: Uint8Array = new Uint8Array(0);
/** Bytes that are kept to put a head together, between heads. */
const MOST_PIECES = 4096;

export interface AnswerSink {
  /**
   * A head: its status, and its bytes from `from` to `to`, which `fields` were read of. `isWhole`: else its rest was not captured. `at`:
   * when its first byte came, us. Returns the bytes of the body; -1: in chunks; Infinity: until the connection closes; INTERIM, STOP.
   */
  head(
    status: number,
    fields: Fields,
    bytes: Uint8Array,
    from: number,
    to: number,
    isWhole: boolean,
    at: number,
  ): number;
  /** The answer has ended, with the bytes that came at `at`, us. */
  end(at: number): void;
  /** Where the answer ends, or that it is one, cannot be seen: nothing is read any more until `begin`. */
  lost(): void;
}

export class AnswerReader {
  readonly body = new Body();
  isLost = false;
  /** When the last bytes of the answer came that is being read, us. */
  at = 0;
  /** Whether a part of the content of the answer was not captured. */
  hasUnseen = false;
  private isStopped = false;
  /** Bytes of another answer may come before the next one. */
  seeks = false;
  /** Such bytes came. */
  hasSkipped = false;
  /** The head that is not complete yet, and its bytes. */
  private pieces = NONE;
  private size = 0;
  private firstAt = 0;

  /** `fields`: what heads are read into; several readers may have the same. `content`: takes the content. */
  constructor(
    private readonly fields: Fields,
    private readonly sink: AnswerSink,
    private readonly content: ContentSink | null,
  ) {}

  /** Whether an answer has begun, of which the end has not come. */
  get isWithin(): boolean {
    return this.size > 0 || !this.body.isOver;
  }

  /** The next bytes begin an answer. `seeks`: bytes of another one may come before; a segment begins with the answer. */
  begin(seeks: boolean): void {
    this.body.begin(0);
    this.size = 0;
    this.isLost = false;
    this.isStopped = false;
    this.seeks = seeks;
    this.hasSkipped = false;
  }

  /**
   * Takes `bytes` from `from` to `to`, then `missing` that were not captured, to the end of an answer at most; returns how many of
   * them. `at`: when they came, us.
   */
  take(bytes: Uint8Array, from: number, to: number, missing: number, at: number): number {
    const start = from;
    const total = to - from + missing;
    if (this.isLost) this.at = at;
    while (from < to) {
      if (this.isLost || this.isStopped) return total;
      if (this.body.isOver) from = this.takeHead(bytes, from, to, missing > 0, at);
      else from = this.takeBody(bytes, from, to, at);
      if (from < 0) return -from - 1 - start;
    }
    if (missing === 0 || this.isLost || this.isStopped || this.seeks) return total;
    const skipped = this.body.skip(missing);
    if (skipped > 0) {
      this.at = at;
      this.hasUnseen = true;
    }
    if (skipped > 0 && this.body.isOver) {
      this.sink.end(at);
      return to - start + skipped;
    }
    if (skipped < missing) this.lose();
    return total;
  }

  /** Where the answer ends cannot be seen. */
  lose(): void {
    this.isLost = true;
    this.seeks = false;
    this.size = 0;
    this.body.begin(0);
    this.sink.lost();
  }

  /** The index after what was taken; -1 minus it where the answer has ended. */
  private takeBody(bytes: Uint8Array, from: number, to: number, at: number): number {
    this.at = at;
    let end: number;
    try {
      end = this.body.take(bytes, from, to, this.content);
    } catch {
      this.lose();
      return to;
    }
    if (!this.body.isOver) return end;
    this.sink.end(at);
    return -end - 1;
  }

  private takeHead(bytes: Uint8Array, from: number, to: number, isCut: boolean, at: number): number {
    const isFirst = this.size === 0;
    if (isFirst) {
      const begin = skipEmptyLines(bytes, from, to);
      if (begin === to) return to;
      if (this.seeks && !(to - begin >= 8 && isVersion(bytes, begin, to))) {
        this.hasSkipped = true;
        return to;
      }
      this.seeks = false;
      from = begin;
      this.firstAt = at;
    }
    const before = this.size;
    if (!isFirst) this.append(bytes, from, to);
    const [head, begin, limit] = isFirst ? [bytes, from, to] : [this.pieces, 0, this.size];
    const end = endOfHead(head, isFirst ? begin : Math.max(0, before - 3), limit);
    this.at = at;
    if (end >= 0) {
      const next = isFirst ? end : from + end - before;
      this.size = 0;
      if (this.pieces.length > MOST_PIECES) this.pieces = NONE;
      return this.readHead(head, begin, end, at, next, to);
    }
    if (!isVersion(head, begin, limit)) {
      this.lose();
      return to;
    }
    if (!isCut && limit - begin < LONGEST_HEAD) {
      if (isFirst) this.append(bytes, from, to);
      return to;
    }
    this.size = 0;
    const status = readStatus(head, begin, limit);
    if (status >= 200 || status === 101) {
      this.fields.read(head, lineFeed(head, begin, limit) + 1 || limit, limit);
      this.sink.head(status, this.fields, head, begin, limit, false, this.firstAt);
    }
    this.lose();
    return to;
  }

  private readHead(
    head: Uint8Array,
    begin: number,
    end: number,
    at: number,
    next: number,
    to: number,
  ): number {
    const status = readStatus(head, begin, end);
    if (status === 0) {
      this.lose();
      return to;
    }
    const { fields } = this;
    fields.read(head, lineFeed(head, begin, end) + 1, end);
    this.hasUnseen = false;
    const length = this.sink.head(status, fields, head, begin, end, true, this.firstAt);
    if (length === INTERIM) return next;
    if (length === STOP) {
      this.isStopped = true;
      return next;
    }
    if (fields.isUnclear && length !== 0) {
      this.lose();
      return to;
    }
    this.body.begin(length);
    if (!this.body.isOver) return next;
    this.sink.end(at);
    return -next - 1;
  }

  private append(bytes: Uint8Array, from: number, to: number): void {
    const size = this.size + to - from;
    if (size > this.pieces.length) {
      const grown = new Uint8Array(Math.max(2 * this.pieces.length, size, 512));
      grown.set(this.pieces.subarray(0, this.size));
      this.pieces = grown;
    }
    this.pieces.set(bytes.subarray(from, to), this.size);
    this.size = size;
  }
}

/** The bytes of the body of an answer, by its status and fields (RFC 9112 section 6.3); as `AnswerSink.head` returns them. */
export function bodyLength(status: number, fields: Fields, isHead: boolean): number {
  if (isHead || status === 204 || status === 304) return 0;
  if (fields.length >= 0) return fields.length;
  return fields.length === -1 && !fields.isCoded ? -1 : Number.POSITIVE_INFINITY;
}
