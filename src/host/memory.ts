/** How much memory buffers get where the user does not say it: shares of this host's, within bounds. */
import { totalmem } from "node:os";

export const MEGABYTE = 1 << 20;

/** For captured packets that wait to be read, all rings together. */
const BUFFERS = { share: 1 / 100, least: 32 * MEGABYTE, most: 512 * MEGABYTE };
/** For requests that wait to be sent. It is taken as it is needed: a burst for which the target needs longer. */
const WAITING = { share: 1 / 20, least: 256 * MEGABYTE, most: 2048 * MEGABYTE };

/** Bytes of memory that this process may use: those of the host, or fewer where its cgroup has a limit. */
export function hostMemory(): number {
  return Math.min(totalmem(), process.constrainedMemory() || Infinity);
}

/** Bytes for captured packets: `given` (-B), or 1 % of `memory`, 32 to 512 MB. */
export function bufferBytes(given: number | null, memory = hostMemory()): number {
  return given ?? shareOf(memory, BUFFERS);
}

/**
 * Bytes of each of `rings` rings, a power of two and at least `least`. With `given` (-B) they have together at most that; without
 * it they come as near to 1 % of `memory` as powers of two can, 32 to 512 MB.
 */
export function ringBytesFor(
  given: number | null,
  rings: number,
  least: number,
  memory = hostMemory(),
): number {
  const share = bufferBytes(given, memory) / rings;
  const round = given === null ? Math.round : Math.floor;
  const bytes = 2 ** round(Math.log2(share));
  const isTooMuch = given === null && bytes * rings > BUFFERS.most;
  return Math.max(least, isTooMuch ? bytes / 2 : bytes);
}

/** Bytes for requests that wait to be sent: `given` (-m), or 5 % of `memory`, 256 to 2048 MB. */
export function waitingBytes(given: number | null, memory = hostMemory()): number {
  return given ?? shareOf(memory, WAITING);
}

/** "256 MB", in the unit of -B and -m. */
export function megabytes(bytes: number): string {
  return `${Math.round(bytes / MEGABYTE)} MB`;
}

function shareOf(memory: number, { share, least, most }: typeof BUFFERS): number {
  return Math.floor(Math.min(most, Math.max(least, memory * share)));
}
