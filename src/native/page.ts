/** The size of a memory page; the layout of rings depends on it. */
import { dlopen, FFIType } from "bun:ffi";

/** Bytes of a memory page: 4096 on x86-64, up to 65536 on arm64. */
export const PAGE_SIZE = dlopen("libc.so.6", {
  getpagesize: { args: [], returns: FFIType.i32 },
}).symbols.getpagesize();
