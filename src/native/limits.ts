/** Resource limits of this process (getrlimit(2)). */
import { dlopen, FFIType } from "bun:ffi";
import { address } from "./libc.ts";

const libc = dlopen("libc.so.6", {
  getrlimit: { args: [FFIType.i32, FFIType.ptr], returns: FFIType.i32 },
  setrlimit: { args: [FFIType.i32, FFIType.ptr], returns: FFIType.i32 },
}).symbols;

const RLIMIT_NOFILE = 7;
const RLIMIT_MEMLOCK = 8;
const RLIM_INFINITY = 2n ** 64n - 1n;

/** Bytes of memory that this process may lock; Infinity without a limit, or where it is not known. */
export function lockedMemory(): number {
  const limit = new BigUint64Array(new ArrayBuffer(16));
  if (libc.getrlimit(RLIMIT_MEMLOCK, address(limit)) !== 0) return Number.POSITIVE_INFINITY;
  return limit[0] === RLIM_INFINITY ? Number.POSITIVE_INFINITY : Number(limit[0]);
}

/** Allows this process, and programs that it starts, to lock as much memory as they like, where it may. */
export function unlimitLockedMemory(): void {
  const limit = new BigUint64Array(new ArrayBuffer(16)).fill(RLIM_INFINITY);
  libc.setrlimit(RLIMIT_MEMLOCK, address(limit));
}

/** Raises the limit of open descriptors to at least `wanted`, as far as this process may; returns the limit, 0 on failure. */
export function raiseDescriptors(wanted: number): number {
  const limit = new BigUint64Array(new ArrayBuffer(16));
  const at = address(limit);
  if (libc.getrlimit(RLIMIT_NOFILE, at) !== 0) return 0;
  const [soft, hard] = [limit[0]!, limit[1]!];
  if (soft >= BigInt(wanted)) return Number(soft);
  for (const most of [BigInt(wanted) > hard ? BigInt(wanted) : hard, hard]) {
    limit[0] = BigInt(wanted) < most ? BigInt(wanted) : most;
    limit[1] = most;
    if (libc.setrlimit(RLIMIT_NOFILE, at) === 0) return Number(limit[0]);
  }
  return Number(soft);
}
