/** Runs `xcopy record`: attaches, writes until a signal or a limit, prints the summary. */
import { cpus, release, type as systemName } from "node:os";
import { Control } from "../capture/control.ts";
import { possibleCpus, WHOLE_PACKETS } from "../capture/maps.ts";
import type { KernelService } from "../capture/services.ts";
import { renderVersion } from "../command-line/reading/help.ts";
import { carriedLibraries } from "../host/carried-libraries.ts";
import { recordPrograms } from "../host/carried-programs.ts";
import { becomeDaemon, writePidFile } from "../host/daemon.ts";
import { dropPrivileges, type Keeps } from "../host/drop.ts";
import { followLocal } from "../host/follow-local.ts";
import { forwardedNote, watchForwarded } from "../host/forwarded.ts";
import { removeLeftovers } from "../host/leftovers.ts";
import { createLog, type Log, reopenLogs } from "../host/log/log.ts";
import { report } from "../host/log/report.ts";
import { createStatus, type Status } from "../host/log/status.ts";
import { type ServiceManager, serviceManager } from "../host/manager/manager.ts";
import { keepWatchdog } from "../host/manager/watchdog.ts";
import { megabytes, ringBytesFor } from "../host/memory.ts";
import { requirePrivileges } from "../host/privileges.ts";
import { listenForStop, type StopRequests } from "../host/signals.ts";
import { CAP } from "../native/bpf/capabilities.ts";
import type { CarriedLibrary } from "../native/carried.ts";
import { Failure } from "../native/failure.ts";
import { interfaceName } from "../native/filters.ts";
import { monotonicMicroseconds } from "../native/libc.ts";
import { DIRECTORY_NOTE } from "../native/run-directory.ts";
import { openZstd } from "../native/zstd.ts";
import { FileError, type OpenFile, openFile, STANDARD_OUTPUT } from "./files.ts";
import { loadRecordKernel, type RecordKernel } from "./kernel.ts";
import type { RecordOptions } from "./options.ts";
import { type RecordPlan, whatIsRecorded } from "./plan.ts";
import { createRecordShared, viewRecordShared } from "./shared.ts";
import { type RecordEvent, type RecordPlane, type RecordPlaneConfig, startRecordPlane } from "./start.ts";
import {
  type RecordEnd,
  type RecordFacts,
  renderRecordStatus,
  renderRecordSummary,
  takeRecordAccount,
} from "./summary.ts";

/** Bytes that a ring has at least, whatever -B says for all of them. */
const RING_LEAST = 1 << 20;
/** ms that writing what is left in the rings may take at the end. */
const PATIENCE = 10_000;
/** s that the end may take besides, for a service manager. */
const END_PATIENCE = 30;
/** ms that the data plane may take to end at once (a second signal). */
const AT_ONCE = 1000;
/** ms between heartbeats of this thread, besides those of the writing thread: a slow disk must not stop the capture. */
const HEARTBEAT_INTERVAL = 500;

/** The run's ways to its user: status line, log, stop signals, service manager. */
interface Console {
  status: Status;
  log: Log;
  stop: StopRequests;
  manager: ServiceManager;
}

function kernelServices({ services }: RecordPlan): KernelService[] {
  return services.flatMap(({ address, port }, index): KernelService[] =>
    address
      ? [{ address: address.bytes, family: address.family, port, index }]
      : ([4, 6] as const).map((family) => ({ address: null, family, port, index })),
  );
}

function loadKernel(plan: RecordPlan, options: RecordOptions, libraries: CarriedLibrary[]): RecordKernel {
  const { requestObject, outgoingObject } = recordPrograms();
  try {
    return loadRecordKernel({
      requestObject,
      outgoingObject: options.both ? outgoingObject : null,
      services: kernelServices(plan),
      onlyLocal: plan.services.some(({ address }) => address === null),
      mark: options.mark,
      keepsAcks: options.acks,
      snaplen: options.snaplen ?? WHOLE_PACKETS,
      ringBytes: ringBytesFor(options.bufferBytes, possibleCpus(), RING_LEAST),
      ringLeast: RING_LEAST,
      hook: options.hook,
      libraries,
    });
  } catch (error) {
    if (!(error instanceof Failure) || error.exitCode !== 5) throw error;
    throw error.withFix("Record by tcpdump -w FILE meanwhile, which xcopy copy -i reads");
  }
}

/** Throws a Failure (exit code 2) where the first file cannot be made. */
function openFirst({ files }: RecordPlan): OpenFile {
  try {
    return openFile(files, new Date(), null);
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    const isTaken = error.code === "EEXIST";
    throw new Failure(
      `Cannot use -w "${files.path}": ${isTaken ? `"${error.path}" is there already` : error.message}`,
      isTaken
        ? "Name another file, or replace it with --overwrite."
        : "Name a file in a directory that is there and can be written.",
      2,
    );
  }
}

function planeConfig(
  plan: RecordPlan,
  options: RecordOptions,
  kernel: RecordKernel,
  first: OpenFile,
): RecordPlaneConfig {
  return {
    rings: kernel.rings,
    ringBytes: kernel.ringBytes,
    controlMap: kernel.controlMap,
    countersMap: kernel.countersMap,
    lostMap: kernel.lostMap,
    sample: options.sample,
    files: plan.files,
    first,
    recorder: {
      description: {
        hardware: cpus()[0]?.model ?? process.arch,
        os: `${systemName()} ${release()}`,
        application: renderVersion(),
        comments: plan.comments,
        filter: plan.filter,
        snaplen: options.snaplen ?? 0,
      },
      interfaces: plan.interfaces.map(({ ifindex, name }) => ({ ifindex, name })),
      saysDirection: options.both,
      rotateBytes: options.rotateSize ?? Number.POSITIVE_INFINITY,
      rotateTime: (options.rotateTime ?? Number.POSITIVE_INFINITY) * 1e6,
      mostPackets: options.count ?? Number.POSITIVE_INFINITY,
      mostBytes: options.limitBytes ?? Number.POSITIVE_INFINITY,
    },
    shared: createRecordShared(),
  };
}

/** Logs what happens, and notes what belongs into the account. */
function listener(plan: RecordPlan, facts: RecordFacts, log: Log): (event: RecordEvent) => void {
  return (event) => {
    if (event.kind === "opened") facts.last = event.path;
    else if (event.kind === "enough") facts.ended = event.end;
    else if (event.kind === "clock") {
      const seconds = (event.step / 1e6).toFixed(1);
      log.warn(`The clock of this host was set by ${seconds} s: the times in the files jump by as much.`);
    } else {
      facts.ended = "error";
      const fix =
        plan.files.path === STANDARD_OUTPUT
          ? "Keep the program that reads it running, or name a file with -w."
          : "What was written before is whole and can be read. Make room there, or name another file.";
      log.error(`Cannot write "${event.path}": ${event.cause}\n${fix}`);
    }
  };
}

/** Waits for a signal, the end of --duration, or of the data plane; then writes what is left in the rings. */
async function recordUntilStopped(
  kernel: RecordKernel,
  plane: RecordPlane,
  { stop, manager }: Console,
  duration: number | null,
  facts: RecordFacts,
): Promise<void> {
  const time = duration === null ? [] : [Bun.sleep(duration * 1000).then((): RecordEnd => "duration")];
  const why = await Promise.race([
    stop.first.then((): RecordEnd => "signal"),
    plane.ended.then(() => null),
    ...time,
  ]);
  manager.stopping(PATIENCE / 1000 + END_PATIENCE);
  kernel.detach();
  if (why === null) {
    if (facts.ended === null) throw new Error("it ended without being told to");
    return;
  }
  plane.drain();
  const isLate = Bun.sleep(PATIENCE).then(() => "late" as const);
  const how = await Promise.race([plane.ended, stop.second.then(() => "at once" as const), isLate]);
  if (how === "at once") {
    plane.stop();
    if ((await Promise.race([plane.ended, Bun.sleep(AT_ONCE).then(() => "late")])) !== "late") {
      facts.ended ??= why;
      return;
    }
  }
  if (how === undefined) {
    facts.ended ??= why;
    return;
  }
  facts.ended = "error";
  throw new Failure(
    `Cannot write "${facts.last}": it takes too long`,
    "Check the disk, or the program that reads standard output.",
    1,
  );
}

/** Throws a Failure, but not about an interface that is gone. */
function attachIfPresent(kernel: RecordKernel, ifindex: number): void {
  try {
    kernel.attach([ifindex]);
  } catch (error) {
    if (interfaceName(ifindex) !== null) throw error;
  }
}

/** What is needed to record and to end; `first` is the file that is written first. */
function keepsOf({ hook }: RecordKernel, options: RecordOptions, first: string): Keeps {
  return {
    capabilities: hook === "clsact" ? [CAP.NET_ADMIN] : [],
    usesMaps: true,
    usesTools: false,
    runsPrograms: false,
    attaches: false,
    loads: false,
    writes: [options.log, options.pidFile, first],
    reads: [],
  };
}

/** Records with the programs loaded, and prints the summary. Returns the exit code. */
async function record(
  plan: RecordPlan,
  options: RecordOptions,
  kernel: RecordKernel,
  console_: Console,
): Promise<number> {
  const { status, log, manager } = console_;
  const first = openFirst(plan);
  const facts: RecordFacts = { source: kernel.hook, first: first.path, last: first.path, ended: null };
  const config = planeConfig(plan, options, kernel, first);
  const shared = viewRecordShared(config.shared);
  const plane = startRecordPlane(config, listener(plan, facts, log));
  await plane.ready;
  const control = new Control(kernel.controlMap);
  const heartbeat = setInterval(() => control.heartbeat(monotonicMicroseconds() / 1000), HEARTBEAT_INTERVAL);
  let endFollowing: (() => void) | undefined;
  try {
    const { setLocal } = kernel;
    if (setLocal) endFollowing = await followLocal((local) => setLocal(local));
    for (const { ifindex } of plan.interfaces) {
      attachIfPresent(kernel, ifindex);
      // The heartbeat must go on: on hundreds of interfaces this takes seconds.
      await Bun.sleep(0);
    }
    facts.source = kernel.hook;
    dropPrivileges(keepsOf(kernel, options, first.path), log);
    const interfaces = plan.interfaces.map(({ name }) => name).join(", ");
    const what = whatIsRecorded(plan.services, options);
    const announced = `recording ${what} to ${first.path}, captured by ${kernel.hook} on ${interfaces}`;
    log.info(announced);
    const room = megabytes(kernel.rings.length * kernel.ringBytes);
    log.info(`${room} for captured packets that wait to be written (-B)`);
    const start = performance.now();
    const take = () => {
      const use = { ...process.cpuUsage(), rss: process.memoryUsage.rss() };
      return takeRecordAccount((performance.now() - start) / 1000, shared, kernel.stats(), use, facts);
    };
    const endReport = report(options, status, manager, take, renderRecordStatus);
    const endForwarded = watchForwarded(() => forwardedNote(take().capture, kernel.forwarded()), log);
    if (options.daemon) becomeDaemon(reopenLogs);
    manager.ready();
    manager.status(announced);
    keepWatchdog(manager, [{ shared, isDead: false }]);
    try {
      await recordUntilStopped(kernel, plane, console_, options.duration, facts);
    } catch (error) {
      facts.ended = "error";
      if (error instanceof Failure) log.error(`${error.message}\n${error.fix}`);
      else {
        const cause = error instanceof Error ? (error.stack ?? error.message) : String(error);
        log.error(
          `Cannot go on: the data plane died: ${cause}\nThis is a bug in ${renderVersion()}: please report it.`,
        );
      }
    }
    endReport();
    endForwarded();
    const account = take();
    log.info(renderRecordSummary(account));
    if (options.json) console.log(JSON.stringify(account));
    return facts.ended === "error" ? 1 : 0;
  } finally {
    endFollowing?.();
    clearInterval(heartbeat);
    plane.stop();
    // For the end of the file the data plane reads the kernel's counters, which are closed next.
    await Promise.race([plane.ended.catch(() => {}), Bun.sleep(AT_ONCE)]);
  }
}

/** Carries out a plan. Returns the exit code; a Failure on the way is logged and gives its own. */
export async function runRecord(options: RecordOptions, plan: RecordPlan): Promise<number> {
  const stop = listenForStop();
  const status = createStatus(process.stderr);
  const log = createLog(status.print, options.log);
  const manager = serviceManager();
  manager.starting();
  let removePidFile: (() => void) | undefined;
  let kernel: RecordKernel | undefined;
  try {
    for (const warning of plan.warnings) log.warn(warning);
    if (DIRECTORY_NOTE) log.info(DIRECTORY_NOTE);
    removePidFile = writePidFile(options.pidFile);
    requirePrivileges({ what: "capture packets", bpf: "needed", sockets: false });
    const libraries = await carriedLibraries();
    for (const what of removeLeftovers(libraries))
      log.info(`removed ${what}, left by an xcopy that was killed`);
    if (plan.files.compressed) openZstd(libraries);
    kernel = loadKernel(plan, options, libraries);
    return await record(plan, options, kernel, { status, log, stop, manager });
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    log.error(`${error.message}\n${error.fix}`);
    return error.exitCode;
  } finally {
    kernel?.close();
    removePidFile?.();
  }
}
