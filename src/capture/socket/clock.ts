/** From the kernel's timestamps of packets to the time of the engine. */
import { monotonicMicroseconds, realtimeMicroseconds } from "../../native/libc.ts";

/** us that the two clocks may seem to have moved against each other because we were held up between reading them. */
const JITTER = 200;

/** CLOCK_REALTIME - CLOCK_MONOTONIC; one for all sockets of a thread, so that their packets have one order. */
let offset = Number.NaN;

/** Packets on sockets have the time of day (CLOCK_REALTIME), which may be set at any time. */
export class PacketClock {
  #now = 0;
  #last = 0;

  /** Before a batch of packets that have come by now. */
  update(): void {
    const real = realtimeMicroseconds();
    this.#now = monotonicMicroseconds();
    const present = real - this.#now;
    if (!(Math.abs(present - offset) < JITTER)) offset = present;
  }

  /** CLOCK_MONOTONIC in us of a timestamp; never after now, and not before one that was given earlier. */
  monotonic(seconds: number, nanoseconds: number): number {
    const time = Math.floor(seconds * 1e6 + nanoseconds / 1000 - offset);
    this.#last = Math.max(this.#last, Math.min(time, this.#now));
    return this.#last;
  }
}
