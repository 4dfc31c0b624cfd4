/** Detects stalled workers by their counters, which each publishes at least twice a second. */
import type { Published } from "./shared.ts";

/** Calls of `look` in a row without a new publication after which a worker is stalled. */
const STALLED_LOOKS = 4;

export interface Standstill {
  worker: number;
  /** true: it has stalled; false: it runs again. */
  stands: boolean;
}

export class Stalls {
  private readonly versions: number[];
  private readonly still: number[];

  constructor(private readonly views: readonly { shared: Pick<Published, "version">; isDead: boolean }[]) {
    this.versions = views.map(() => -1);
    this.still = views.map(() => 0);
  }

  /** The workers that have stalled, or run again, since the last call. To call about once a second. */
  look(): Standstill[] {
    return this.views.flatMap(({ shared, isDead }, worker): Standstill[] => {
      const version = Atomics.load(shared.version, 0);
      const moves = isDead || version !== this.versions[worker];
      this.versions[worker] = version;
      const before = this.still[worker]!;
      this.still[worker] = moves ? 0 : before + 1;
      if (!moves) return before + 1 === STALLED_LOOKS ? [{ worker, stands: true }] : [];
      return before >= STALLED_LOOKS && !isDead ? [{ worker, stands: false }] : [];
    });
  }
}
