/** Logs workers that die or stall, and counts the packets that they leave unread. */
import { renderVersion } from "../command-line/reading/help.ts";
import type { Log } from "../host/log/log.ts";
import { Stalls } from "../runtime/stalls.ts";
import type { DataPlaneConfig } from "./data-plane/config.ts";
import { DeadWorkers } from "./dead-workers.ts";

/** ms between two looks for workers that have stalled. */
const INTERVAL = 1000;

export function causeOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

export interface WorkersWatch {
  deadWorkers: DeadWorkers;
  /** Resolves when a worker has died and xcopy is to end, although others could go on. */
  hopeless: Promise<void>;
  /** See WorkersHandlers (data-plane/workers.ts). */
  onDeath(worker: number, error: Error, othersGoOn: boolean): void;
  /** Looks for stalled workers, until `stop`. */
  start(): void;
  stop(): void;
}

/** `isRestarted`: who started xcopy starts it again if it fails, so that one dead worker ends all of it. */
export function watchWorkers(
  configs: readonly DataPlaneConfig[],
  log: Log,
  isRestarted: boolean,
): WorkersWatch {
  const deadWorkers = new DeadWorkers(configs);
  const nameOf = (worker: number) => `worker ${worker + 1} of ${configs.length}`;
  const stalls = new Stalls(deadWorkers.views);
  const look = () => {
    for (const { worker, stands } of stalls.look()) {
      if (stands)
        log.warn(
          `${nameOf(worker)} has stalled: its packets are not copied, only counted; production is not affected`,
        );
      else log.info(`${nameOf(worker)} runs again`);
    }
  };
  let timer: Timer | undefined;
  const hopeless = Promise.withResolvers<void>();
  const consequence = isRestarted
    ? "All of it ends, to be started again by the service manager."
    : "Its connections are not copied any more, those of the others are.";
  return {
    deadWorkers,
    hopeless: hopeless.promise,
    onDeath(worker, error, othersGoOn) {
      deadWorkers.add(worker);
      if (!othersGoOn) return;
      log.error(
        `Cannot go on with ${nameOf(worker)}: it died: ${causeOf(error)}\n` +
          `${consequence} This is a bug in ${renderVersion()}: please report it.`,
      );
      if (isRestarted) hopeless.resolve();
    },
    start() {
      timer = setInterval(look, INTERVAL);
    },
    stop: () => clearInterval(timer),
  };
}
