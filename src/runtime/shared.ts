/** The memory that every data plane shares with the main thread: a command, and counters that are published together. */

/** Commands of the main thread, in `Commanded.command`. RUN: go on. */
export const RUN = 0;
/** Take no new turns, finish what is in flight until the deadline of the drain, then end. */
export const DRAIN = 1;
/** End at once. */
export const STOP = 2;

/** Counters of a worker, as they were at the end of a round of its loop. */
export interface Published {
  /** [0]: number of publications so far; even and odd ones have separate counters. */
  version: Int32Array;
  counters: [even: Float64Array, odd: Float64Array];
}

/** Counters, and the command of the main thread. */
export interface Commanded extends Published {
  /** [0]: RUN, DRAIN or STOP; [1]: ms that a drain may take. The only words that the main thread writes. */
  command: Int32Array;
}

/** Bytes of shared memory that `viewCommanded` uses for so many counters; other data may follow them. */
export function commandedBytes(counters: number): number {
  return 16 + 2 * counters * 8;
}

/** Views of the beginning of the memory that a data plane and the main thread share. */
export function viewCommanded(memory: SharedArrayBuffer, counters: number): Commanded {
  return {
    command: new Int32Array(memory, 0, 2),
    version: new Int32Array(memory, 8, 1),
    counters: [new Float64Array(memory, 16, counters), new Float64Array(memory, 16 + counters * 8, counters)],
  };
}

/** The index of each counter. */
export function indexesOf<C extends string>(counters: readonly C[]): Record<C, number> {
  return Object.fromEntries(counters.map((name, index) => [name, index])) as Record<C, number>;
}

/** Publishes the counters to the main thread, all at once. The worker calls it between two rounds, when they add up. */
export function publish({ version, counters }: Published, counted: Float64Array): void {
  const next = version[0]! + 1;
  counters[next & 1 ? 1 : 0].set(counted);
  Atomics.add(version, 0, 1);
}

/** All counters of one publication, for the main thread. Never waits for a worker that is stopped within a publication. */
export function takeCounters({ version, counters }: Published): Float64Array {
  for (;;) {
    const before = Atomics.load(version, 0);
    const taken = counters[before & 1 ? 1 : 0].slice();
    // Adding 0 is a fence: the copy comes before it. What was copied is overwritten only after the next publication.
    if (Atomics.add(version, 0, 0) === before) return taken;
  }
}
