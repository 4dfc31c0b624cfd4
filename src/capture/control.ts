/** The block that user space writes and both programs read: `struct control` in bpf/record.h. */
import { mapShared, PROT_READ, PROT_WRITE } from "../native/libc.ts";
import { PAGE_SIZE } from "../native/page.ts";

const HEARTBEAT = 0;
const WAITING = 1;
const LEFT_OUT = 2;
const WORDS = 3;

/**
 * The programs do nothing until the first heartbeat, and again 2 s after the last one.
 */
export class Control {
  readonly #words: Int32Array;

  /** `map` is the descriptor of the map `control`; -1: there are no programs, and sockets alone ask here. */
  constructor(map: number) {
    const memory =
      map < 0 ? new ArrayBuffer(WORDS * 4) : mapShared(map, PAGE_SIZE, PROT_READ | PROT_WRITE).buffer;
    this.#words = new Int32Array(memory, 0, WORDS);
  }

  /** Says that user space is alive; `ms` is CLOCK_MONOTONIC in milliseconds. */
  heartbeat(ms: number): void {
    this.#words[HEARTBEAT] = Math.floor(ms) | 0;
  }

  /**
   * Whether the next record is to wake us through the ring descriptors; the programs set it back. A full fence: who sets
   * it, then finds all rings empty, may sleep.
   */
  setWaiting(waiting: boolean): void {
    Atomics.store(this.#words, WAITING, waiting ? 1 : 0);
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
