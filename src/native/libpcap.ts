/**
 * The compiler of the pcap-filter language in libpcap, and what belongs to it. libpcap is the host's: the executable does not
 * carry it.
 *
 * A classic BPF program is a Uint8Array of struct bpf_insn (pcap/bpf.h), 8 bytes each in host order: u16 code, u8 jt,
 * u8 jf, u32 k.
 */
import { CString, dlopen, FFIType, type Pointer, toArrayBuffer } from "bun:ffi";
import { reasonOf } from "./carried.ts";
import { Failure } from "./failure.ts";
import { address } from "./libc.ts";

const SYMBOLS = {
  pcap_open_dead: { args: [FFIType.i32, FFIType.i32], returns: FFIType.ptr },
  pcap_compile: {
    args: [FFIType.ptr, FFIType.ptr, FFIType.ptr, FFIType.i32, FFIType.u32],
    returns: FFIType.i32,
  },
  pcap_geterr: { args: [FFIType.ptr], returns: FFIType.ptr },
  pcap_freecode: { args: [FFIType.ptr], returns: FFIType.void },
  pcap_close: { args: [FFIType.ptr], returns: FFIType.void },
  bpf_image: { args: [FFIType.ptr, FFIType.i32], returns: FFIType.ptr },
  bpf_filter: { args: [FFIType.ptr, FFIType.ptr, FFIType.u32, FFIType.u32], returns: FFIType.u32 },
} as const;

/** Debian's soname, and that of other distributions. */
export const LIBPCAP_NAMES = ["libpcap.so.0.8", "libpcap.so.1"];
const PCAP_NETMASK_UNKNOWN = 0xffffffff;
const INSTRUCTION_BYTES = 8;

/** Link types of libpcap on Linux (pcap/dlt.h). */
export const DLT_EN10MB = 1;
export const DLT_RAW = 12;

let lib: ReturnType<typeof load> | undefined;

function load() {
  let cause: unknown;
  for (const name of LIBPCAP_NAMES) {
    try {
      return dlopen(name, SYMBOLS).symbols;
    } catch (error) {
      cause = error;
    }
  }
  throw new Failure(
    `Cannot load "${LIBPCAP_NAMES[0]}": ${reasonOf(cause)}`,
    "Install libpcap (Debian: apt-get install libpcap0.8).",
    5,
  );
}

function libpcap() {
  lib ??= load();
  return lib;
}

/**
 * Compiles an expression of pcap-filter(7), optimized. The program returns `snapshotBytes` for a match, else 0. Returns the
 * program, or libpcap's error message. Host names are looked up, which may take seconds. Throws a Failure (5) where there is no
 * libpcap.
 */
export function compileExpression(
  expression: string,
  linkType: number,
  snapshotBytes: number,
): Uint8Array | string {
  const symbols = libpcap();
  const handle = symbols.pcap_open_dead(linkType, snapshotBytes) as Pointer;
  if (!handle) return "out of memory";
  try {
    const program = new BigUint64Array(new ArrayBuffer(16)); // struct bpf_program: u32 bf_len, pointer bf_insns
    const text = new Uint8Array(new TextEncoder().encode(`${expression}\0`).buffer);
    if (symbols.pcap_compile(handle, program, text, 1, PCAP_NETMASK_UNKNOWN) !== 0) {
      return new CString(symbols.pcap_geterr(handle) as Pointer).toString();
    }
    const bytes = (Number(program[0]) >>> 0) * INSTRUCTION_BYTES;
    const instructions = new Uint8Array(new ArrayBuffer(bytes));
    instructions.set(new Uint8Array(toArrayBuffer(Number(program[1]) as Pointer, 0, bytes)));
    symbols.pcap_freecode(program);
    return instructions;
  } finally {
    symbols.pcap_close(handle);
  }
}

/** The program as `tcpdump -d` prints it, a line per instruction. Throws a Failure (5) without libpcap. */
export function disassemble(instructions: Uint8Array): string[] {
  const at = address(instructions);
  return Array.from({ length: instructions.length / INSTRUCTION_BYTES }, (_, index) => {
    const image = libpcap().bpf_image((at + index * INSTRUCTION_BYTES) as Pointer, index);
    return new CString(image as Pointer).toString();
  });
}

/**
 * Runs a program on a whole packet in libpcap's own interpreter; 0 is no match. Both arguments must be memory created as an
 * ArrayBuffer. For tests. Throws a Failure (5) without libpcap.
 */
export function interpret(instructions: Uint8Array, packet: Uint8Array): number {
  return libpcap().bpf_filter(instructions, packet, packet.length, packet.length);
}
