/**
 * Which code of xcopy has run, by the profiler of the JavaScript engine: exact to the block, and the counts of how often. Asking takes
 * some milliseconds whatever ran before, so that it is asked after many inputs, and which of them ran new code is found by halves.
 */
import { Session } from "node:inspector/promises";

/** What ran since it was asked before: by script, 1 for each character of code that ran. */
export interface Run {
  scripts: Map<string, Uint8Array>;
  /** How often the block that ran most did. */
  most: number;
}

export class Coverage {
  readonly #session = new Session();
  readonly #known = new Map<string, Uint8Array>();

  /** Call `start` before the code to be watched is loaded. */
  async start(): Promise<void> {
    this.#session.connect();
    await this.#session.post("Profiler.enable");
    await this.#session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  }

  stop(): void {
    this.#session.disconnect();
  }

  async take(): Promise<Run> {
    const scripts = new Map<string, Uint8Array>();
    let most = 0;
    const { result } = await this.#session.post("Profiler.takePreciseCoverage");
    for (const { url, functions } of result) {
      if (!url.includes("/src/")) continue;
      const ranges = functions.flatMap((one) => one.ranges);
      const painted = new Uint8Array(Math.max(0, ...ranges.map(({ endOffset }) => endOffset)));
      // Outer blocks and functions stand before those within them.
      for (const { startOffset, endOffset, count } of ranges) {
        painted.fill(count > 0 ? 1 : 0, startOffset, endOffset);
        most = Math.max(most, count);
      }
      scripts.set(url, painted);
    }
    return { scripts, most };
  }

  /** Whether code ran that had never run. */
  isNew({ scripts }: Run): boolean {
    for (const [url, painted] of scripts) {
      const known = this.#known.get(url);
      for (let i = 0; i < painted.length; i++) if (painted[i] && !known?.[i]) return true;
    }
    return false;
  }

  /** Remembers what ran. */
  add({ scripts }: Run): void {
    for (const [url, painted] of scripts) {
      const known = this.#known.get(url) ?? new Uint8Array(painted.length);
      for (let i = 0; i < painted.length; i++) known[i]! |= painted[i]!;
      this.#known.set(url, known);
    }
  }

  /** Characters of code that have run. */
  get characters(): number {
    let sum = 0;
    for (const known of this.#known.values()) for (const ran of known) sum += ran;
    return sum;
  }
}
