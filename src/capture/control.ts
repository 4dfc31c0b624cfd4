/** The control block that a worker writes and the kernel programs read: `struct control` in bpf/record/record.h. */
import { mapShared, PROT_READ, PROT_WRITE } from "../native/libc.ts";
import { PAGE_SIZE } from "../native/page.ts";

const HEARTBEAT = 0;
const WAITING = 1;
const LEFT_OUT = 2;
const IS_DEAD = 3;
const IS_READ = 4;
const REGISTERS = 5;
const BYTES = 64;
/** ms: the age of a heartbeat that counts as none. */
const LONG_AGO = 3_600_000;

/** Most workers: their blocks fill one page of 4 KiB. */
export const MOST_WORKERS = 64;

/**
 * The control block of one worker. The programs capture nothing for it before its first heartbeat, and when the last one is
 * older than 2 s.
 */
export class Control {
  readonly #words: Int32Array;

  /**
   * `map` is the descriptor of the map `control`, or -1 where no kernel program is loaded and only sockets capture;
   * `worker` is the index of the worker.
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

  /** Says that the worker has died: from now on its requests are counted as abandoned. `ms`: as for `heartbeat`. */
  close(ms: number): void {
    this.#words[IS_DEAD] = 1;
    this.heartbeat(ms - LONG_AGO);
  }

  /**
   * Whether the next record shall wake us through the ring descriptors; a program that wakes us resets it. A full fence: a
   * worker that sets it and then finds all rings empty may sleep.
   */
  setWaiting(waiting: boolean): void {
    Atomics.store(this.#words, WAITING, waiting ? 1 : 0);
  }

  /** Whether an assistant captures responses with payload, because some copy reads it. */
  setRead(isRead: boolean): void {
    this.#words[IS_READ] = isRead ? 1 : 0;
  }

  /** From now on an intercept on the target looks for flows that copies have registered. */
  setRegisters(): void {
    this.#words[REGISTERS] = 1;
  }

  /** Sets the share of client flows to capture, 0 to 1. A larger share has all flows of a smaller one, and more. */
  setSample(share: number): void {
    // 2^32 does not fit: with a share of 0 one flow in 2^32 is still captured.
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
