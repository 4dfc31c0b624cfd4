/**
 * The functions of libzstd that xcopy calls, to write one frame piece by piece. Bun's own functions make a frame per call, and
 * tshark 4.0 cannot read a file of several frames.
 */
import { dlopen, FFIType, type Pointer } from "bun:ffi";
import { type CarriedLibrary, openLibrary } from "./carried.ts";
import { address } from "./libc.ts";

const SYMBOLS = {
  ZSTD_createCCtx: { args: [], returns: FFIType.ptr },
  ZSTD_CCtx_setParameter: { args: [FFIType.ptr, FFIType.i32, FFIType.i32], returns: FFIType.u64_fast },
  ZSTD_CCtx_reset: { args: [FFIType.ptr, FFIType.i32], returns: FFIType.u64_fast },
  ZSTD_compressStream2: {
    args: [FFIType.ptr, FFIType.ptr, FFIType.ptr, FFIType.i32],
    returns: FFIType.u64_fast,
  },
  ZSTD_compressBound: { args: [FFIType.u64_fast], returns: FFIType.u64_fast },
} as const;

const NAME = "libzstd.so.1";
const FIX = "Install libzstd (Debian: libzstd1), or leave out --compress";
/** zstd.h. */
const ZSTD_c_compressionLevel = 100;
const ZSTD_reset_session_only = 1;
const ZSTD_e_flush = 1;
/** Bytes: room for the frame's header and the empty block of a flush. */
const OVERHEAD = 64;

/**
 * The bytes that end a frame after a flush: an empty raw block with the flag of the last block (RFC 8878 section 3.1.1.2).
 * Nothing follows it, because our frames have no checksum.
 */
export const END_OF_FRAME = Uint8Array.of(1, 0, 0);

let lib: ReturnType<typeof open> | undefined;

function open(path: string) {
  return dlopen(path, SYMBOLS).symbols;
}

/** Loads libzstd, as `openLibrary` does. A worker that calls this after the main thread needs no `carried`. Throws a Failure (5). */
export function openZstd(carried: CarriedLibrary[] = []): ReturnType<typeof open> {
  lib ??= openLibrary(
    NAME,
    carried.filter(({ name }) => name === NAME),
    FIX,
    open,
  );
  return lib;
}

/** Writes zstd frames, one after the other. Its memory is never freed. */
export class ZstdFrame {
  readonly #zstd = openZstd();
  readonly #context = this.#zstd.ZSTD_createCCtx();
  /** ZSTD_outBuffer and ZSTD_inBuffer: address, bytes, bytes done. */
  readonly #buffers = new BigUint64Array(new ArrayBuffer(48));
  #output = new Uint8Array(new ArrayBuffer(0));

  /** `level`: 1 is the fastest, 19 the smallest. */
  constructor(level: number) {
    this.#zstd.ZSTD_CCtx_setParameter(this.#context, ZSTD_c_compressionLevel, level);
  }

  /** Compresses and flushes `bytes`; returns the next bytes of the frame, a view that is valid until the next call. */
  append(bytes: Uint8Array): Uint8Array {
    const bound = Number(this.#zstd.ZSTD_compressBound(bytes.length)) + OVERHEAD;
    if (this.#output.length < bound) this.#output = new Uint8Array(new ArrayBuffer(bound));
    this.#buffers.set([BigInt(address(this.#output)), BigInt(this.#output.length), 0n]);
    this.#buffers.set([BigInt(address(bytes)), BigInt(bytes.length), 0n], 3);
    const at = address(this.#buffers) as Pointer;
    const left = this.#zstd.ZSTD_compressStream2(this.#context, at, (at + 24) as Pointer, ZSTD_e_flush);
    // 0: all is flushed. Errors are numbers near 2^64.
    if (Number(left) !== 0) throw new Error(`ZSTD_compressStream2 returned ${left}`);
    return this.#output.subarray(0, Number(this.#buffers[2]));
  }

  /** The next `append` begins a new frame. The caller writes END_OF_FRAME to end the old one. */
  restart(): void {
    this.#zstd.ZSTD_CCtx_reset(this.#context, ZSTD_reset_session_only);
  }
}
