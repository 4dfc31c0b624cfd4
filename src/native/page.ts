/** Pages of memory: their size, by which rings are laid out, and huge ones, of which the first use costs less. */
import { dlopen, FFIType, type Pointer, toArrayBuffer } from "bun:ffi";
import { libc, PROT_READ, PROT_WRITE } from "./libc.ts";

/** Bytes of a memory page: 4096 on x86-64, up to 65536 on arm64. */
export const PAGE_SIZE = dlopen("libc.so.6", {
  getpagesize: { args: [], returns: FFIType.i32 },
}).symbols.getpagesize();

/** Bytes of a piece, which is one huge page where the kernel has one. */
export const HUGE_PAGE = 2 << 20;
/** Bytes of address space that are taken at a time. They become memory when they are first written. */
const MAPPED = 64 << 20;

/** Bytes of the smallest page that any kernel has. */
const SMALL_PAGE = 4096;

const MAP_PRIVATE = 2;
const MAP_ANONYMOUS = 0x20;
const MAP_NORESERVE = 0x4000;
const MADV_HUGEPAGE = 14;

/**
 * Pieces that one thread makes ready for another: the kernel may take 8 ms for the first use of one. Plain data: it crosses a
 * postMessage.
 */
export interface Reserve {
  /** Where the first piece begins; the others follow. */
  at: number;
  pieces: number;
  /** Two words: how many of them are ready, and how many of these are given out. */
  counts: SharedArrayBuffer;
}

const READY = 0;
const TAKEN = 1;
/** Pieces that are kept ready and not given out: what a burst needs until more is ready. */
const AHEAD = 12;

/** A reserve of as many pieces as `bytes` have, none of them ready; without any where the kernel maps nothing. */
export function mapReserve(bytes: number): Reserve {
  const pieces = Math.floor(bytes / HUGE_PAGE);
  const at = pieces > 0 ? mapPieces(pieces) : null;
  return { at: at ?? 0, pieces: at === null ? 0 : pieces, counts: new SharedArrayBuffer(8) };
}

/**
 * Makes the next piece ready, by its first use. False if so many are ready that more can wait until some are given out, or none
 * is left. For one thread only.
 */
export function prepareNext({ at, pieces, counts }: Reserve): boolean {
  const words = new Int32Array(counts);
  const next = words[READY]!;
  if (next === pieces || next - Atomics.load(words, TAKEN) >= AHEAD) return false;
  const bytes = new Uint8Array(pieceAt(at + next * HUGE_PAGE));
  for (let page = 0; page < HUGE_PAGE; page += SMALL_PAGE) bytes[page] = 0;
  Atomics.store(words, READY, next + 1);
  return true;
}

/** Resolves when a piece is given out after this call, or `stopWaiting` is called; at once if a piece may be made ready now. */
export async function whenTaken({ pieces, counts }: Reserve): Promise<void> {
  const words = new Int32Array(counts);
  const taken = Atomics.load(words, TAKEN);
  const ready = words[READY]!;
  if (ready < pieces && ready - taken < AHEAD) return;
  await Atomics.waitAsync(words, TAKEN, taken).value;
}

/** Ends the waiting of `whenTaken`. */
export function stopWaiting({ counts }: Reserve): void {
  Atomics.notify(new Int32Array(counts), TAKEN);
}

/**
 * Gives out pieces of HUGE_PAGE zeroed bytes, which last until the process ends. Where the kernel gives no huge pages they have
 * small ones, and where it maps nothing (a limit of address space) they come from the runtime's heap.
 */
export class HugePages {
  private next = 0;
  private end = 0;
  private readonly counts: Int32Array;

  /** `reserve`: what is given out first, as far as it is ready. */
  constructor(private readonly reserve: Reserve) {
    this.counts = new Int32Array(reserve.counts);
  }

  take(): ArrayBuffer {
    const taken = this.counts[TAKEN]!;
    if (taken === Atomics.load(this.counts, READY)) return this.create();
    Atomics.store(this.counts, TAKEN, taken + 1);
    Atomics.notify(this.counts, TAKEN);
    return pieceAt(this.reserve.at + taken * HUGE_PAGE);
  }

  private create(): ArrayBuffer {
    if (this.next === this.end) {
      const at = mapPieces(MAPPED / HUGE_PAGE);
      if (at === null) return new ArrayBuffer(HUGE_PAGE);
      this.next = at;
      this.end = at + MAPPED;
    }
    this.next += HUGE_PAGE;
    return pieceAt(this.next - HUGE_PAGE);
  }
}

function pieceAt(at: number): ArrayBuffer {
  return toArrayBuffer(at as Pointer, 0, HUGE_PAGE);
}

/** Address space for so many pieces; null if there is none. */
function mapPieces(pieces: number): number | null {
  const bytes = pieces * HUGE_PAGE;
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  // One more than is used: the first must begin at a multiple of its size.
  const from = Number(libc.mmap(0, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE, flags, -1, 0));
  if (from <= 0 || from >= 2 ** 63) return null;
  const at = Math.ceil(from / HUGE_PAGE) * HUGE_PAGE;
  libc.madvise(at, bytes, MADV_HUGEPAGE);
  return at;
}
