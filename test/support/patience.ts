/** How long tests wait before they give up: longer where the machine is slow, as bin/test measures it beside them. */
import { readFileSync } from "node:fs";

let factor = 1;
let readAt = -Infinity;

/** How many times slower than a free machine this one is at the moment; 1 where nobody measures (`bun test` by itself). */
export function slowness(): number {
  const file = process.env.XCOPY_TEST_SLOWNESS;
  if (file && performance.now() - readAt > 100) {
    factor = Number(readFileSync(file, "latin1"));
    readAt = performance.now();
  }
  return factor;
}

/** What `ms` on a free machine are here, at the moment: for bounds that are given to other programs. */
export function patient(ms: number): number {
  return Math.ceil(ms * slowness());
}

/** A bound for a wait, in ms of a free machine: time runs slower where the machine does. */
export class Patience {
  private left: number;
  private last: number;
  private readonly begun: number;

  constructor(
    readonly ms: number,
    private readonly clock = () => performance.now(),
  ) {
    this.left = ms;
    this.begun = this.last = clock();
  }

  /** Whether the time is over; called often. */
  isOver(): boolean {
    const now = this.clock();
    this.left -= (now - this.last) / slowness();
    this.last = now;
    return this.left < 0;
  }

  /** The bound and what became of it: "10,000 ms (31,204 ms on this machine)". */
  toString(): string {
    const passed = Math.round(this.last - this.begun).toLocaleString("en-US");
    return `${this.ms.toLocaleString("en-US")} ms of a free machine (${passed} ms here)`;
  }
}
