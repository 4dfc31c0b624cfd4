/** From the kernel's timestamps of packets to the time of the engine. */
import { monotonicMicroseconds, realtimeMicroseconds } from "../../native/libc.ts";

/** Packets on sockets have the time of day (CLOCK_REALTIME), which may be set at any time. */
export class PacketClock {
  #offset = 0;
  #now = 0;
  #last = 0;

  /** Before a batch of packets that have come by now. */
  update(): void {
    this.#now = monotonicMicroseconds();
    this.#offset = realtimeMicroseconds() - this.#now;
  }

  /** CLOCK_MONOTONIC in us of a timestamp; never after now, and not before one that was given earlier. */
  monotonic(seconds: number, nanoseconds: number): number {
    const time = Math.floor(seconds * 1e6 + nanoseconds / 1000 - this.#offset);
    this.#last = Math.max(this.#last, Math.min(time, this.#now));
    return this.#last;
  }
}
