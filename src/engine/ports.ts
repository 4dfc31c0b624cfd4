/**
 * Source ports per path: a port that comes free is used again last, so that the target's TIME_WAIT has the longest
 * time to pass. The first one is chosen at random: after a restart the target may still hold the old ones.
 */
import { NONE } from "./table.ts";

export class Ports {
  private readonly all: Uint16Array;
  private readonly queues: (Uint16Array | undefined)[] = [];
  private readonly heads: number[] = [];
  private readonly counts: number[] = [];
  private readonly random: () => number;

  /** `ranges`: [first, last] of each; `random`: 0 to 1, for the first port of each path. */
  constructor(ranges: [number, number][], random: () => number) {
    this.all = Uint16Array.from(
      ranges.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, i) => first + i)),
    );
    this.random = random;
  }

  /** A free port of the path, or NONE. */
  take(path: number): number {
    let queue = this.queues[path];
    if (queue === undefined) {
      queue = this.all.slice();
      this.queues[path] = queue;
      this.heads[path] = Math.floor(this.random() * queue.length);
      this.counts[path] = queue.length;
    }
    if (this.counts[path] === 0) return NONE;
    const head = this.heads[path]!;
    this.heads[path] = head + 1 === queue.length ? 0 : head + 1;
    this.counts[path]!--;
    return queue[head]!;
  }

  /** Gives a port back; it goes to the end of the queue. */
  give(path: number, port: number): void {
    const queue = this.queues[path]!;
    const at = this.heads[path]! + this.counts[path]!;
    queue[at >= queue.length ? at - queue.length : at] = port;
    this.counts[path]!++;
  }
}
