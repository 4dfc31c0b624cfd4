/**
 * Makes system calls in every thread of this process. Capabilities belong to threads, and those of the runtime (compiler, garbage
 * collector, pools) run none of our code. As libpsx of libcap does it: each thread gets a signal whose handler makes the calls.
 * A handler may run nothing of the runtime, so it is machine code, which reads the calls from a table behind itself.
 */
import { dlopen, FFIType, type Pointer, toArrayBuffer } from "bun:ffi";
import { readdirSync, readFileSync } from "node:fs";
import { address, errno, libc, PROT_READ, PROT_WRITE, sleepMicroseconds, strerror } from "../libc.ts";

const { sigaction, tgkill, mprotect } = dlopen("libc.so.6", {
  sigaction: { args: [FFIType.i32, FFIType.ptr, FFIType.ptr], returns: FFIType.i32 },
  tgkill: { args: [FFIType.i32, FFIType.i32, FFIType.i32], returns: FFIType.i32 },
  mprotect: { args: [FFIType.u64_fast, FFIType.u64_fast, FFIType.i32], returns: FFIType.i32 },
}).symbols;

/** A system call: its number, and up to five arguments. */
export type Call = readonly [number: number, ...args: (number | bigint)[]];

/**
 * The handler: `for (call = table; call->number >= 0; call++) syscall(...call)`, assembled from
 *
 *     push rbx; lea rbx, [rip+table]
 *     1: mov rax, [rbx]; test rax, rax; js 2f
 *     mov rdi, [rbx+8]; mov rsi, [rbx+16]; mov rdx, [rbx+24]; mov r10, [rbx+32]; mov r8, [rbx+40]
 *     syscall; add rbx, 48; jmp 1b
 *     2: pop rbx; ret
 */
export const X64 =
  "53488d1d28000000488b034885c0781c488b7b08488b7310488b53184c8b53204c8b43280f054883c330ebdc5bc36690";
/**
 *     adr x9, table
 *     1: ldr x8, [x9], #8; tbnz x8, #63, 2f; ldp x0, x1, [x9], #16; ldp x2, x3, [x9], #16; ldr x4, [x9], #8
 *     svc #0; b 1b
 *     2: ret
 */
export const ARM64 = "49010010288540f8c800f8b72005c1a8220dc1a8248540f8010000d4faffff17c0035fd61f2003d5";
const HANDLER = Uint8Array.fromHex(process.arch === "arm64" ? ARM64 : X64);

const WORDS_PER_CALL = 6;
const PAGE = 65536;
const PROT_EXEC = 4;
const MAP_PRIVATE_ANONYMOUS = 0x22;
/** The one signal that no thread of the runtime blocks and that it uses for nothing but reports of crashes. */
const SIGSYS = 31;
const SA_RESTART = 0x10000000;
/** Bytes of struct sigaction of glibc: handler, mask of 128 bytes, flags, restorer. */
const SIGACTION = 152;
const FLAGS_AT = 136;
/** ms in which all threads must have made the calls. */
const PATIENCE = 2000;

/** A page that can be run, with the handler and its calls. Throws with errno's text. */
function assemble(calls: readonly Call[]): number {
  const at = Number(libc.mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0));
  if (at <= 0 || at >= 2 ** 63) throw new Error(strerror(errno()));
  const page = toArrayBuffer(at as Pointer, 0, PAGE);
  new Uint8Array(page).set(HANDLER);
  const table = new BigInt64Array(page, HANDLER.length);
  for (const [index, call] of calls.entries()) {
    for (const [word, value] of call.entries()) table[index * WORDS_PER_CALL + word] = BigInt(value);
  }
  table[calls.length * WORDS_PER_CALL] = -1n;
  // From here on nothing writes it. The kernel makes the instruction cache of arm64 see it.
  if (mprotect(at, PAGE, PROT_READ | PROT_EXEC) !== 0) throw new Error(strerror(errno()));
  return at;
}

/** The text of /proc/self/task/ID/status; null: the thread has ended. */
function statusOf(thread: number): string | null {
  try {
    return readFileSync(`/proc/self/task/${thread}/status`, "utf8");
  } catch {
    return null;
  }
}

/** The ids of the threads of this process of whose status `isDone` is not true. */
export function threadsWithout(isDone: (status: string) => boolean): number[] {
  return readdirSync("/proc/self/task")
    .map(Number)
    .filter((thread) => {
      const status = statusOf(thread);
      return status !== null && !isDone(status);
    });
}

/**
 * Makes the calls, in their order, in every thread, also in those that begin meanwhile; blocks until `isDone` is true of the status
 * of each (the text of /proc/self/task/ID/status), 2 s at most. What the calls return is not looked at, and each must do no
 * harm a second time. Memory that they point to must stay until this returns. Throws with the cause if the calls could not be
 * made at all; returns the ids of the threads of which `isDone` is still not true.
 */
export function inEveryThread(calls: readonly Call[], isDone: (status: string) => boolean): number[] {
  const action = new DataView(new ArrayBuffer(SIGACTION));
  const before = new Uint8Array(new ArrayBuffer(SIGACTION));
  action.setBigUint64(0, BigInt(assemble(calls)), true);
  action.setUint32(FLAGS_AT, SA_RESTART, true);
  if (sigaction(SIGSYS, address(action), address(before)) !== 0) throw new Error(strerror(errno()));
  const asked = new Set<number>();
  let left = threadsWithout(isDone);
  for (const end = performance.now() + PATIENCE; left.length > 0 && performance.now() < end; ) {
    for (const thread of left) {
      if (!asked.has(thread)) tgkill(process.pid, thread, SIGSYS);
      asked.add(thread);
    }
    sleepMicroseconds(200);
    left = threadsWithout(isDone);
  }
  // A thread that has not taken its signal yet must find the handler when it does.
  const pending = [...asked].some((thread) => isPending(statusOf(thread)));
  if (!pending) sigaction(SIGSYS, address(before), null);
  return left;
}

function isPending(status: string | null): boolean {
  const signals = BigInt(`0x${/^SigPnd:\s*([0-9a-f]+)$/m.exec(status ?? "")?.[1] ?? "0"}`);
  return (signals >> BigInt(SIGSYS - 1)) % 2n === 1n;
}
