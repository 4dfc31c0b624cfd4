/** CPU affinity and priority of the threads of this process. */
import { dlopen, FFIType } from "bun:ffi";
import { readdirSync, readFileSync } from "node:fs";
import { address, errno } from "./libc.ts";

const i32 = FFIType.i32;
const pointer = FFIType.ptr;

const lib = dlopen("libc.so.6", {
  sched_setaffinity: { args: [i32, FFIType.u64_fast, pointer], returns: i32 },
  sched_setscheduler: { args: [i32, i32, pointer], returns: i32 },
  setpriority: { args: [i32, i32, i32], returns: i32 },
}).symbols;

const PRIO_PROCESS = 0;
const SCHED_IDLE = 5;
/** Number of CPUs that a mask has room for. */
export const MOST_CPUS = 8192;

/** Ids of the threads of this process. A thread that is created later inherits from the one that creates it. */
function threads(): number[] {
  return readdirSync("/proc/self/task").map(Number);
}

/** Calls `call` for each thread; 0, or errno of the first failure. A thread that has just ended is no failure. */
function forEachThread(call: (thread: number) => number): number {
  const ESRCH = 3;
  for (const thread of threads()) {
    if (call(thread) === 0) continue;
    const code = errno();
    if (code !== ESRCH) return code;
  }
  return 0;
}

function maskOf(cpus: readonly number[]): Uint8Array {
  const mask = new Uint8Array(new ArrayBuffer(MOST_CPUS / 8));
  for (const cpu of cpus) mask[cpu >> 3]! |= 1 << (cpu & 7);
  return mask;
}

/** Binds the calling thread to this CPU. Returns 0 or errno. */
export function pinThread(cpu: number): number {
  const mask = maskOf([cpu]);
  return lib.sched_setaffinity(0, mask.length, address(mask)) === 0 ? 0 : errno();
}

/** Binds all threads of this process to these CPUs. Returns 0 or errno. */
export function pinProcess(cpus: readonly number[]): number {
  const mask = maskOf(cpus);
  return forEachThread((thread) => lib.sched_setaffinity(thread, mask.length, address(mask)));
}

/** Sets the nice value of all threads of this process, -20 to 19 (setpriority(2)). Returns 0 or errno. */
export function setNice(nice: number): number {
  return forEachThread((thread) => lib.setpriority(PRIO_PROCESS, thread, nice));
}

/** Lets this process run only while no other program wants to (SCHED_IDLE of sched(7)). Returns 0 or errno. */
export function setIdle(): number {
  const parameters = new Int32Array(new ArrayBuffer(4));
  return forEachThread((thread) => lib.sched_setscheduler(thread, SCHED_IDLE, address(parameters)));
}

/** The CPUs that this process may run on and that are online, in order. */
export function usableCpus(): number[] {
  const status = readFileSync("/proc/self/status", "utf8");
  const allowed = parseCpuList(/^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1] ?? "0");
  let online: string;
  try {
    online = readFileSync("/sys/devices/system/cpu/online", "utf8");
  } catch {
    // Without /sys: nothing runs on one that is offline.
    return allowed;
  }
  const present = new Set(parseCpuList(online.trim()));
  return allowed.filter((cpu) => present.has(cpu));
}

/** Parses a list like `0-3,8`, as the kernel writes it. */
function parseCpuList(text: string): number[] {
  return text.split(",").flatMap((part) => {
    const [first, last = first] = part.split("-").map(Number) as [number, number?];
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}
