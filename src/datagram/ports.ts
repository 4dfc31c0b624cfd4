/** Source ports of each path; the port that has been free for the longest time is used next. */
import { workerOfPort } from "../wire/shard.ts";
import { NONE } from "./table.ts";

interface Queue {
  /** A ring with room for all ports; `count` of them from `head` on are free. */
  ports: Uint16Array;
  head: number;
  count: number;
}

export class DatagramPorts {
  private readonly all: Uint16Array;
  private readonly queues: (Queue | undefined)[] = [];

  /**
   * `ranges`: [first, last] of each, of which the worker uses its part; `random`: 0 to 1, chooses the first port of each path,
   * because a target may still know the flows of the last run.
   */
  constructor(
    ranges: readonly [number, number][],
    private readonly random: () => number,
    worker = 0,
    workers = 1,
  ) {
    const all = ranges.flatMap(([first, last]) =>
      Array.from({ length: last - first + 1 }, (_, i) => first + i),
    );
    this.all = Uint16Array.from(all.filter((port) => workerOfPort(port, workers) === worker));
  }

  /** A free port of the path, or NONE. */
  take(path: number): number {
    this.queues[path] ??= {
      ports: this.all.slice(),
      head: Math.floor(this.random() * this.all.length),
      count: this.all.length,
    };
    const queue = this.queues[path]!;
    if (queue.count === 0) return NONE;
    queue.count--;
    const port = queue.ports[queue.head]!;
    queue.head = (queue.head + 1) % queue.ports.length;
    return port;
  }

  /** A random port of this worker, in use or not. */
  any(): number {
    return this.all[Math.floor(this.random() * this.all.length)]!;
  }

  /** Gives a port back. */
  give(path: number, port: number): void {
    const queue = this.queues[path]!;
    queue.ports[(queue.head + queue.count++) % queue.ports.length] = port;
  }
}
