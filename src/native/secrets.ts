/** Keeps secrets from other users of the host: overwrites command-line arguments, and forbids core dumps. */
import { type Pointer, toArrayBuffer } from "bun:ffi";
import { readFileSync } from "node:fs";
import { address, libc } from "./libc.ts";

/** Index of the field in /proc/PID/stat (proc(5)), counted from 0 at the first one after the name. */
const ARG_START = 45;
const HIDDEN = 0x78; // x
const RLIMIT_CORE = 4;

/** Overwrites these texts in the arguments of this process, which every user of the host can read. */
export function hideArguments(texts: readonly string[]): void {
  const stat = readFileSync("/proc/self/stat", "latin1");
  const start = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[ARG_START]);
  // 0 where the kernel does not say.
  if (!start) return;
  const shown = readFileSync("/proc/self/cmdline");
  const memory = new Uint8Array(toArrayBuffer(start as Pointer, 0, shown.length));
  for (const text of texts) {
    if (text === "") continue;
    const bytes = Buffer.from(text);
    for (let at = shown.indexOf(bytes); at >= 0; at = shown.indexOf(bytes, at + 1)) {
      memory.fill(HIDDEN, at, at + bytes.length);
    }
  }
}

/**
 * Forbids core dumps of this process, to a file and to a program: the kernel takes a limit of 1 as "none" for both
 * (fs/coredump.c).
 */
export function forbidCores(): void {
  const limits = new BigUint64Array(new ArrayBuffer(16));
  limits.fill(1n);
  libc.setrlimit(RLIMIT_CORE, address(limits));
}
