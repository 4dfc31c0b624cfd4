/** epoll(7) without an allocation per event. */
import { address, EPOLL_CTL_ADD, EPOLLIN, EPOLLOUT, errno, libc, strerror } from "./libc.ts";

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;

export { EPOLLOUT };
export const EPOLLERR = 8;
export const EPOLLHUP = 16;

/** struct epoll_event: packed on x86-64 only (include/uapi/linux/eventpoll.h). */
const EVENT_BYTES = process.arch === "x64" ? 12 : 16;
const DATA = EVENT_BYTES - 8;
const MOST_EVENTS = 64;

/** Removes `fd` from the epoll instance `watching`, which may be another thread's. */
export function stopWatching(watching: number, fd: number): void {
  libc.epoll_ctl(watching, EPOLL_CTL_DEL, fd, null);
}

export class Epoll {
  readonly #fd: number;
  readonly #events = new DataView(new ArrayBuffer(MOST_EVENTS * EVENT_BYTES));
  readonly #at = address(this.#events);
  readonly #one = new DataView(new ArrayBuffer(EVENT_BYTES));
  readonly #oneAt = address(this.#one);
  /** struct pollfd of the epoll descriptor itself, and struct timespec. */
  readonly #poll = new DataView(new ArrayBuffer(8));
  readonly #pollAt = address(this.#poll);
  readonly #timespec = new Uint32Array(new ArrayBuffer(16));
  readonly #timespecAt = address(this.#timespec);

  constructor() {
    this.#fd = libc.epoll_create1(EPOLL_CLOEXEC);
    if (this.#fd < 0) throw new Error(`Cannot wait for events: ${strerror(errno())}`);
    this.#poll.setInt32(0, this.#fd, true);
    this.#poll.setInt16(4, EPOLLIN, true);
  }

  /** Watches a descriptor for `events` (EPOLLIN, EPOLLOUT; errors always). Throws with errno's text. */
  add(fd: number, events: number): void {
    this.#control(EPOLL_CTL_ADD, fd, events);
  }

  change(fd: number, events: number): void {
    this.#control(EPOLL_CTL_MOD, fd, events);
  }

  remove(fd: number): void {
    stopWatching(this.#fd, fd);
  }

  /** Descriptor of this epoll instance: readable when there is an event. */
  get descriptor(): number {
    return this.#fd;
  }

  /** Waits for at most `ms` (0: not at all; -1: for ever) and returns how many events there are for `fdOf` and `eventsOf`. */
  wait(ms: number): number {
    return Math.max(0, libc.epoll_wait(this.#fd, this.#at, MOST_EVENTS, ms) as number);
  }

  /** Waits for at most `us` (below one second) or until there is an event, which `wait` then returns. */
  pause(us: number): void {
    this.#timespec[2] = us * 1000;
    libc.ppoll(this.#pollAt, 1, this.#timespecAt, null);
  }

  fdOf(index: number): number {
    return this.#events.getInt32(index * EVENT_BYTES + DATA, true);
  }

  eventsOf(index: number): number {
    return this.#events.getUint32(index * EVENT_BYTES, true);
  }

  close(): void {
    libc.close(this.#fd);
  }

  #control(operation: number, fd: number, events: number): void {
    this.#one.setUint32(0, events, true);
    this.#one.setInt32(DATA, fd, true);
    if (libc.epoll_ctl(this.#fd, operation, fd, this.#oneAt) !== 0)
      throw new Error(`Cannot wait for descriptor ${fd}: ${strerror(errno())}`);
  }
}
