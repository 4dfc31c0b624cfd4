/**
 * How the data plane waits. While traffic flows it sleeps a fixed, short time between two looks at the rings, and the
 * kernel wakes nobody; after some looks in vain it lets the kernel wake it at the next record.
 */
import type { Control } from "../capture/control.ts";
import { address, EPOLL_CTL_ADD, EPOLLIN, errno, libc, sleepMicroseconds, strerror } from "../native/libc.ts";

/** us between two looks where nobody says: records gather, a wake-up serves many. */
const GATHER = 2000;
/** us between two looks while a turn waits for an answer that another turn waits for, or a ring fills up. */
const HURRY = 100;
/** Looks in vain before the kernel is asked to wake us. */
const PATIENCE = 2;

export class Pause {
  private readonly epoll: number;
  private readonly events = new Uint8Array(new ArrayBuffer(12 * 8));
  private vain = 0;
  private readonly control: Control;

  /**
   * `descriptors`: readable when there is something to do (rings, the main thread's eventfd); `isPunctual`: what is due
   * between two looks does not wait for the next; `gather`: us between two looks while traffic flows.
   */
  constructor(
    control: Control,
    descriptors: number[],
    private readonly isPunctual = false,
    private readonly gather = GATHER,
  ) {
    this.control = control;
    this.epoll = libc.epoll_create1(0);
    for (const fd of descriptors) {
      // struct epoll_event is packed on x86-64 and has 16 bytes on arm64; the kernel reads only what it needs.
      const event = new Uint32Array(new ArrayBuffer(16));
      event[0] = EPOLLIN;
      if (libc.epoll_ctl(this.epoll, EPOLL_CTL_ADD, fd, address(event)) !== 0) {
        throw new Error(`Cannot wait for the rings: ${strerror(errno())}`);
      }
    }
  }

  /**
   * Waits for the next look. `records`: what the last one found; `hurry`: a turn is held up by an answer that may be
   * there already, or there may soon be no room for more records; `timer`: us until the engine wants to be called; `isEmpty`: whether all rings are.
   */
  wait(records: number, hurry: boolean, timer: number, isEmpty: () => boolean): void {
    this.vain = records > 0 ? 0 : this.vain + 1;
    if (timer <= 0) return;
    if (this.vain <= PATIENCE) {
      const look = hurry ? HURRY : this.gather;
      sleepMicroseconds(this.isPunctual ? Math.min(timer, look) : look);
      return;
    }
    this.control.setWaiting(true);
    if (isEmpty()) libc.epoll_wait(this.epoll, address(this.events), 1, Math.ceil(timer / 1000));
    this.control.setWaiting(false);
  }

  close(): void {
    libc.close(this.epoll);
  }
}
