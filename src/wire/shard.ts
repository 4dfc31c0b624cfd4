/** Which worker a client's connection belongs to: what bpf/packet/worker.h says, for whoever must agree with the kernel. */
import { MAPPED } from "./address-words.ts";

/**
 * The index of the worker, of so many, that has the connection of a client at an address and port. The address is in
 * `words` at `at`: four words as network order has them, IPv4 as IPv4-mapped IPv6.
 */
export function workerOfClient(words: Int32Array, at: number, port: number, workers: number): number {
  if (workers === 1) return 0;
  let hash = words[at]! ^ words[at + 1]! ^ words[at + 2]! ^ words[at + 3]!;
  // The kernel has an IPv4 address as it is.
  if (words[at] === 0 && words[at + 1] === 0 && words[at + 2] === MAPPED) hash ^= MAPPED;
  hash ^= Math.imul(port, 0x9e3779b1);
  // The finalizer of MurmurHash3.
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  hash ^= hash >>> 16;
  return Math.floor(((hash >>> 0) * workers) / 2 ** 32);
}

/** The index of the worker, of so many, that opens connections from this port of this host's own. */
export function workerOfPort(port: number, workers: number): number {
  return port % workers;
}
