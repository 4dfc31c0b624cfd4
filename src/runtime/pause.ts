/**
 * How the data plane waits. While traffic flows it polls the rings: it sleeps a fixed, short time between two polls, and the
 * kernel need not wake it. After some polls that found nothing it sleeps until the kernel wakes it at the next record. Where
 * records are rare (see sparse.ts) it does so after the first one.
 */
import type { Control } from "../capture/control.ts";
import {
  address,
  EPOLL_CTL_ADD,
  EPOLLIN,
  errno,
  libc,
  monotonicMicroseconds,
  sleepMicroseconds,
  strerror,
} from "../native/libc.ts";
import { Sparse } from "./sparse.ts";

/** Default us between two polls: each then handles many records. */
const POLL_INTERVAL = 1300;
/** us between two polls while a turn is held up by an answer that has not been read yet, or a ring fills up. */
const SHORT_INTERVAL = 100;
/** us from a record to the next poll where records are rare: it finds the answer to the request. */
const GATHER = 1000;
/** Polls in a row without a record, of which the next one asks the kernel to wake us. */
const EMPTY_POLLS = 2;

export class Pause {
  private readonly epoll: number;
  private readonly events = new Uint8Array(new ArrayBuffer(12 * 8));
  private emptyPolls = 0;
  private readonly control: Control;
  private readonly sparse: Sparse;

  /**
   * `descriptors`: readable when there is something to do (rings, the main thread's eventfd); `isPunctual`: the sleep between
   * two polls ends early when the engine's timer is due; `interval`: us between two polls while traffic flows.
   */
  constructor(
    control: Control,
    descriptors: number[],
    private readonly isPunctual = false,
    private readonly interval = POLL_INTERVAL,
  ) {
    this.control = control;
    this.sparse = new Sparse(interval);
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
   * Waits for the next poll. `records`: how many the last one found; `hurry`: a turn is held up by an answer that may have
   * arrived already, or the rings may soon be full; `timer`: us until the engine must be called; `isEmpty`: whether all rings
   * are empty.
   */
  wait(records: number, hurry: boolean, timer: number, isEmpty: () => boolean): void {
    this.emptyPolls = records > 0 ? 0 : this.emptyPolls + 1;
    this.sparse.count(records, monotonicMicroseconds());
    if (timer <= 0) return;
    if (this.emptyPolls <= (this.sparse.is ? 0 : EMPTY_POLLS)) {
      const usual = this.sparse.is ? Math.min(GATHER, this.interval) : this.interval;
      const interval = hurry ? SHORT_INTERVAL : usual;
      sleepMicroseconds(this.isPunctual ? Math.min(timer, interval) : interval);
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
