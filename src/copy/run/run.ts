/** Runs `xcopy copy`: opens all that a plan needs, copies (copy.ts), and closes it again, whatever happens. */
import type { KernelCapture } from "../../capture/kernel/capture.ts";
import { fingerprintOf } from "../../channel/key.ts";
import { carriedLibraries } from "../../host/carried-libraries.ts";
import { claimPorts } from "../../host/claims.ts";
import { writePidFile } from "../../host/daemon.ts";
import { removeLeftovers } from "../../host/leftovers.ts";
import { createLog } from "../../host/log/log.ts";
import { createStatus } from "../../host/log/status.ts";
import { serviceManager } from "../../host/manager/manager.ts";
import { applyScheduling } from "../../host/scheduling.ts";
import { listenForStop } from "../../host/signals.ts";
import { Failure } from "../../native/failure.ts";
import { DIRECTORY_NOTE } from "../../native/run-directory.ts";
import { removeStaleRules } from "../../netfilter/rule.ts";
import { type Answers, openAnswers } from "../answers.ts";
import { openCapture } from "../capture.ts";
import { type Observer, openObserver } from "../comparison/observer.ts";
import { liveInput, type RequestInput, recordedInput } from "../input.ts";
import { answersBySocket, loadForAnswers, mostRead, tellNote } from "../load.ts";
import type { CopyOptions } from "../options.ts";
import type { Plan } from "../plan.ts";
import { recognizeProtocols, requireLogins } from "../recognize.ts";
import { copy } from "./copy.ts";
import { END_PATIENCE } from "./end.ts";
import { type Console, NOTHING_YET, type Reloads } from "./running.ts";

/** Opens the recordings; null if a signal came first, as a pipe may stay silent for long. */
function readRecorded(
  plan: Plan,
  options: CopyOptions,
  { log, stop }: Console,
): Promise<RequestInput | null> {
  const found = recordedInput(plan, options, (text) => log.warn(text));
  return Promise.race([found, stop.first.then(() => null)]);
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
  explain: (failure: Failure) => Failure = (failure) => failure,
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
    return await copy(plan, options, { kernel, answers, source, observer }, console_, reloads);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const { message, fix } = explain(error);
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
