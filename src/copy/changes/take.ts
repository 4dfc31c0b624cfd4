/** A data plane's side of changes: it takes what the main thread has published, between two rounds. */
import { flowHashOf } from "../../capture/history.ts";
import type { Engine } from "../../engine/engine.ts";
import { PublishedReader } from "../../runtime/published.ts";
import type { LiveNumbers, NewsTaken, PlaneNews } from "./news.ts";

/**
 * us after the share of connections was lowered, when those that are left out end: what was captured of them before is read by
 * then, and begins no session again.
 */
const READ_SPAN = 1_000_000;

/** What takes numbers besides the engine. */
export interface TakesNumbers {
  change(numbers: LiveNumbers, now: number): void;
}

export class Changes {
  private readonly reader: PublishedReader<PlaneNews>;
  private leaveOutAt = Number.POSITIVE_INFINITY;
  private sample: number;

  constructor(
    memory: SharedArrayBuffer,
    private readonly engine: Engine,
    private readonly others: readonly TakesNumbers[],
    /** Flows with a hash below this are not captured. */
    private readonly leftOut: () => number,
    sample: number,
    private readonly onTaken: (taken: NewsTaken) => void,
  ) {
    this.reader = new PublishedReader(memory);
    this.sample = sample;
  }

  get hasNews(): boolean {
    return this.reader.hasNews;
  }

  /** `now`: us. */
  take(now: number): void {
    const { numbers } = this.reader.read();
    if (numbers) this.takeNumbers(numbers, now);
    this.onTaken({ taken: this.reader.version });
  }

  /** Does what is due; called in every round. */
  run(now: number): void {
    if (now < this.leaveOutAt) return;
    this.leaveOutAt = Number.POSITIVE_INFINITY;
    const limit = this.leftOut();
    this.engine.leaveOut((...flow) => flowHashOf(...flow) < limit, now);
  }

  /** us until `run` has something to do. */
  wait(now: number): number {
    return Math.max(0, this.leaveOutAt - now);
  }

  private takeNumbers(numbers: LiveNumbers, now: number): void {
    const { jitter, late, turnTimeout, quiet, turnLimit, users, sessionTimeout, idleTimeout } = numbers;
    this.engine.change(
      { jitter, late, turnTimeout, quiet, turnLimit, users, sessionTimeout, idleTimeout },
      numbers.round,
      numbers.since,
      now,
    );
    for (const other of this.others) other.change(numbers, now);
    if (numbers.sample < this.sample) this.leaveOutAt = now + READ_SPAN;
    this.sample = numbers.sample;
  }
}
