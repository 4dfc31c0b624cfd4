/**
 * Memory for captured payload: chunks in size classes, the powers of two from 64 bytes to 64 KiB, in pages of 256 KiB.
 * A chunk needs no allocation of its own; a page whose chunks are all free may serve another class.
 *
 * A chunk's number is its page, and its place in the page in units of 64 bytes.
 */
const PAGE = 256 * 1024;
const UNIT_LOG2 = 6;
const UNITS_LOG2 = 12; // of 64 bytes in a page
const UNIT_MASK = (1 << UNITS_LOG2) - 1;
const CLASSES = 11;
/** Pages of which the memory is taken at once, and their bytes. */
const PAGES_PER_PIECE = 8;
export const PIECE = PAGES_PER_PIECE * PAGE;
const NONE = -1;

/** Bytes of the largest chunk. */
export const MAX_CHUNK = 1 << (UNIT_LOG2 + CLASSES - 1);

export class Arena {
  /** Bytes of all pages with a chunk in use. */
  used = 0;
  private readonly limit: number;
  private readonly pages: Uint8Array[] = [];
  private readonly words: Int32Array[] = [];
  private readonly classOf: Int32Array;
  private readonly chunksUsed: Int32Array;
  /** By page: the first chunk that was used and is free again (its unit); linked by the chunks' first words. */
  private readonly freeChunk: Int32Array;
  /** By page: the first unit that was never used. */
  private readonly fresh: Int32Array;
  private readonly next: Int32Array;
  private readonly previous: Int32Array;
  /** By class: the first page with a free chunk; linked by `next` and `previous`. */
  private readonly withRoom = new Int32Array(CLASSES).fill(NONE);
  private readonly freePages: number[] = [];
  private piece = new ArrayBuffer(0);

  /** `limit`: bytes, rounded down to whole pages, at least one. `takePiece` gives PIECE bytes each time, which are kept. */
  constructor(
    limit: number,
    private readonly takePiece: () => ArrayBuffer = () => new ArrayBuffer(PIECE),
  ) {
    const pages = Math.max(1, Math.floor(limit / PAGE));
    this.limit = pages * PAGE;
    this.classOf = new Int32Array(pages);
    this.chunksUsed = new Int32Array(pages);
    this.freeChunk = new Int32Array(pages);
    this.fresh = new Int32Array(pages);
    this.next = new Int32Array(pages);
    this.previous = new Int32Array(pages);
  }

  /** A chunk of at least `length` bytes (1 to MAX_CHUNK), or -1 if the limit is reached. */
  allocate(length: number): number {
    const size = length <= 64 ? 0 : 32 - Math.clz32((length - 1) >>> UNIT_LOG2);
    let page = this.withRoom[size]!;
    if (page === NONE) {
      page = this.openPage(size);
      if (page === NONE) return -1;
    }
    let unit = this.freeChunk[page]!;
    if (unit !== NONE) {
      this.freeChunk[page] = this.words[page]![unit << (UNIT_LOG2 - 2)]!;
    } else {
      unit = this.fresh[page]!;
      this.fresh[page] = unit + (1 << size);
    }
    this.chunksUsed[page]!++;
    if (this.isFull(page, size)) this.unlink(page, size);
    return (page << UNITS_LOG2) | unit;
  }

  release(chunk: number): void {
    const page = chunk >>> UNITS_LOG2;
    const unit = chunk & UNIT_MASK;
    const size = this.classOf[page]!;
    const wasFull = this.isFull(page, size);
    this.words[page]![unit << (UNIT_LOG2 - 2)] = this.freeChunk[page]!;
    this.freeChunk[page] = unit;
    if (--this.chunksUsed[page]! === 0) {
      if (!wasFull) this.unlink(page, size);
      this.freePages.push(page);
      this.used -= PAGE;
    } else if (wasFull) {
      this.link(page, size);
    }
  }

  /** The page of a chunk, which begins in it at `offset(chunk)`. */
  memory(chunk: number): Uint8Array {
    return this.pages[chunk >>> UNITS_LOG2]!;
  }

  offset(chunk: number): number {
    return (chunk & UNIT_MASK) << UNIT_LOG2;
  }

  private isFull(page: number, size: number): boolean {
    return this.freeChunk[page] === NONE && this.fresh[page]! + (1 << size) > 1 << UNITS_LOG2;
  }

  private openPage(size: number): number {
    if (this.used + PAGE > this.limit) return NONE;
    let page = this.freePages.pop();
    if (page === undefined) {
      page = this.pages.length;
      const place = page % PAGES_PER_PIECE;
      if (place === 0) this.piece = this.takePiece();
      this.pages.push(new Uint8Array(this.piece, place * PAGE, PAGE));
      this.words.push(new Int32Array(this.piece, place * PAGE, PAGE / 4));
    }
    this.used += PAGE;
    this.classOf[page] = size;
    this.freeChunk[page] = NONE;
    this.fresh[page] = 0;
    this.link(page, size);
    return page;
  }

  private link(page: number, size: number): void {
    const head = this.withRoom[size]!;
    this.next[page] = head;
    this.previous[page] = NONE;
    if (head !== NONE) this.previous[head] = page;
    this.withRoom[size] = page;
  }

  private unlink(page: number, size: number): void {
    const next = this.next[page]!;
    const previous = this.previous[page]!;
    if (previous === NONE) this.withRoom[size] = next;
    else this.next[previous] = next;
    if (next !== NONE) this.previous[next] = previous;
  }
}
