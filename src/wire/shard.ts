/** Which worker a client's connection belongs to; must agree with bpf/packet/worker.h. */
import { MAPPED } from "./address-words.ts";

/**
 * The index, below `workers`, of the worker for connections from a client's address and port. The address: four words in
 * `words` at `at`, as in address-words.ts.
 */
export function workerOfClient(words: Int32Array, at: number, port: number, workers: number): number {
  if (workers === 1) return 0;
  let hash = words[at]! ^ words[at + 1]! ^ words[at + 2]! ^ words[at + 3]!;
  // The kernel hashes an IPv4 address as one word, without the prefix of the mapping.
  if (words[at] === 0 && words[at + 1] === 0 && words[at + 2] === MAPPED) hash ^= MAPPED;
  hash ^= Math.imul(port, 0x9e3779b1);
  // The finalizer of MurmurHash3.
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  hash ^= hash >>> 16;
  return Math.floor(((hash >>> 0) * workers) / 2 ** 32);
}

/** The index, below `workers`, of the worker that opens connections from this port of an address of this host. */
export function workerOfPort(port: number, workers: number): number {
  return port % workers;
}
