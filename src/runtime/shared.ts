/** What every data plane shares with the main thread: what it is asked for, and its counters of one moment. */

/** What the main thread asks for, in `Commanded.command`. */
export const RUN = 0;
/** Take no new turns, finish what is in flight until the deadline of the drain, then end. */
export const DRAIN = 1;
/** End at once. */
export const STOP = 2;

/** Counters of a worker, as of the end of a round. */
export interface Published {
  /** [0]: publications so far; even and odd ones have counters of their own. */
  version: Int32Array;
  counters: [even: Float64Array, odd: Float64Array];
}

/** Counters, and what the main thread asks for. */
export interface Commanded extends Published {
  /** [0]: RUN, DRAIN or STOP; [1]: milliseconds that a drain may take. The only word that the main thread writes. */
  command: Int32Array;
}

/** Bytes of shared memory that `viewCommanded` takes for so many counters; other things go behind them. */
export function commandedBytes(counters: number): number {
  return 16 + 2 * counters * 8;
}

/** The beginning of memory that a data plane and the main thread share. */
export function viewCommanded(memory: SharedArrayBuffer, counters: number): Commanded {
  return {
    command: new Int32Array(memory, 0, 2),
    version: new Int32Array(memory, 8, 1),
    counters: [new Float64Array(memory, 16, counters), new Float64Array(memory, 16 + counters * 8, counters)],
  };
}

/** Where each counter is among all. */
export function indexesOf<C extends string>(counters: readonly C[]): Record<C, number> {
  return Object.fromEntries(counters.map((name, index) => [name, index])) as Record<C, number>;
}

/** Makes counters that add up visible to the main thread, all at once; for the worker, between two rounds. */
export function publish({ version, counters }: Published, counted: Float64Array): void {
  const next = version[0]! + 1;
  counters[next & 1 ? 1 : 0].set(counted);
  Atomics.add(version, 0, 1);
}

/** All counters of one moment; for the main thread. It never waits for a worker that is stopped in the middle. */
export function takeCounters({ version, counters }: Published): Float64Array {
  for (;;) {
    const before = Atomics.load(version, 0);
    const taken = counters[before & 1 ? 1 : 0].slice();
    // An addition of nothing is a fence: the copy is made before. What was copied is written again only after the next.
    if (Atomics.add(version, 0, 0) === before) return taken;
  }
}
