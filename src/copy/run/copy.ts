/** Copies with all opened: starts the data plane and what watches it, until the end, and prints the summary. */
import { renderVersion } from "../../command-line/reading/help.ts";
import { labelOf } from "../../config/transfer.ts";
import { becomeDaemon } from "../../host/daemon.ts";
import { reopenLogs } from "../../host/log/log.ts";
import { report } from "../../host/log/report.ts";
import { keepWatchdog } from "../../host/manager/watchdog.ts";
import { megabytes, waitingBytes } from "../../host/memory.ts";
import { renderStatus } from "../account/status.ts";
import { renderSummary } from "../account/summary.ts";
import { viewDatagramShared } from "../data-plane/datagram-shared.ts";
import { shareOut } from "../data-plane/share-out.ts";
import { startWorkers } from "../data-plane/workers.ts";
import type { RequestInput } from "../input.ts";
import { dataPlaneConfig } from "../load.ts";
import { returnPathOf, watchIntercepts } from "../notes/intercepts.ts";
import type { CopyOptions } from "../options.ts";
import type { Plan } from "../plan.ts";
import { causeOf, watchWorkers } from "../watch-workers.ts";
import type { WayFollower } from "../ways/follow.ts";
import { Accounting } from "./accounting.ts";
import { begin, keepsOf } from "./begin.ts";
import { copyUntilStopped, failuresOf } from "./end.ts";
import { followNetwork } from "./network.ts";
import { type Console, NOTHING_YET, type Opened, type Reloads } from "./running.ts";
import { watchCopy } from "./watches.ts";

function announce(plan: Plan, { description }: RequestInput): string {
  const { count } = plan.workers;
  const workers = count > 1 ? `, by ${count} workers` : "";
  return `copying ${plan.services.map(labelOf).join(", ")}, ${description}${workers}`;
}

/** What bursts find room in. */
function roomFor({ memory }: CopyOptions, { room }: RequestInput): string {
  const waiting = `up to ${megabytes(waitingBytes(memory))} for requests that wait to be sent (-m)`;
  return room === null ? waiting : `${room} for captured packets that wait to be read (-B), ${waiting}`;
}

/** Copies with the programs loaded, and prints the summary. Returns the exit code. */
export async function copy(
  plan: Plan,
  options: CopyOptions,
  opened: Opened,
  console_: Console,
  reloads: Reloads | null,
): Promise<number> {
  const { kernel, answers, source, observer } = opened;
  const { status, log, manager } = console_;
  answers.begin();
  const whole = dataPlaneConfig(plan, options, kernel, source.source, source.trace, answers.socket);
  const configs = shareOut(whole, plan.workers.cpus, options.scheduling.cpuLimit);
  const watch = watchWorkers(configs, log, manager.watchdogMicroseconds !== null);
  const { deadWorkers } = watch;
  const path = returnPathOf(plan);
  let ways: WayFollower | undefined;
  const plane = startWorkers(configs, {
    onIntercept: watchIntercepts(plan, path, log, !options.force),
    onDeath: watch.onDeath,
    onWays: (taken) => ways?.takeReport(taken),
    onEndUnseen: answers.readWhole,
    onNote: (text) => log.warn(text),
  });
  const keeps = keepsOf(plan, options, kernel, answers, reloads);
  if (!(await begin(plan, options, source, plane, keeps, console_))) {
    plane.stop();
    log.info(NOTHING_YET);
    return 0;
  }
  ways = followNetwork(plan, options, whole.ways.memory, answers, source, log, plane.wake);
  const announced = announce(plan, source);
  log.info(announced);
  log.info(roomFor(options, source));

  const current = { options, plan };
  const datagrams = configs.flatMap((config) =>
    config.datagrams ? [viewDatagramShared(config.datagrams.shared)] : [],
  );
  const accounting = new Accounting(opened, current, path, deadWorkers, datagrams, ways.counts);
  const { take } = accounting;
  watch.start();
  keepWatchdog(manager, deadWorkers.views);
  const pairs = configs.flatMap((config) => config.pairs?.memory ?? []);
  observer.begin({ views: deadWorkers.views, datagrams, pairs, take });
  const endWatches = watchCopy(source, current, datagrams, take, log);
  const endReport = report(options, status, manager, take, renderStatus);
  if (options.daemon) becomeDaemon(reopenLogs);
  manager.ready();
  manager.status(announced);
  const words = new Int32Array(configs[0]!.worker.words);
  const takesUdp = datagrams.length > 0;
  const parts = { plane, ways, source, answers, observer, words };
  reloads?.begin({ current, ...parts, takesUdp, account: take, log, manager });
  let hasEnded = false;
  const noteEnd = () => {
    hasEnded = true;
  };
  plane.ended.then(noteEnd, noteEnd);
  let exitCode = 0;
  try {
    await copyUntilStopped(source, plane, ways, console_, current, watch.hopeless);
  } catch (error) {
    log.error(
      `Cannot go on: the data plane died: ${causeOf(error)}\nThis is a bug in ${renderVersion()}: please report it.`,
    );
    exitCode = 1;
  }

  reloads?.end();
  watch.stop();
  if (deadWorkers.any) exitCode = 1;
  // To see what was not read, the rings are mapped once more, which would count as resident.
  accounting.keepMemory();
  if (hasEnded) deadWorkers.finish();
  endReport();
  await endWatches();
  return conclude(opened, options, console_, exitCode);
}

/** Prints what is left to say at the end. Returns the exit code; `exitCode`: that of the run. */
async function conclude(
  { observer, source }: Opened,
  options: CopyOptions,
  { log, stop }: Console,
  exitCode: number,
): Promise<number> {
  let code = exitCode;
  const { account, ...findings } = await observer.end();
  for (const failure of await failuresOf(source, stop)) {
    log.error(`${failure.message}\n${failure.fix}`);
    code ||= failure.exitCode;
  }
  log.info(renderSummary(account));
  for (const line of findings.errors) log.error(line);
  if (options.json) console.log(JSON.stringify(account));
  return code || findings.exitCode;
}
