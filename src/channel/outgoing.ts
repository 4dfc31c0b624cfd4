/**
 * What waits to be written to one peer: whole frames in a bounded ring. When a slow reader lets it fill up, the oldest
 * frames are discarded and counted, except one whose writing has begun: that is always finished.
 *
 * Frames are opaque here, so that both wire formats can use it. What is being written is apart from the ring, in one
 * piece: `bytes` from `from` to `to`, filled by `fill`. Where a seal is set, it is made into records there: what waits in the
 * ring can still be discarded, and no record is left out that the other side counts on.
 */
import { copyBytes } from "../wire/copy.ts";

/** Most bytes of a frame of any kind. */
export const MOST_FRAME = 65536;
/** Bytes that a record has before and behind its frames. */
export const RECORD_FRONT = 8;
export const RECORD_BACK = 16;
const RECORD_OVERHEAD = RECORD_FRONT + RECORD_BACK;
/** Bytes for what is being written: one frame of any kind, as a record. */
const FRONT = MOST_FRAME + RECORD_OVERHEAD;

/** Makes a record of frames. */
export interface Seal {
  /** Whether it can make no more. */
  readonly isSpent: boolean;
  /**
   * Seals in place: the frames in `bytes` from `at` + RECORD_FRONT to `to`, with RECORD_BACK bytes free behind them. Returns where
   * the record ends.
   */
  seal(bytes: Uint8Array, view: DataView, at: number, to: number): number;
}

/** Before each frame in the ring: its length, then its items twice, plus 1 if it is not to be discarded. */
const PREFIX = 8;
const KEPT = 1;
const NONE = -1;

export class Outgoing {
  /** Made as an ArrayBuffer first and never moved, but replaced by `expand`. */
  bytes: Uint8Array;
  view: DataView;
  /** What to write next: `bytes` from `from` to `to`. */
  from = 0;
  to = 0;
  /** Items (records, flows, messages) and bytes that were discarded, since it was made. */
  discarded = 0;
  discardedBytes = 0;
  #words: Uint32Array;
  /** Bytes in front of the ring, where frames are written from. */
  #front: number;
  #end: number;
  #head: number;
  #tail: number;
  /** Where the frames before the end of the ring end, while they go on at its beginning. */
  #wrap: number;
  #queued = 0;
  /** Prefix of the frame that is still open, its kind, its bytes, its items and the bytes it may have. */
  #open = NONE;
  #kind = 0;
  #length = 0;
  #items = 0;
  #most = 0;
  #flags = 0;
  #seal: Seal | null = null;

  /** `capacity`: bytes of the ring, at least twice the longest frame; a multiple of 8, as `front` is. */
  constructor(capacity: number, front = FRONT) {
    const memory = new ArrayBuffer(front + capacity);
    this.bytes = new Uint8Array(memory);
    this.view = new DataView(memory);
    this.#words = new Uint32Array(memory);
    this.#front = front;
    this.#end = front + capacity;
    this.#head = front;
    this.#tail = front;
    this.#wrap = this.#end;
  }

  get isEmpty(): boolean {
    return this.from === this.to && this.#head === this.#tail && this.#open === NONE;
  }

  /** Bytes that wait, those that are being written included. */
  get waiting(): number {
    return this.to - this.from + this.#queued + this.#length;
  }

  /** Bytes that the open frame may still grow by; 0 if none of this kind is open. */
  room(kind: number): number {
    return this.#open !== NONE && this.#kind === kind ? this.#most - this.#length : 0;
  }

  /** Offset of the open frame's first byte. */
  get start(): number {
    return this.#open + PREFIX;
  }

  /** Bytes and items of the open frame. */
  get length(): number {
    return this.#length;
  }
  get items(): number {
    return this.#items;
  }

  /**
   * Opens an empty frame of at most `most` bytes after all others. `kind` (not 0): only a caller with the same kind may
   * continue it, see `room`. A `kept` frame is discarded only if there is no other way.
   */
  open(kind: number, most: number, kept: boolean): void {
    this.#close();
    const need = (PREFIX + most + 7) & ~7;
    if (most + this.#overhead > this.#front || need > this.#end - this.#front) {
      throw new RangeError(`Cannot hold a frame of ${most} bytes`);
    }
    while (!this.#place(need)) this.#discard();
    this.#open = this.#tail;
    this.#kind = kind;
    this.#most = most;
    this.#flags = kept ? KEPT : 0;
  }

  /** Lets the open frame grow by `length` bytes and `items` items; returns the offset of the new bytes. */
  grow(length: number, items: number): number {
    const at = this.#open + PREFIX + this.#length;
    this.#length += length;
    this.#items += items;
    return at;
  }

  /** From now on all that is written is made into records. What waits at the moment is written as it is: it must fit in front. */
  sealWith(seal: Seal): void {
    this.#close();
    while (this.#head !== this.#tail) this.to = this.#move(this.to);
    this.#seal = seal;
  }

  /** Whether nothing more can be written: see Seal. */
  get isSpent(): boolean {
    return this.#seal?.isSpent === true;
  }

  /** Makes `from` to `to` the next bytes to write, if all before them were taken; returns how many there are. */
  fill(): number {
    if (this.from < this.to) return this.to - this.from;
    this.#close();
    this.from = 0;
    this.to = 0;
    const seal = this.#seal;
    if (this.#head === this.#tail || this.isSpent) return 0;
    const most = this.#front - (seal ? RECORD_BACK : 0);
    let to = seal ? RECORD_FRONT : 0;
    while (this.#head !== this.#tail && this.#words[this.#head >>> 2]! <= most - to) to = this.#move(to);
    this.to = seal ? seal.seal(this.bytes, this.view, 0, to) : to;
    return this.to;
  }

  /** The first `count` bytes from `from` on were written. */
  take(count: number): void {
    this.from += count;
  }

  /** Forgets all that waits, without counting it, and the seal. */
  clear(): void {
    this.#seal = null;
    this.from = 0;
    this.to = 0;
    this.#head = this.#front;
    this.#tail = this.#front;
    this.#wrap = this.#end;
    this.#queued = 0;
    this.#open = NONE;
    this.#length = 0;
    this.#items = 0;
  }

  /** Replaces the ring by a larger one with the same content; `front` must not be less than what is being written. */
  expand(capacity: number, front = FRONT): void {
    this.#close();
    const seal = this.#seal;
    const small = { bytes: this.bytes, words: this.#words, from: this.from, to: this.to };
    let head = this.#head;
    const [tail, wrap, begin] = [this.#tail, this.#wrap, this.#front];
    const large = new Outgoing(capacity, front);
    this.bytes = large.bytes;
    this.view = large.view;
    this.#words = large.#words;
    this.#front = front;
    this.#end = large.#end;
    this.clear();
    this.to = small.to - small.from;
    copyBytes(small.bytes, small.from, this.to, this.bytes, 0);
    while (head !== tail) {
      if (head === wrap) {
        head = begin;
        continue;
      }
      const length = small.words[head >>> 2]!;
      const flags = small.words[(head >>> 2) + 1]!;
      this.open(1, length, (flags & KEPT) !== 0);
      copyBytes(small.bytes, head + PREFIX, length, this.bytes, this.grow(length, flags >>> 1));
      head += (PREFIX + length + 7) & ~7;
    }
    this.#close();
    this.#seal = seal;
  }

  get #overhead(): number {
    return this.#seal ? RECORD_OVERHEAD : 0;
  }

  #close(): void {
    if (this.#open === NONE) return;
    if (this.#length > 0) {
      this.#words[this.#open >>> 2] = this.#length;
      this.#words[(this.#open >>> 2) + 1] = (this.#items << 1) | this.#flags;
      this.#tail = (this.#open + PREFIX + this.#length + 7) & ~7;
      this.#queued += this.#length;
    }
    this.#open = NONE;
    this.#length = 0;
    this.#items = 0;
  }

  /** Moves the tail to where `need` bytes are free in one piece; false if there is no such place. */
  #place(need: number): boolean {
    if (this.#head === this.#tail) {
      this.#head = this.#front;
      this.#tail = this.#front;
      this.#wrap = this.#end;
      return true;
    }
    // Never quite full: head and tail would be equal, as in an empty ring.
    if (this.#head > this.#tail) return this.#head - this.#tail > need;
    if (this.#end - this.#tail >= need) return true;
    if (this.#head - this.#front <= need) return false;
    this.#wrap = this.#tail;
    this.#tail = this.#front;
    return true;
  }

  /** Moves the oldest frame out of the ring, to `at`; returns where it ends. */
  #move(at: number): number {
    const length = this.#words[this.#head >>> 2]!;
    this.bytes.copyWithin(at, this.#head + PREFIX, this.#head + PREFIX + length);
    this.#drop(length);
    return at + length;
  }

  /** Adds the oldest frame to the bytes that are being written, as a record of its own. */
  #begin(): void {
    const { to } = this;
    const seal = this.#seal;
    this.to = seal ? seal.seal(this.bytes, this.view, to, this.#move(to + RECORD_FRONT)) : this.#move(to);
  }

  #discard(): void {
    const length = this.#words[this.#head >>> 2]!;
    const flags = this.#words[(this.#head >>> 2) + 1]!;
    if (this.from === this.to) {
      this.from = 0;
      this.to = 0;
    }
    if (flags & KEPT && !this.isSpent && this.#front - this.to >= length + this.#overhead) {
      this.#begin();
      return;
    }
    this.discarded += flags >>> 1;
    this.discardedBytes += length;
    this.#drop(length);
  }

  #drop(length: number): void {
    this.#head = (this.#head + PREFIX + length + 7) & ~7;
    this.#queued -= length;
    if (this.#head === this.#wrap && this.#head !== this.#tail) {
      this.#head = this.#front;
      this.#wrap = this.#end;
    }
  }
}
