/** Resource limits of this process (getrlimit(2)). */
import { dlopen, FFIType } from "bun:ffi";
import { address } from "./libc.ts";

const libc = dlopen("libc.so.6", {
  getrlimit: { args: [FFIType.i32, FFIType.ptr], returns: FFIType.i32 },
  setrlimit: { args: [FFIType.i32, FFIType.ptr], returns: FFIType.i32 },
}).symbols;

const RLIMIT_NOFILE = 7;

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
