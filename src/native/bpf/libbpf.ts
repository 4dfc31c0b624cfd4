/**
 * The functions of libbpf that xcopy calls: from the copy that the executable carries, else from the host's `libbpf.so.1`.
 *
 * libbpf prints nothing; the reason of the verifier for refusing a program is in the error. In this folder, functions that
 * return a number return a negative errno on failure.
 */
import { dlopen, FFIType } from "bun:ffi";
import { type CarriedLibrary, openLibrary } from "../carried.ts";

const SYMBOLS = {
  libbpf_set_print: { args: [FFIType.ptr], returns: FFIType.ptr },
  bpf_object__open_mem: { args: [FFIType.ptr, FFIType.u64_fast, FFIType.ptr], returns: FFIType.ptr },
  bpf_object__load: { args: [FFIType.ptr], returns: FFIType.i32 },
  bpf_object__close: { args: [FFIType.ptr], returns: FFIType.void },
  bpf_object__find_map_by_name: { args: [FFIType.ptr, FFIType.ptr], returns: FFIType.ptr },
  bpf_object__find_program_by_name: { args: [FFIType.ptr, FFIType.ptr], returns: FFIType.ptr },
  bpf_object__next_program: { args: [FFIType.ptr, FFIType.ptr], returns: FFIType.ptr },
  bpf_program__set_log_level: { args: [FFIType.ptr, FFIType.u32], returns: FFIType.i32 },
  bpf_program__set_log_buf: { args: [FFIType.ptr, FFIType.ptr, FFIType.u64_fast], returns: FFIType.i32 },
  bpf_program__set_autoload: { args: [FFIType.ptr, FFIType.bool], returns: FFIType.i32 },
  bpf_program__fd: { args: [FFIType.ptr], returns: FFIType.i32 },
  bpf_map__fd: { args: [FFIType.ptr], returns: FFIType.i32 },
  bpf_map__set_max_entries: { args: [FFIType.ptr, FFIType.u32], returns: FFIType.i32 },
  bpf_map__reuse_fd: { args: [FFIType.ptr, FFIType.i32], returns: FFIType.i32 },
  bpf_map__set_inner_map_fd: { args: [FFIType.ptr, FFIType.i32], returns: FFIType.i32 },
  bpf_map__set_initial_value: { args: [FFIType.ptr, FFIType.ptr, FFIType.u64_fast], returns: FFIType.i32 },
  bpf_map_create: {
    args: [FFIType.i32, FFIType.ptr, FFIType.u32, FFIType.u32, FFIType.u32, FFIType.ptr],
    returns: FFIType.i32,
  },
  bpf_prog_load: {
    args: [FFIType.i32, FFIType.ptr, FFIType.ptr, FFIType.ptr, FFIType.u64_fast, FFIType.ptr],
    returns: FFIType.i32,
  },
  bpf_map_update_elem: {
    args: [FFIType.i32, FFIType.ptr, FFIType.ptr, FFIType.u64_fast],
    returns: FFIType.i32,
  },
  bpf_map_update_batch: {
    args: [FFIType.i32, FFIType.ptr, FFIType.ptr, FFIType.ptr, FFIType.ptr],
    returns: FFIType.i32,
  },
  bpf_tc_hook_create: { args: [FFIType.ptr], returns: FFIType.i32 },
  bpf_tc_hook_destroy: { args: [FFIType.ptr], returns: FFIType.i32 },
  bpf_tc_attach: { args: [FFIType.ptr, FFIType.ptr], returns: FFIType.i32 },
  bpf_tc_detach: { args: [FFIType.ptr, FFIType.ptr], returns: FFIType.i32 },
  bpf_tc_query: { args: [FFIType.ptr, FFIType.ptr], returns: FFIType.i32 },
  bpf_prog_test_run_opts: { args: [FFIType.i32, FFIType.ptr], returns: FFIType.i32 },
} as const;

function open(path: string) {
  return dlopen(path, SYMBOLS).symbols;
}

/** Undefined before `openLibbpf`. */
export let lib: ReturnType<typeof open>;

/**
 * Opens libbpf, as `openLibrary` does; must be called before everything else here, and does nothing when called again.
 * `carried`: each library after those that it needs, libbpf last. Throws a Failure (5) if there is none.
 */
export function openLibbpf(carried: CarriedLibrary[] = []): void {
  if (lib) return;
  lib = openLibrary("libbpf.so.1", carried, "Install libbpf 1.0 or newer (Debian: libbpf1)", open);
  lib.libbpf_set_print(null);
}

/** A C string. */
export function text(string: string): Uint8Array {
  return new Uint8Array(new TextEncoder().encode(string + "\0").buffer);
}

/** Zeros, for a struct of C. */
export function memory(bytes: number): DataView {
  return new DataView(new ArrayBuffer(bytes));
}
