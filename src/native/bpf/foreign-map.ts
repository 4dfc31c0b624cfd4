/** Maps of the kernel programs that another process holds. */
import { dlopen, FFIType } from "bun:ffi";
import { readFileSync } from "node:fs";
import { libc } from "../libc.ts";

const { syscall } = dlopen("libc.so.6", {
  syscall: { args: [FFIType.i64_fast, FFIType.i32, FFIType.i32, FFIType.i32], returns: FFIType.i64_fast },
}).symbols;
/** The same numbers on all architectures. */
const SYS_PIDFD_OPEN = 434;
const SYS_PIDFD_GETFD = 438;

/** `map_type` of fdinfo: BPF_MAP_TYPE_LRU_HASH (linux/bpf.h). */
export const LRU_HASH = 9;

/**
 * A descriptor of our own for the map that is descriptor `fd` of a process (Linux 5.6), which the caller closes; -1 if it is not
 * allowed (ptrace(2): the same user, or CAP_SYS_PTRACE), or that is no map of this type and these sizes in bytes.
 */
export function copyMapOf(
  pid: number,
  fd: number,
  type: number,
  keyBytes: number,
  valueBytes: number,
): number {
  const process = Number(syscall(SYS_PIDFD_OPEN, pid, 0, 0));
  if (process < 0) return -1;
  const copy = Number(syscall(SYS_PIDFD_GETFD, process, fd, 0));
  libc.close(process);
  if (copy < 0) return -1;
  const info = readFileSync(`/proc/self/fdinfo/${copy}`, "utf8");
  const is = (name: string, value: number) => new RegExp(`^${name}:\\s*${value}$`, "m").test(info);
  if (is("map_type", type) && is("key_size", keyBytes) && is("value_size", valueBytes)) return copy;
  libc.close(copy);
  return -1;
}
