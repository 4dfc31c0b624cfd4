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
 * Gives out pieces of HUGE_PAGE zeroed bytes, which last until the process ends. Where the kernel gives no huge pages they have
 * small ones, and where it maps nothing (a limit of address space) they come from the runtime's heap.
 */
export class HugePages {
  private next = 0;
  private end = 0;
  /** Pieces that were used before they were asked for. */
  private readonly ready: ArrayBuffer[] = [];

  /** `reserve`: bytes that `prepare` makes ready, one piece at each call. */
  constructor(private reserve: number) {}

  take(): ArrayBuffer {
    return this.ready.shift() ?? this.create();
  }

  /** Takes a piece of the reserve from the kernel, by its first use. Nothing is left to do when the reserve is there. */
  prepare(): void {
    if (this.reserve < HUGE_PAGE) return;
    this.reserve -= HUGE_PAGE;
    const piece = this.create();
    const bytes = new Uint8Array(piece);
    for (let at = 0; at < HUGE_PAGE; at += SMALL_PAGE) bytes[at] = 0;
    this.ready.push(piece);
  }

  private create(): ArrayBuffer {
    if (this.next === this.end) {
      // One more than is used: the first piece must begin at a multiple of its size.
      const at = map(MAPPED + HUGE_PAGE);
      if (at === null) return new ArrayBuffer(HUGE_PAGE);
      this.next = Math.ceil(at / HUGE_PAGE) * HUGE_PAGE;
      this.end = this.next + MAPPED;
      libc.madvise(this.next, MAPPED, MADV_HUGEPAGE);
    }
    this.next += HUGE_PAGE;
    return toArrayBuffer((this.next - HUGE_PAGE) as Pointer, 0, HUGE_PAGE);
  }
}

function map(bytes: number): number | null {
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  const at = Number(libc.mmap(0, bytes, PROT_READ | PROT_WRITE, flags, -1, 0));
  return at > 0 && at < 2 ** 63 ? at : null;
}
