/** The system call bpf(2): for what libbpf 1.1 cannot do, and for threads that have not opened libbpf. */
import { dlopen, FFIType } from "bun:ffi";
import { errno } from "../libc.ts";

const { syscall } = dlopen("libc.so.6", {
  syscall: { args: [FFIType.i64_fast, FFIType.i32, FFIType.ptr, FFIType.u32], returns: FFIType.i64_fast },
}).symbols;
const SYS_BPF = process.arch === "arm64" ? 280 : 321;

/** `attributes` is the address of a union bpf_attr of `size` bytes. Returns the result of the command, or a negative errno. */
export function bpfCall(command: number, attributes: number, size: number): number {
  const result = Number(syscall(SYS_BPF, command, attributes as never, size));
  return result < 0 ? -errno() : result;
}
