/** Converts the kernel's timestamps of packets (CLOCK_REALTIME) to the engine's time (CLOCK_MONOTONIC). */
import { monotonicMicroseconds, realtimeMicroseconds } from "../../native/libc.ts";

/** us by which the measured offset may change without the clock having been set, besides the time that reading takes. */
const JITTER = 50;

/** us: CLOCK_REALTIME - CLOCK_MONOTONIC; one for all sockets of a thread, so that their packets have one order. */
let offset = Number.NaN;

/** The clock of one socket. Its packets have timestamps of CLOCK_REALTIME, which may be set at any time. */
export class PacketClock {
  #now = 0;
  #last = 0;

  /** To call before a batch of packets that were already received. */
  update(): void {
    const before = monotonicMicroseconds();
    const real = realtimeMicroseconds();
    this.#now = monotonicMicroseconds();
    // If the thread was delayed between the readings, the old offset is as good as the new one.
    const present = real - (before + this.#now) / 2;
    if (!(Math.abs(present - offset) < JITTER + this.#now - before)) offset = present;
  }

  /** CLOCK_MONOTONIC in us of a timestamp; never later than the last `update`, and never earlier than the last result. */
  monotonic(seconds: number, nanoseconds: number): number {
    const time = Math.floor(seconds * 1e6 + nanoseconds / 1000 - offset);
    this.#last = Math.max(this.#last, Math.min(time, this.#now));
    return this.#last;
  }
}
