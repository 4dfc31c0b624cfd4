/** Notices workers that stand still: each publishes its counters at least twice a second. */
import type { Published } from "./shared.ts";

/** Looks in a row at which nothing has moved. */
const PATIENCE = 4;

export interface Standstill {
  worker: number;
  /** Whether it has begun to stand still, or goes on. */
  stands: boolean;
}

export class Stalls {
  private readonly versions: number[];
  private readonly still: number[];

  constructor(private readonly views: readonly { shared: Pick<Published, "version">; isDead: boolean }[]) {
    this.versions = views.map(() => -1);
    this.still = views.map(() => 0);
  }

  /** What has changed since the last look; called about once a second. */
  look(): Standstill[] {
    return this.views.flatMap(({ shared, isDead }, worker): Standstill[] => {
      const version = Atomics.load(shared.version, 0);
      const moves = isDead || version !== this.versions[worker];
      this.versions[worker] = version;
      const before = this.still[worker]!;
      this.still[worker] = moves ? 0 : before + 1;
      if (!moves) return before + 1 === PATIENCE ? [{ worker, stands: true }] : [];
      return before >= PATIENCE && !isDead ? [{ worker, stands: false }] : [];
    });
  }
}
