/** sendmmsg(2) for injectors: packets that the kernel refuses are counted, those that it has no room for are tried again. */
import { EAGAIN, EINTR, ENOBUFS, sleepMicroseconds } from "../native/libc.ts";
import type { Messages } from "../native/messages.ts";

/** Counters of an injector; `patience`: us that it may still wait for room in the kernel during this `send`. */
export interface Tally {
  packets: number;
  bytes: number;
  errors: number;
  lastError: number;
  patience: number;
}

/** us that one `send` waits at most. The data plane reads no records meanwhile: its rings have room for far more. */
export const PATIENCE = 5000;
const FIRST_PAUSE = 50;
const MOST_RETRIES = 8;

/**
 * Sends the first `count` messages. One that the kernel refuses is counted and skipped. Where it has no room (a full socket
 * buffer or device queue), the message is tried again after pauses that double, a few times and within `tally.patience`.
 * `lengths`: IP bytes of each message.
 */
export function deliver(
  fd: number,
  messages: Messages,
  lengths: Uint32Array,
  count: number,
  tally: Tally,
): void {
  let next = 0;
  let retries = 0;
  while (next < count) {
    const taken = messages.send(fd, next, count);
    if (taken > 0) {
      tally.packets += taken;
      for (const end = next + taken; next < end; next++) tally.bytes += lengths[next]!;
      retries = 0;
    } else if (retries < MOST_RETRIES && mayRetry(-taken, FIRST_PAUSE << retries, tally)) {
      retries++;
    } else {
      tally.errors++;
      tally.lastError = -taken;
      next++;
      retries = 0;
    }
  }
}

function mayRetry(code: number, pause: number, tally: Tally): boolean {
  if (code === EINTR) return true;
  if ((code !== EAGAIN && code !== ENOBUFS) || tally.patience <= 0) return false;
  sleepMicroseconds(Math.min(pause, tally.patience));
  tally.patience -= pause;
  return true;
}
