/**
 * Source ports per path: a port that is given back is used again after all others, so that the target's TIME_WAIT has the
 * longest time to end. The first port is random: after a restart the target may still have connections of the old ports.
 */
import { alone, ownsPort, type Share } from "./share.ts";
import { NONE } from "./table.ts";

/** The ports of one path. */
interface Queue {
  /** Ports never used: `unused` of them, from this index of `all` on, continued at its start. */
  next: number;
  unused: number;
  /** Ports that were given back: `count` of them from `head` on, in a ring that grows when it is full. */
  free: Uint16Array;
  head: number;
  count: number;
}

const FIRST_RING = 64;

export class Ports {
  private readonly all: Uint16Array;
  private readonly queues: (Queue | undefined)[] = [];
  private readonly random: () => number;

  /**
   * `ranges`: [first, last] of each; `random`: 0 to 1, chooses the first port of each path; `unusable`: by path, a port
   * that must not be used, 0 for none; `share`: the engine whose ports are taken.
   */
  constructor(
    ranges: [number, number][],
    random: () => number,
    private readonly unusable: number[] = [],
    private readonly share: Share = alone(0),
  ) {
    this.all = Uint16Array.from(
      ranges.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, i) => first + i)),
    );
    this.random = random;
  }

  /** One more path. */
  addPath(unusable: number): void {
    this.unusable.push(unusable);
  }

  /** A free port of the path, or NONE. */
  take(path: number): number {
    const { all } = this;
    let queue = this.queues[path];
    if (queue === undefined) {
      const next = Math.floor(this.random() * all.length);
      queue = { next, unused: all.length, free: new Uint16Array(FIRST_RING), head: 0, count: 0 };
      this.queues[path] = queue;
    }
    while (queue.unused > 0) {
      queue.unused--;
      const port = all[queue.next]!;
      queue.next = queue.next + 1 === all.length ? 0 : queue.next + 1;
      if (port !== this.unusable[path] && ownsPort(this.share, port)) return port;
    }
    if (queue.count === 0) return NONE;
    queue.count--;
    const port = queue.free[queue.head]!;
    queue.head = (queue.head + 1) & (queue.free.length - 1);
    return port;
  }

  /** A random port of the ranges, in use or not, of any engine. */
  any(): number {
    return this.all[Math.floor(this.random() * this.all.length)]!;
  }

  /** Gives a port back; it goes to the end of the queue. */
  give(path: number, port: number): void {
    const queue = this.queues[path]!;
    if (queue.count === queue.free.length) grow(queue);
    queue.free[(queue.head + queue.count) & (queue.free.length - 1)] = port;
    queue.count++;
  }
}

/** Doubles the ring; its ports keep their order. */
function grow(queue: Queue): void {
  const larger = new Uint16Array(queue.free.length * 2);
  larger.set(queue.free.subarray(queue.head));
  larger.set(queue.free.subarray(0, queue.head), queue.free.length - queue.head);
  queue.free = larger;
  queue.head = 0;
}
