/** Tells the service manager that a process is alive, as long as each of its data planes is. */
import { monotonicMicroseconds } from "../../native/libc.ts";
import type { ServiceManager } from "./manager.ts";

/** Looks at the data planes within the time that the manager waits. */
const LOOKS = 4;
/** us: a data plane publishes at least twice as often. */
const LEAST_PATIENCE = 1_000_000;

/** A data plane: it moves as long as the number of its publications does (src/runtime/shared.ts). */
export interface Watched {
  shared: { version: Int32Array };
  isDead: boolean;
}

/** Which data planes have moved lately. */
export class Heartbeats {
  private readonly versions: number[];
  private readonly moved: number[];

  /** `patience`: us for which one may stand still. */
  constructor(
    private readonly planes: readonly Watched[],
    private readonly patience: number,
    now: number,
  ) {
    this.versions = planes.map(({ shared }) => Atomics.load(shared.version, 0));
    this.moved = planes.map(() => now);
  }

  /** Whether all of them live and have moved within the patience, at `now` (us). */
  allMove(now: number): boolean {
    for (const [index, { shared }] of this.planes.entries()) {
      const version = Atomics.load(shared.version, 0);
      if (version !== this.versions[index]) this.moved[index] = now;
      this.versions[index] = version;
    }
    return this.planes.every(({ isDead }, index) => !isDead && now - this.moved[index]! <= this.patience);
  }
}

/**
 * Says `alive` four times within the manager's time, as long as all data planes move: half of that time without, and it is not said
 * any more, so that the manager ends the process. From `stopping` on, which bounds what is left, only this thread has to move. Does
 * nothing where no manager waits for it.
 */
export function keepWatchdog(
  manager: ServiceManager,
  planes: readonly Watched[],
  clock: () => number = monotonicMicroseconds,
): void {
  const { watchdogMicroseconds } = manager;
  if (watchdogMicroseconds === null) return;
  const heartbeats = new Heartbeats(planes, Math.max(watchdogMicroseconds / 2, LEAST_PATIENCE), clock());
  const look = () => {
    if (heartbeats.allMove(clock()) || manager.isStopping) manager.alive();
  };
  setInterval(look, watchdogMicroseconds / LOOKS / 1000).unref();
}
