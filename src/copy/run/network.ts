/** What a copy follows of the network while it runs: ways to the targets, and interfaces. */
import type { Log } from "../../host/log/log.ts";
import { Failure } from "../../native/failure.ts";
import type { Answers } from "../answers.ts";
import type { RequestInput } from "../input.ts";
import type { CopyOptions } from "../options.ts";
import type { Plan } from "../plan.ts";
import { WayFollower } from "../ways/follow.ts";

/** Captures on new interfaces too; those in `gone` are gone, or were made anew. */
function follow(source: RequestInput, gone: ReadonlySet<number>, log: Log): void {
  try {
    const names = source.follow(gone);
    if (names.length > 0) log.info(`capturing on ${names.join(", ")} as well`);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    log.warn(`${error.message}\n${error.fix}`);
  }
}

/** Follows the network: the ways to the targets, and the interfaces that requests come in by. */
export function followNetwork(
  plan: Plan,
  options: CopyOptions,
  memory: SharedArrayBuffer,
  answers: Answers,
  source: RequestInput,
  log: Log,
  wake: () => void,
): WayFollower {
  const { mark, mtu, timeout } = options;
  const settings = { mark, mtu: mtu ?? null, hold: timeout * 1000, workers: plan.workers.count };
  return new WayFollower(plan.ways, plan.egresses, memory, settings, {
    onInterfaces(gone) {
      answers.forget(gone);
      follow(source, gone, log);
    },
    catchOn: answers.catchOn,
    moveSource: answers.moveSource,
    wake,
    info: log.info,
    warn: log.warn,
  });
}
