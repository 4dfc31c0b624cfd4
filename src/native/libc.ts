/**
 * The functions of libc that xcopy calls, and their constants (the same on x86-64 and arm64).
 *
 * Functions that fail return -1 (or MAP_FAILED); `errno()` must be the very next call. Pointers are numbers.
 */
import { CString, dlopen, FFIType, type Pointer, ptr, read, toArrayBuffer } from "bun:ffi";

const i32 = FFIType.i32;
const u32 = FFIType.u32;
const i64 = FFIType.i64_fast;
const u64_fast = FFIType.u64_fast;
const pointer = FFIType.ptr;

export const libc = dlopen("libc.so.6", {
  __errno_location: { args: [], returns: pointer },
  strerror: { args: [i32], returns: pointer },
  socket: { args: [i32, i32, i32], returns: i32 },
  bind: { args: [i32, pointer, u32], returns: i32 },
  setsockopt: { args: [i32, i32, i32, pointer, u32], returns: i32 },
  getsockname: { args: [i32, pointer, pointer], returns: i32 },
  sendto: { args: [i32, pointer, u64_fast, i32, pointer, u32], returns: i64 },
  recv: { args: [i32, pointer, u64_fast, i32], returns: i64 },
  sendmmsg: { args: [i32, pointer, u32, i32], returns: i32 },
  read: { args: [i32, pointer, u64_fast], returns: i64 },
  write: { args: [i32, pointer, u64_fast], returns: i64 },
  close: { args: [i32], returns: i32 },
  dup2: { args: [i32, i32], returns: i32 },
  pipe2: { args: [pointer, i32], returns: i32 },
  mmap: { args: [u64_fast, u64_fast, i32, i32, i32, i64], returns: u64_fast },
  munmap: { args: [u64_fast, u64_fast], returns: i32 },
  madvise: { args: [u64_fast, u64_fast, i32], returns: i32 },
  memcpy: { args: [pointer, pointer, u64_fast], returns: pointer },
  epoll_create1: { args: [i32], returns: i32 },
  epoll_ctl: { args: [i32, i32, i32, pointer], returns: i32 },
  epoll_wait: { args: [i32, pointer, i32, i32], returns: i32 },
  ppoll: { args: [pointer, u64_fast, pointer, pointer], returns: i32 },
  eventfd: { args: [u32, i32], returns: i32 },
  memfd_create: { args: [pointer, u32], returns: i32 },
  clock_gettime: { args: [i32, pointer], returns: i32 },
  nanosleep: { args: [pointer, pointer], returns: i32 },
  prctl: { args: [i32, u64_fast, u64_fast, u64_fast, u64_fast], returns: i32 },
  poll: { args: [pointer, u64_fast, i32], returns: i32 },
  setrlimit: { args: [i32, pointer], returns: i32 },
  geteuid: { args: [], returns: u32 },
  recvmmsg: { args: [i32, pointer, u32, i32, pointer], returns: i32 },
  listen: { args: [i32, i32], returns: i32 },
  accept4: { args: [i32, pointer, pointer, i32], returns: i32 },
  connect: { args: [i32, pointer, u32], returns: i32 },
  getsockopt: { args: [i32, i32, i32, pointer, pointer], returns: i32 },
}).symbols;

export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const AF_PACKET = 17;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_CLOEXEC = 0o2000000;
export const IPPROTO_IP = 0;
export const IPPROTO_IPV6 = 41;
export const IPPROTO_RAW = 255;
export const SOL_SOCKET = 1;
export const SOL_PACKET = 263;
export const SO_SNDBUF = 7;
export const SO_SNDBUFFORCE = 32;
export const SO_MARK = 36;
export const PACKET_VNET_HDR = 15;
export const MSG_DONTWAIT = 0x40;
export const MSG_TRUNC = 0x20;
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const MAP_SHARED = 1;
export const EPOLL_CTL_ADD = 1;
export const EPOLLIN = 1;
export const POLLIN = 1;
export const POLLOUT = 4;
export const EFD_NONBLOCK = 0o4000;
export const EFD_CLOEXEC = 0o2000000;
export const CLOCK_REALTIME = 0;
export const CLOCK_MONOTONIC = 1;
export const CLOCK_PROCESS_CPUTIME_ID = 2;
export const PR_SET_TIMERSLACK = 29;
export const SO_RCVBUF = 8;
export const SO_RCVBUFFORCE = 33;

export const O_CLOEXEC = 0o2000000;
export const SOCK_STREAM = 1;
export const SOCK_NONBLOCK = 0o4000;
export const IPPROTO_TCP = 6;
export const SO_REUSEADDR = 2;
export const SO_ERROR = 4;
export const SO_KEEPALIVE = 9;
export const IPV6_V6ONLY = 26;
export const TCP_NODELAY = 1;
export const TCP_KEEPIDLE = 4;
export const TCP_KEEPINTVL = 5;
export const TCP_KEEPCNT = 6;
export const TCP_USER_TIMEOUT = 18;
export const MSG_NOSIGNAL = 0x4000;
export const EPOLLOUT = 4;

export const EPERM = 1;
export const ENOENT = 2;
export const EINTR = 4;
export const EAGAIN = 11;
export const EACCES = 13;
export const EBUSY = 16;
export const EEXIST = 17;
export const ENODEV = 19;
export const EINVAL = 22;
export const ENOSYS = 38;
export const EMSGSIZE = 90;
export const ENETDOWN = 100;
export const ENETUNREACH = 101;
export const ENOBUFS = 105;
export const EHOSTUNREACH = 113;
export const ENOMEM = 12;
export const EPROTONOSUPPORT = 93;
export const EADDRINUSE = 98;
export const EADDRNOTAVAIL = 99;
export const EINPROGRESS = 115;

/** errno of the last call. */
export function errno(): number {
  return read.i32(libc.__errno_location() as Pointer, 0);
}

/** The text of an errno as a cause within a sentence: "no such device" for 19. */
export function strerror(code: number): string {
  const text = new CString(libc.strerror(code) as Pointer).toString();
  // "RFS specific error" stays.
  return text.replace(/^[A-Z](?=[a-z])/, (letter) => letter.toLowerCase());
}

/** The address of a typed array's bytes. It stays the same only for memory created as an ArrayBuffer, or mmap'd. */
export function address(view: ArrayBufferView): number {
  return ptr(view as Uint8Array) as number;
}

/** Keeps what the pointers in a struct point to: by the struct's memory, and the pointer's offset in it. */
const targets = new WeakMap<ArrayBufferLike, Map<number, ArrayBufferView>>();

/**
 * Writes the address of `target`, memory created as an ArrayBuffer, into a struct. `target` then lives as long as the struct, or
 * until the pointer is written again. The garbage collector does not know a bare number as a reference, and could free it early.
 */
export function pointerTo(struct: DataView, offset: number, target: ArrayBufferView): void {
  struct.setBigUint64(offset, BigInt(address(target)), true);
  const known = targets.get(struct.buffer) ?? new Map<number, ArrayBufferView>();
  targets.set(struct.buffer, known.set(struct.byteOffset + offset, target));
}

/** Maps `length` bytes of a file descriptor; the mapping lasts until the process ends. Throws with errno's text. */
export function mapShared(fd: number, length: number, protection: number, offset = 0): Uint8Array {
  const at = libc.mmap(0, length, protection, MAP_SHARED, fd, offset) as unknown as number;
  const code = errno();
  if (at <= 0 || at >= 2 ** 63) throw new Error(`Cannot mmap ${length} bytes: ${strerror(code)}`);
  return new Uint8Array(toArrayBuffer(at as Pointer, 0, length));
}

const timespec = new BigInt64Array(new ArrayBuffer(16));
const timespecWords = new Uint32Array(timespec.buffer);
const timespecAddress = ptr(timespec);

/** CLOCK_MONOTONIC (the clock of bpf_ktime_get_ns) in us, without an allocation. */
export function monotonicMicroseconds(): number {
  return microseconds(CLOCK_MONOTONIC);
}

/** us since 1970 (CLOCK_REALTIME); jumps when the clock is set. */
export function realtimeMicroseconds(): number {
  return microseconds(CLOCK_REALTIME);
}

/** CPU time in us that all threads of this process have used, in user space and in the kernel. */
export function cpuMicroseconds(): number {
  return microseconds(CLOCK_PROCESS_CPUTIME_ID);
}

function microseconds(clock: number): number {
  libc.clock_gettime(clock, timespecAddress);
  return (timespecWords[0]! + timespecWords[1]! * 4294967296) * 1e6 + timespecWords[2]! / 1000;
}

const sleepWords = new Uint32Array(new ArrayBuffer(16));
const sleepAddress = ptr(sleepWords);

/** Blocks the thread for `us`, which must be below one second. */
export function sleepMicroseconds(us: number): void {
  sleepWords[0] = 0;
  sleepWords[2] = us * 1000;
  libc.nanosleep(sleepAddress, null);
}
