/** Runs `xcopy copy`: attaches, copies until a signal or the end of the recording, drains, prints the summary, detaches. */
import type { KernelCapture } from "../capture/kernel.ts";
import { fingerprintOf } from "../channel/key.ts";
import { renderVersion } from "../command-line/reading/help.ts";
import { labelOf } from "../config/transfer.ts";
import { carriedLibraries } from "../host/carried-libraries.ts";
import { claimPorts } from "../host/claims.ts";
import { becomeDaemon, writePidFile } from "../host/daemon.ts";
import { dropPrivileges, type Keeps } from "../host/drop.ts";
import { forwardedNote, watchForwarded } from "../host/forwarded.ts";
import { removeLeftovers } from "../host/leftovers.ts";
import { localTest } from "../host/local-addresses.ts";
import { createLog, type Log, reopenLogs } from "../host/log/log.ts";
import { report } from "../host/log/report.ts";
import { createStatus, type Status } from "../host/log/status.ts";
import { type ServiceManager, serviceManager } from "../host/manager/manager.ts";
import { keepWatchdog } from "../host/manager/watchdog.ts";
import { megabytes, waitingBytes } from "../host/memory.ts";
import { applyScheduling } from "../host/scheduling.ts";
import { listenForStop, type StopRequests } from "../host/signals.ts";
import { CAP } from "../native/bpf/capabilities.ts";
import { Failure } from "../native/failure.ts";
import { DIRECTORY_NOTE } from "../native/run-directory.ts";
import { removeStaleRules } from "../netfilter/rule.ts";
import type { Reloaded } from "../web/source.ts";
import { type Account, takeAccount } from "./account/account.ts";
import { renderStatus } from "./account/status.ts";
import { renderSummary } from "./account/summary.ts";
import { type Answers, openAnswers } from "./answers.ts";
import { openCapture } from "./capture.ts";
import { type Observer, openObserver } from "./comparison/observer.ts";
import { viewDatagramShared } from "./data-plane/datagram-shared.ts";
import { shareOut } from "./data-plane/share-out.ts";
import type { DataPlane } from "./data-plane/start.ts";
import { startWorkers } from "./data-plane/workers.ts";
import { watchQuic } from "./datagram-notes.ts";
import { diagnose } from "./diagnosis.ts";
import { liveInput, type RequestInput, recordedInput } from "./input.ts";
import { answersBySocket, dataPlaneConfig, loadForAnswers, mostRead, tellNote } from "./load.ts";
import { returnPathOf, watchIntercepts } from "./notes/intercepts.ts";
import { watchPauses } from "./notes/pauses.ts";
import { watchSilence } from "./notes/silence.ts";
import type { CopyOptions } from "./options.ts";
import { connectOrdinarily } from "./ordinary-connection.ts";
import { copiesOf, type Plan } from "./plan.ts";
import { recognizeProtocols, requireLogins } from "./recognize.ts";
import { watchClosed } from "./watch-closed.ts";
import { watchLateness } from "./watch-lateness.ts";
import { causeOf, watchWorkers } from "./watch-workers.ts";
import { WayFollower } from "./ways/follow.ts";

/** ms that the data plane may take to end after the drain. */
const PATIENCE = 1000;
/** ms that the data plane may take to end after `stop`. */
const STOP_PATIENCE = 200;
/** s that the end may take besides the drain, for a service manager. */
const END_PATIENCE = 30;

const MARK_LOST =
  "The mark on SYNs (TCP option 253) is lost on the way to the target: each connection is registered with the intercept instead, which costs a round trip.";

/** A copy that captures, for who changes it. */
export interface RunningCopy {
  /** What holds now; a change replaces them. */
  current: { options: CopyOptions; plan: Plan };
  plane: DataPlane;
  ways: WayFollower;
  source: RequestInput;
  answers: Answers;
  observer: Observer;
  /** The words that all engines share: see src/engine/sessions/share.ts. */
  words: Int32Array;
  account(): Account;
  log: Log;
  manager: ServiceManager;
}

/** What changes a copy while it runs: see src/copy/reload. */
export interface Reloads {
  /** The copy's own in its configuration file; null: it has none. */
  readonly name: string | null;
  /** Files that it reads. */
  readonly reads: readonly string[];
  /** SIGHUP asks for it too. */
  readonly takesSignal: boolean;
  /** The copy captures: what was asked for before is done now. */
  begin(running: RunningCopy): void;
  /** Changes what is asked for; resolves when that is done, or refused. */
  reload(): Promise<Reloaded>;
  /** The copy ends. */
  end(): void;
}

/** The run's ways to its user: status line, log, stop signals, service manager. */
interface Console {
  status: Status;
  log: Log;
  stop: StopRequests;
  manager: ServiceManager;
}

const NOTHING_YET = "ended before the first request";

/**
 * What is needed to copy, to follow interfaces and ways to the targets (programs are attached there, sockets opened), and to end.
 */
function keepsOf(
  plan: Plan,
  options: CopyOptions,
  kernel: KernelCapture | null,
  answers: Answers,
  reloads: Reloads | null,
): Keeps {
  const { filter } = options.capture;
  // An interface with another link layer takes another program.
  const loads = filter !== null && kernel !== null && kernel.requestRings.length > 0;
  return {
    capabilities: [CAP.NET_ADMIN, CAP.NET_RAW, ...(loads ? [CAP.BPF, CAP.PERFMON] : [])],
    usesMaps: kernel !== null,
    usesTools: answers.socket !== null,
    runsPrograms: answers.socket !== null,
    attaches: kernel !== null,
    loads,
    writes: [options.log, options.pidFile, ...options.audience.reports.map(({ path }) => path)],
    reads: [...plan.files, ...(reloads?.reads ?? [])],
  };
}

/** Waits for the preflight, throws a Failure for what it found (not with --force), then captures. False after a signal. */
async function begin(
  plan: Plan,
  options: CopyOptions,
  source: RequestInput,
  plane: DataPlane,
  keeps: Keeps,
  { stop, log }: Console,
) {
  const results = await Promise.race([plane.ready, stop.first]);
  if (!results) return false;
  if (!options.force) diagnose(results, plan, await connectOrdinarily(results, plan));
  if (results.registersAll) log.warn(MARK_LOST);
  await source.begin(
    () => stop.count() > 0,
    (text) => log.warn(text),
  );
  dropPrivileges(keeps, log);
  return true;
}

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

/**
 * Waits for a signal, or for `hopeless`; then stops the capture and drains for `drain` seconds, which a second signal cuts short. A
 * recording ends by itself, or at a signal without a drain.
 */
async function copyUntilStopped(
  source: RequestInput,
  plane: DataPlane,
  ways: WayFollower,
  { stop, manager }: Console,
  current: RunningCopy["current"],
  hopeless: Promise<void>,
) {
  let isHopeless = false;
  try {
    await ways.start();
    const died = hopeless.then(() => {
      isHopeless = true;
    });
    await Promise.race([stop.first, plane.ended, died]);
  } finally {
    ways.end();
    manager.stopping(current.options.drain + END_PATIENCE);
  }
  if (stop.count() === 0 && !isHopeless) {
    if (source.trace) return;
    throw new Error("it ended without being told to");
  }
  source.stop();
  const { drain } = current.options;
  if (source.trace) {
    plane.stop();
    await Promise.race([plane.ended, Bun.sleep(PATIENCE)]);
    return;
  }
  plane.drain(drain * 1000);
  await Promise.race([plane.ended, stop.second, Bun.sleep(drain * 1000 + PATIENCE)]);
  plane.stop();
  // The data plane publishes its last counts when it ends.
  await Promise.race([plane.ended, stop.second, Bun.sleep(STOP_PATIENCE)]);
}

/** Follows the network: the ways to the targets, and the interfaces that requests come in by. */
function followNetwork(
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

/** Opens the recordings; null if a signal came first, as a pipe may stay silent for long. */
function readRecorded(
  plan: Plan,
  options: CopyOptions,
  { log, stop }: Console,
): Promise<RequestInput | null> {
  const found = recordedInput(plan, options, (text) => log.warn(text));
  return Promise.race([found, stop.first.then(() => null)]);
}

/** Errors of recordings that could not be read to their ends; none after a signal, which ended the reading. */
async function failuresOf(source: RequestInput, stop: StopRequests): Promise<Failure[]> {
  return stop.count() > 0 ? [] : await source.failures();
}

/** Copies with the programs loaded, and prints the summary. Returns the exit code. */
async function copy(
  plan: Plan,
  options: CopyOptions,
  kernel: KernelCapture | null,
  answers: Answers,
  source: RequestInput,
  observer: Observer,
  console_: Console,
  reloads: Reloads | null,
) {
  const { status, log, stop, manager } = console_;
  answers.begin();
  const whole = dataPlaneConfig(plan, options, kernel, source.source, source.trace, answers.socket);
  const configs = shareOut(whole, plan.workers.cpus, options.scheduling.cpuLimit);
  const watch = watchWorkers(configs, log, manager.watchdogMicroseconds !== null);
  const { deadWorkers } = watch;
  const datagrams = configs.flatMap((config) =>
    config.datagrams ? [viewDatagramShared(config.datagrams.shared)] : [],
  );
  const path = returnPathOf(plan);
  let ways: WayFollower | undefined;
  const plane = startWorkers(configs, {
    onIntercept: watchIntercepts(plan, path, log, !options.force),
    onDeath: watch.onDeath,
    onWays: (taken) => ways?.takeReport(taken),
    onEndUnseen: answers.readWhole,
    onNote: (text) => log.warn(text),
  });
  if (
    !(await begin(plan, options, source, plane, keepsOf(plan, options, kernel, answers, reloads), console_))
  ) {
    plane.stop();
    log.info(NOTHING_YET);
    return 0;
  }
  ways = followNetwork(plan, options, whole.ways.memory, answers, source, log, plane.wake);
  const { counts: wayCounts } = ways;
  const announced = announce(plan, source);
  log.info(announced);
  log.info(roomFor(options, source));
  const start = performance.now();
  const current = { options, plan };
  let rssAtEnd: number | null = null;
  const take = () => {
    const use = { ...process.cpuUsage(), rss: rssAtEnd ?? process.memoryUsage.rss() };
    const counts = source.counts();
    const abandoned = (counts.abandoned ?? 0) + deadWorkers.countAbandoned();
    const capture = { ...counts, abandoned, unread: deadWorkers.unread, responsesLost: answers.lost() };
    const seconds = (performance.now() - start) / 1000;
    const { views } = deadWorkers;
    return observer.withComparison(
      takeAccount(
        seconds,
        views,
        capture,
        use,
        copiesOf(current.plan, current.options),
        path,
        datagrams,
        wayCounts,
      ),
    );
  };
  watch.start();
  keepWatchdog(manager, deadWorkers.views);
  const pairs = configs.flatMap((config) => config.pairs?.memory ?? []);
  observer.begin({ views: deadWorkers.views, datagrams, pairs, take });
  const endQuic = watchQuic(datagrams, log);
  const endForwarded = watchForwarded(() => forwardedNote(source.counts(), source.forwarded()), log);
  const endLateness = watchLateness(take, current, log);
  const endPauses = source.trace ? watchPauses(take, options.trace.longestGap, log) : () => {};
  const endSilence = source.trace
    ? async () => {}
    : watchSilence(
        // What only passed through is told by itself.
        () => source.counts().packets + (source.counts().forwarded ?? 0),
        plan.services,
        () => source.description,
        localTest(),
        log,
      );
  const endClosed = watchClosed(take, log);
  const endReport = report(options, status, manager, take, renderStatus);
  if (options.daemon) becomeDaemon(reopenLogs);
  manager.ready();
  manager.status(announced);
  const words = new Int32Array(configs[0]!.worker.words);
  reloads?.begin({ current, plane, ways, source, answers, observer, words, account: take, log, manager });
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
  rssAtEnd = process.memoryUsage.rss();
  if (hasEnded) deadWorkers.finish();
  endReport();
  endQuic();
  endForwarded();
  endLateness();
  endClosed();
  endPauses();
  await endSilence();
  const { account, ...findings } = await observer.end();
  for (const failure of await failuresOf(source, stop)) {
    log.error(`${failure.message}\n${failure.fix}`);
    exitCode ||= failure.exitCode;
  }
  log.info(renderSummary(account));
  for (const line of findings.errors) log.error(line);
  if (options.json) console.log(JSON.stringify(account));
  return exitCode || findings.exitCode;
}

/** The options with the protocols of all services; as they are if a signal came first. */
function withProtocols(plan: Plan, options: CopyOptions, { log, stop }: Console): Promise<CopyOptions> {
  const found = recognizeProtocols(
    plan,
    options,
    (line) => log.info(line),
    (line) => log.warn(line),
  );
  return Promise.race([
    found.then((protocols) => ({ ...options, protocols })),
    stop.first.then(() => options),
  ]);
}

/** Carries out a plan until a signal. Returns the exit code; a Failure on the way is logged and gives its own. */
export async function runCopy(
  given: CopyOptions,
  plan: Plan,
  reloads: Reloads | null = null,
  lineOfStart = "",
): Promise<number> {
  let options = given;
  const stop = listenForStop(reloads?.takesSignal ? () => void reloads.reload() : null);
  const status = createStatus(process.stderr);
  const log = createLog(status.print, options.log);
  const manager = serviceManager();
  const console_ = { status, log, stop, manager };
  manager.starting();
  stop.first.then(() => manager.stopping(options.drain + END_PATIENCE));
  let removePidFile: (() => void) | undefined;
  let release: (() => void) | undefined;
  let kernel: KernelCapture | null = null;
  let answers: Answers | undefined;
  let closeCapture: (() => void) | undefined;
  let observer: Observer | undefined;
  try {
    for (const warning of plan.warnings) log.warn(warning);
    removePidFile = writePidFile(options.pidFile);
    if (plan.workers.note) log.info(plan.workers.note);
    if (DIRECTORY_NOTE) log.info(DIRECTORY_NOTE);
    if (plan.key) log.info(`key ${fingerprintOf(plan.key.bytes)} (${plan.key.source})`);
    applyScheduling(options.scheduling);
    const recorded = plan.files.length > 0 ? await readRecorded(plan, options, console_) : null;
    options = await withProtocols(plan, options, console_);
    if (stop.count() > 0) {
      log.info(NOTHING_YET);
      return 0;
    }
    requireLogins(plan, options, options.capture.backEnd);
    release = claimPorts(plan.paths, plan.ports, (line) => log.warn(line));
    const libraries = await carriedLibraries();
    for (const what of [...removeLeftovers(libraries), ...removeStaleRules()])
      log.info(`removed ${what}, left by an xcopy that was killed`);
    let source = recorded;
    if (source) {
      kernel = loadForAnswers(plan, options, libraries, (cause) => tellNote(answersBySocket(cause), log));
      answers = openAnswers(plan, kernel, mostRead(plan, options));
    } else {
      const opened = openCapture(plan, options, libraries);
      kernel = opened.kernel;
      closeCapture = opened.capture.close;
      requireLogins(plan, options, opened.capture.name);
      answers = openAnswers(plan, kernel, mostRead(plan, options));
      source = liveInput(plan, opened);
      for (const note of opened.notes) tellNote(note, log);
    }
    observer = await openObserver(plan.services, plan.intercepts.length === 0, options, log, reloads);
    return await copy(plan, options, kernel, answers, source, observer, console_, reloads);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const { message, fix } = lineOfStart === "" ? error : error.withLineOfStart(lineOfStart);
    log.error(`${message}\n${fix}`);
    return error.exitCode;
  } finally {
    await observer?.close();
    closeCapture?.();
    answers?.close();
    kernel?.detach();
    release?.();
    removePidFile?.();
  }
}
