/** The state of CLOCK_REALTIME (adjtimex(2), which changes nothing with modes 0). */
import { dlopen, FFIType } from "bun:ffi";

/** sizeof(struct timex) on 64-bit hosts, and where fields are (linux/timex.h). */
const TIMEX_BYTES = 208;
const STATUS_AT = 40;
const MAX_ERROR_AT = 24;
const STA_UNSYNC = 0x40;

export interface ClockState {
  /** Whether something (NTP, PTP, the hypervisor) keeps it right. */
  isSynchronised: boolean;
  /** us that it may be wrong by, as the kernel believes. */
  maxError: number;
}

/** Null where the kernel does not tell: a seccomp filter may forbid it. */
export function clockState(): ClockState | null {
  const { symbols } = dlopen("libc.so.6", { adjtimex: { args: [FFIType.ptr], returns: FFIType.i32 } });
  const timex = new DataView(new ArrayBuffer(TIMEX_BYTES));
  if (symbols.adjtimex(new Uint8Array(timex.buffer)) < 0) return null;
  return {
    isSynchronised: (timex.getInt32(STATUS_AT, true) & STA_UNSYNC) === 0,
    maxError: Number(timex.getBigInt64(MAX_ERROR_AT, true)),
  };
}
