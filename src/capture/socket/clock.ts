/** From the kernel's timestamps of packets to the time of the engine. */
import { monotonicMicroseconds, realtimeMicroseconds } from "../../native/libc.ts";

/** us that the two clocks may seem to have moved against each other without having been set, beside the time of reading them. */
const JITTER = 50;

/** CLOCK_REALTIME - CLOCK_MONOTONIC; one for all sockets of a thread, so that their packets have one order. */
let offset = Number.NaN;

/** Packets on sockets have the time of day (CLOCK_REALTIME), which may be set at any time. */
export class PacketClock {
  #now = 0;
  #last = 0;

  /** Before a batch of packets that have come by now. */
  update(): void {
    const before = monotonicMicroseconds();
    const real = realtimeMicroseconds();
    this.#now = monotonicMicroseconds();
    // Who is held up between two readings does not know better than before.
    const present = real - (before + this.#now) / 2;
    if (!(Math.abs(present - offset) < JITTER + this.#now - before)) offset = present;
  }

  /** CLOCK_MONOTONIC in us of a timestamp; never after now, and not before one that was given earlier. */
  monotonic(seconds: number, nanoseconds: number): number {
    const time = Math.floor(seconds * 1e6 + nanoseconds / 1000 - offset);
    this.#last = Math.max(this.#last, Math.min(time, this.#now));
    return this.#last;
  }
}
