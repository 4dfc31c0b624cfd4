/** The block that a worker of user space writes and the programs read: `struct control` in bpf/record/record.h. */
import { mapShared, PROT_READ, PROT_WRITE } from "../native/libc.ts";
import { PAGE_SIZE } from "../native/page.ts";

const HEARTBEAT = 0;
const WAITING = 1;
const LEFT_OUT = 2;
const IS_DEAD = 3;
const IS_READ = 4;
const BYTES = 64;
/** ms: a heartbeat that is as good as none. */
const LONG_AGO = 3_600_000;

/** Workers there may be: their blocks are one page. */
export const MOST_WORKERS = 64;

/**
 * The programs do nothing for a worker until its first heartbeat, and again 2 s after the last one.
 */
export class Control {
  readonly #words: Int32Array;

  /**
   * `map` is the descriptor of the map `control`, `worker` the index of the worker; -1: there are no programs, and sockets
   * alone ask here.
   */
  constructor(map: number, worker = 0) {
    const memory =
      map < 0
        ? new ArrayBuffer(MOST_WORKERS * BYTES)
        : mapShared(map, PAGE_SIZE, PROT_READ | PROT_WRITE).buffer;
    this.#words = new Int32Array(memory, worker * BYTES, BYTES / 4);
  }

  /** Says that user space is alive; `ms` is CLOCK_MONOTONIC in milliseconds. */
  heartbeat(ms: number): void {
    this.#words[HEARTBEAT] = Math.floor(ms) | 0;
  }

  /** The worker has died: its packets are counted as abandoned from now on. `ms`: as for `heartbeat`. */
  close(ms: number): void {
    this.#words[IS_DEAD] = 1;
    this.heartbeat(ms - LONG_AGO);
  }

  /**
   * Whether the next record is to wake us through the ring descriptors; the programs set it back. A full fence: who sets
   * it, then finds all rings empty, may sleep.
   */
  setWaiting(waiting: boolean): void {
    Atomics.store(this.#words, WAITING, waiting ? 1 : 0);
  }

  /** Whether an assistant's responses are captured with their payload: some copy reads it. */
  setRead(isRead: boolean): void {
    this.#words[IS_READ] = isRead ? 1 : 0;
  }

  /** Which share of the clients' flows is captured, 0 to 1; the same flows at the same share, more at a larger one. */
  setSample(share: number): void {
    // 2^32 does not fit: of a share of 0 one flow in four thousand million is captured.
    this.#words[LEFT_OUT] = Math.min(0xffffffff, Math.round((1 - share) * 2 ** 32)) | 0;
  }

  /** Flows with a hash below this are not captured, 0 to 2^32 - 1. */
  get leftOut(): number {
    return this.#words[LEFT_OUT]! >>> 0;
  }

  get waiting(): boolean {
    return this.#words[WAITING] !== 0;
  }
}
