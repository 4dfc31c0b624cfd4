/**
 * TCP sockets that never block, for a loop with its own epoll: descriptors are plain numbers, failed calls return the
 * negative errno.
 */
import { formatEndpoint } from "../config/address.ts";
import { Failure } from "../native/failure.ts";
import {
  AF_INET,
  AF_INET6,
  address,
  EACCES,
  EADDRINUSE,
  EADDRNOTAVAIL,
  EAGAIN,
  EINPROGRESS,
  errno,
  IPPROTO_IPV6,
  IPPROTO_TCP,
  IPV6_V6ONLY,
  libc,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SO_ERROR,
  SO_KEEPALIVE,
  SO_REUSEADDR,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  strerror,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_NODELAY,
  TCP_USER_TIMEOUT,
} from "../native/libc.ts";
import type { Outgoing } from "./outgoing.ts";

/** An address (4 or 16 bytes, network order) and a port. */
export interface Endpoint {
  address: Uint8Array;
  port: number;
}

export interface Accepted extends Endpoint {
  fd: number;
}

/** Connections that may wait to be accepted: enough for a copy to get in while a scanner fills the queue. */
const BACKLOG = 1024;
/** s after which a peer that has vanished is noticed, whether data is on its way to it or not. */
const GONE = 15;
const PROBES = 3;

/** Bytes of struct sockaddr_in and sockaddr_in6, and where the address is in them. */
const IPV4 = { length: 16, address: 4, bytes: 4 };
const IPV6 = { length: 28, address: 8, bytes: 16 };

const name = new Uint8Array(new ArrayBuffer(32));
const nameView = new DataView(name.buffer);
const nameAt = address(name);
const value = new Int32Array(new ArrayBuffer(4));
const valueAt = address(value);
const length = new Uint32Array(new ArrayBuffer(4));
const lengthAt = address(length);

/** struct sockaddr into `name`; returns its length. */
function writeName({ address, port }: Endpoint): number {
  const form = address.length === 4 ? IPV4 : IPV6;
  name.fill(0);
  nameView.setUint16(0, address.length === 4 ? AF_INET : AF_INET6, true);
  nameView.setUint16(2, port);
  name.set(address, form.address);
  return form.length;
}

function readName(): Endpoint {
  const form = nameView.getUint16(0, true) === AF_INET ? IPV4 : IPV6;
  return { address: name.slice(form.address, form.address + form.bytes), port: nameView.getUint16(2) };
}

function set(fd: number, level: number, option: number, to: number): void {
  value[0] = to;
  libc.setsockopt(fd, level, option, valueAt, 4);
}

function open(family: number): number {
  const fd = Number(libc.socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  return fd < 0 ? -errno() : fd;
}

/** Sends small writes at once; notices a dead peer, also on a connection that is only read or only written. */
function prepare(fd: number): void {
  set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set(fd, IPPROTO_TCP, TCP_KEEPIDLE, GONE / PROBES);
  set(fd, IPPROTO_TCP, TCP_KEEPINTVL, GONE / PROBES);
  set(fd, IPPROTO_TCP, TCP_KEEPCNT, PROBES - 1);
  set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, GONE * 1000);
}

/**
 * Listening sockets, one per endpoint, in order; `[::]` takes IPv6 only. Port 0: any free one, see `localEndpoint`. Throws a
 * Failure (exit code 1, 4 for a port below 1024 without the capability), and has opened none then.
 */
export function listen(endpoints: Endpoint[]): number[] {
  const fds: number[] = [];
  try {
    for (const endpoint of endpoints) fds.push(listenOn(endpoint));
  } catch (error) {
    for (const fd of fds) libc.close(fd);
    throw error;
  }
  return fds;
}

function listenOn(endpoint: Endpoint): number {
  const fd = open(endpoint.address.length === 4 ? AF_INET : AF_INET6);
  if (fd < 0) throw listenFailure(endpoint, -fd);
  set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (endpoint.address.length === 16) set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  const bound = libc.bind(fd, nameAt, writeName(endpoint));
  const code = bound < 0 ? errno() : libc.listen(fd, BACKLOG) < 0 ? errno() : 0;
  if (code === 0) return fd;
  libc.close(fd);
  throw listenFailure(endpoint, code);
}

function listenFailure({ address, port }: Endpoint, code: number): Failure {
  const fix =
    code === EADDRINUSE
      ? `Something listens there already (ss -ltnp 'sport = :${port}'): stop it, or choose another port.`
      : code === EADDRNOTAVAIL
        ? "Name an address of this host (ip address)."
        : code === EACCES
          ? "Run as root, or choose a port from 1024 on."
          : "Name another address or port.";
  const message = `Cannot listen on "${formatEndpoint(address, port)}": ${strerror(code)}`;
  return new Failure(message, fix, code === EACCES ? 4 : 1);
}

/** Where a socket is bound. */
export function localEndpoint(fd: number): Endpoint {
  length[0] = name.length;
  if (libc.getsockname(fd, nameAt, lengthAt) < 0) throw new Error(`Cannot getsockname: ${strerror(errno())}`);
  return readName();
}

/** Accepts the next waiting connection; a negative errno if there is none (EAGAIN) or no descriptor is free (EMFILE). */
export function accept(listener: number): Accepted | number {
  length[0] = name.length;
  const fd = Number(libc.accept4(listener, nameAt, lengthAt, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (fd < 0) return -errno();
  prepare(fd);
  return { fd, ...readName() };
}

/** Begins to connect: a descriptor that becomes writable when `connectResult` knows more, or a negative errno. */
export function connect(endpoint: Endpoint): number {
  const fd = open(endpoint.address.length === 4 ? AF_INET : AF_INET6);
  if (fd < 0) return fd;
  prepare(fd);
  if (libc.connect(fd, nameAt, writeName(endpoint)) === 0) return fd;
  const code = errno();
  if (code === EINPROGRESS) return fd;
  libc.close(fd);
  return -code;
}

/** What connecting came to, once the descriptor is writable: 0 or a negative errno. */
export function connectResult(fd: number): number {
  length[0] = 4;
  return libc.getsockopt(fd, SOL_SOCKET, SO_ERROR, valueAt, lengthAt) < 0 ? -errno() : 0 - value[0]!;
}

/** Reads into `bytes` from `from` to `to`: how many bytes came, 0 at the end of the stream, or a negative errno. */
export function receive(fd: number, bytes: Uint8Array, from: number, to: number): number {
  const count = Number(libc.recv(fd, address(bytes) + from, to - from, MSG_DONTWAIT));
  return count < 0 ? -errno() : count;
}

/** Writes `bytes` from `from` to `to`: how many were taken, or a negative errno. */
export function send(fd: number, bytes: Uint8Array, from: number, to: number): number {
  const flags = MSG_DONTWAIT | MSG_NOSIGNAL;
  const count = Number(libc.sendto(fd, address(bytes) + from, to - from, flags, null, 0));
  return count < 0 ? -errno() : count;
}

/** Writes what waits, as far as the socket takes it: 0, or the negative errno; -EAGAIN: wait until it is writable. */
export function flush(fd: number, outgoing: Outgoing): number {
  while (outgoing.fill() > 0) {
    const count = send(fd, outgoing.bytes, outgoing.from, outgoing.to);
    if (count < 0) return count;
    outgoing.take(count);
  }
  return 0;
}

/** Whether a call only has to be tried later (EAGAIN): nothing to read, or no room to write. */
export function isLater(result: number): boolean {
  return result === -EAGAIN;
}

export function close(fd: number): void {
  libc.close(fd);
}
