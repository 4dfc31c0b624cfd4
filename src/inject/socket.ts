/** Opens the sockets of injectors: marked, with a large send buffer. */
import { Failure } from "../native/failure.ts";
import {
  address,
  EPERM,
  errno,
  libc,
  SO_MARK,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_RAW,
  SOL_SOCKET,
  strerror,
} from "../native/libc.ts";

const SO_BINDTODEVICE = 25;
/** Bytes: room for some ten of the largest batches. Only a device that is slower than us for long fills it. */
const SEND_BUFFER = 8 << 20;

const value = new Int32Array(new ArrayBuffer(4));
const valueAddress = address(value);

/** setsockopt of an int: 0, or the errno. */
export function setOption(fd: number, level: number, option: number, to: number): number {
  value[0] = to;
  return libc.setsockopt(fd, level, option, valueAddress, 4) === 0 ? 0 : errno();
}

/** Binds a socket to an interface (SO_BINDTODEVICE): 0, or the errno. */
export function bindToInterface(fd: number, name: string): number {
  const text = new Uint8Array(new TextEncoder().encode(`${name}\0`).buffer);
  return libc.setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, address(text), text.length) === 0 ? 0 : errno();
}

/**
 * A socket to send from, raw by default, with a large buffer and our mark. `purpose` completes "Cannot ..." in errors.
 * Throws a Failure (exit code 4 without CAP_NET_RAW or CAP_NET_ADMIN, else 1).
 */
export function openSocket(
  family: number,
  protocol: number,
  mark: number,
  purpose: string,
  type = SOCK_RAW,
): number {
  const fd = Number(libc.socket(family, type | SOCK_CLOEXEC, protocol));
  if (fd < 0) throw failure(purpose, errno());
  const code = setOption(fd, SOL_SOCKET, SO_MARK, mark);
  if (code !== 0) {
    libc.close(fd);
    throw failure(purpose, code);
  }
  // SO_SNDBUF, which needs no CAP_NET_ADMIN, is limited by net.core.wmem_max.
  if (setOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER) !== 0) {
    setOption(fd, SOL_SOCKET, SO_SNDBUF, SEND_BUFFER);
  }
  return fd;
}

/** `Cannot <purpose>: <text of errno>`, with its fix. */
export function failure(purpose: string, code: number): Failure {
  const message = `Cannot ${purpose}: ${strerror(code)}`;
  if (code === EPERM) {
    return new Failure(message, "Run as root, or with the capabilities CAP_NET_RAW and CAP_NET_ADMIN.", 4);
  }
  return new Failure(message, "Check that the interface exists and is up (ip link), then start again.", 1);
}
