/** Capabilities, user and system calls of this process: what it may do, and giving it up (capabilities(7), seccomp(2)). */
import { dlopen, FFIType } from "bun:ffi";
import { readFileSync } from "node:fs";
import { address, errno, libc, pointerTo, strerror } from "../libc.ts";
import { type Call, inEveryThread } from "./every-thread.ts";

const { syscall, faccessat } = dlopen("libc.so.6", {
  faccessat: { args: [FFIType.i32, FFIType.ptr, FFIType.i32, FFIType.i32], returns: FFIType.i32 },
  syscall: {
    args: [FFIType.i64_fast, FFIType.u64_fast, FFIType.u64_fast, FFIType.u64_fast],
    returns: FFIType.i64_fast,
  },
}).symbols;

const IS_ARM = process.arch === "arm64";
const SYS_CAPSET = IS_ARM ? 91 : 126;
const SYS_PRCTL = IS_ARM ? 167 : 157;
const SYS_SECCOMP = IS_ARM ? 277 : 317;
const PR_GET_SECUREBITS = 27;
const PR_SET_SECUREBITS = 28;
const PR_CAPBSET_DROP = 24;
const PR_SET_NO_NEW_PRIVS = 38;
const PR_CAP_AMBIENT = 47;
const PR_CAP_AMBIENT_RAISE = 2;
const PR_CAP_AMBIENT_CLEAR_ALL = 4;
const SECBIT_NOROOT = 1;
const SECCOMP_SET_MODE_FILTER = 1;
const SECCOMP_FILTER_FLAG_TSYNC = 1;
const LINUX_CAPABILITY_VERSION_3 = 0x20080522;
const CAP_SETPCAP = 8;
const AT_FDCWD = -100;
const AT_EACCESS = 0x200;
const ACCESS = { read: 4, write: 2 };

/** Sets of capabilities, as bits. */
export interface Capabilities {
  effective: bigint;
  permitted: bigint;
  inheritable: bigint;
  bounding: bigint;
  ambient: bigint;
}

/** Reads them from the text of /proc/self/status, or that of a thread. */
export function capabilitiesIn(status: string): Capabilities {
  const set = (name: string) =>
    BigInt(`0x${new RegExp(`^Cap${name}:\\s*([0-9a-f]+)$`, "m").exec(status)?.[1] ?? "0"}`);
  return {
    effective: set("Eff"),
    permitted: set("Prm"),
    inheritable: set("Inh"),
    bounding: set("Bnd"),
    ambient: set("Amb"),
  };
}

/** The set of these capabilities. */
export function setOf(capabilities: readonly number[]): bigint {
  return capabilities.reduce((set, bit) => set | (1n << BigInt(bit)), 0n);
}

function ofThisThread(): Capabilities {
  return capabilitiesIn(readFileSync("/proc/thread-self/status", "utf8"));
}

const header = new Uint32Array(new ArrayBuffer(8));
header[0] = LINUX_CAPABILITY_VERSION_3;

/** struct __user_cap_data_struct, twice: the lower and the upper 32 bits. */
function dataOf({
  effective,
  permitted,
  inheritable,
}: Omit<Capabilities, "bounding" | "ambient">): Uint32Array {
  const data = new Uint32Array(new ArrayBuffer(24));
  for (const half of [0, 1]) {
    const sets = [effective, permitted, inheritable].map((set) =>
      Number((set >> BigInt(32 * half)) & 0xffff_ffffn),
    );
    data.set(sets, half * 3);
  }
  return data;
}

/** Sets those of the calling thread. Returns 0 or errno. */
function setCapabilities(sets: Omit<Capabilities, "bounding" | "ambient">): number {
  const data = dataOf(sets);
  return Number(syscall(SYS_CAPSET, address(header), address(data), 0)) === 0 ? 0 : errno();
}

/** Calls `attempt` while the calling thread has no capability but `effective` in effect. */
export function withOnly<T>(effective: bigint, attempt: () => T): T {
  const before = ofThisThread();
  setCapabilities({ ...before, effective: before.effective & effective });
  try {
    return attempt();
  } finally {
    setCapabilities(before);
  }
}

/** Whether a file may be read or written by the effective user without any capability; not, where it is not there. */
export function isForUser(path: string, access: "read" | "write"): boolean {
  const text = new Uint8Array(new TextEncoder().encode(`${path}\0`).buffer);
  return withOnly(0n, () => faccessat(AT_FDCWD, address(text), ACCESS[access], AT_EACCESS) === 0);
}

/**
 * Calls `spawn`, which starts a program that needs no capability: it gets none, neither for being root's nor as ambient ones. The
 * calling thread has all of its own again afterwards.
 */
export function withoutInheritance<T>(spawn: () => T): T {
  const { ambient } = ofThisThread();
  const bits = Number(libc.prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
  libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  libc.prctl(PR_SET_SECUREBITS, bits | SECBIT_NOROOT, 0, 0, 0);
  try {
    return spawn();
  } finally {
    libc.prctl(PR_SET_SECUREBITS, bits, 0, 0, 0);
    for (let bit = 0; ambient >> BigInt(bit) > 0n; bit++) {
      if ((ambient >> BigInt(bit)) % 2n === 1n) libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, bit, 0, 0);
    }
  }
}

/**
 * Leaves the calling thread these capabilities alone, and passes them on to the program that it starts, whoever its user is. Returns
 * 0 or errno.
 */
export function passOn(capabilities: readonly number[]): number {
  const set = setOf(capabilities);
  const code = setCapabilities({ effective: set, permitted: set, inheritable: set });
  if (code !== 0) return code;
  for (const bit of capabilities) {
    if (Number(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, bit, 0, 0)) !== 0) return errno();
  }
  return 0;
}

/** Takes all capabilities but these from the bounding set of the calling thread; `last` is the last one that the kernel knows. */
export function boundBy(capabilities: readonly number[], last: number): void {
  for (let bit = 0; bit <= last; bit++) {
    if (!capabilities.includes(bit)) libc.prctl(PR_CAPBSET_DROP, bit, 0, 0, 0);
  }
}

/** What the call of `giveUpCapabilities` points to, kept: the garbage collector does not know a bare number as a reference. */
let given: Uint32Array | undefined;

/**
 * Gives up all capabilities of every thread but `kept`, and those of the programs that it starts but `passedOn` (a part of
 * `kept`): effective, permitted, inheritable and ambient ones, and where this process may the bounding set. Sets
 * no_new_privs. `last`: the last capability that the kernel knows. Returns the ids of threads that still have more; throws with
 * the cause if it cannot.
 */
export function giveUpCapabilities(kept: bigint, passedOn: bigint, last: number): number[] {
  const before = ofThisThread();
  const permitted = before.permitted & kept;
  const inheritable = permitted & passedOn;
  const data = dataOf({ effective: before.effective & permitted, permitted, inheritable });
  const maySetBounds = (before.effective >> BigInt(CAP_SETPCAP)) % 2n === 1n;
  const calls: Call[] = [];
  for (let bit = 0; maySetBounds && bit <= last; bit++) {
    if ((passedOn >> BigInt(bit)) % 2n === 0n) calls.push([SYS_PRCTL, PR_CAPBSET_DROP, bit]);
  }
  calls.push([SYS_PRCTL, PR_SET_NO_NEW_PRIVS, 1]);
  // The kernel takes from the ambient set what is not inheritable.
  given = data;
  calls.push([SYS_CAPSET, address(header), address(given)]);
  return inEveryThread(calls, (status) => {
    const now = capabilitiesIn(status);
    const more = [now.permitted & ~kept, (now.inheritable | now.ambient) & ~passedOn];
    if (maySetBounds) more.push(now.bounding & ~passedOn);
    return more.every((set) => set === 0n) && /^NoNewPrivs:\s*1$/m.test(status);
  });
}

/**
 * Puts a filter of system calls on every thread (struct sock_filter, on struct seccomp_data), which stays to the end. Needs
 * no_new_privs. Returns null, or why it cannot: old kernels and containers have no such filters.
 */
export function filterSystemCalls(program: Uint8Array): string | null {
  const description = new DataView(new ArrayBuffer(16)); // struct sock_fprog
  description.setUint16(0, program.length / 8, true);
  pointerTo(description, 8, program);
  const result = Number(
    syscall(SYS_SECCOMP, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, address(description)),
  );
  if (result === 0) return null;
  return result > 0 ? `thread ${result} has another filter` : strerror(errno());
}
