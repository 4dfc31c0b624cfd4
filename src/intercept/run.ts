/** Runs `xcopy intercept`: catches until a signal, closes the connections of copies, prints the summary. */
import { version } from "../../package.json";
import { fingerprintOf, type Key } from "../channel/key.ts";
import type { CoveredService } from "../channel/messages.ts";
import { close, listen } from "../channel/socket.ts";
import { renderVersion } from "../command-line/reading/help.ts";
import { formatAddress, formatEndpoint } from "../config/address.ts";
import { formatService } from "../config/service.ts";
import { carriedLibraries } from "../host/carried-libraries.ts";
import { becomeDaemon, writePidFile } from "../host/daemon.ts";
import { dropPrivileges, type Keeps } from "../host/drop.ts";
import { removeLeftovers } from "../host/leftovers.ts";
import { createLog, type Log, reopenLogs } from "../host/log/log.ts";
import { report } from "../host/log/report.ts";
import { createStatus, type Status } from "../host/log/status.ts";
import { type ServiceManager, serviceManager } from "../host/manager/manager.ts";
import { keepWatchdog } from "../host/manager/watchdog.ts";
import { requirePrivileges } from "../host/privileges.ts";
import { listenForStop, type StopRequests } from "../host/signals.ts";
import { CAP } from "../native/bpf/capabilities.ts";
import { Failure } from "../native/failure.ts";
import { raiseDescriptors } from "../native/limits.ts";
import { localAddresses } from "../native/netlink/netlink.ts";
import { DIRECTORY_NOTE } from "../native/run-directory.ts";
import { type RuleTexts, readRuleTexts } from "../netfilter/listed/list.ts";
import { type Catch, openCatch } from "./catch.ts";
import type { InterceptPlaneConfig } from "./data-plane/config.ts";
import { createInterceptShared, viewInterceptShared } from "./data-plane/shared.ts";
import { type InterceptEvent, startInterceptPlane } from "./data-plane/start.ts";
import type { InterceptOptions } from "./options.ts";
import type { InterceptPlan } from "./plan.ts";
import {
  type InterceptAccount,
  renderInterceptStatus,
  renderInterceptSummary,
  takeInterceptAccount,
} from "./summary.ts";

/** Descriptors to allow: for copies, and for others that connect to the port. */
const DESCRIPTORS = 16384;
/** Services that WELCOME names at most: a copy that is not told finds out by its probe. */
const MOST_COVERED = 500;
/** ms between two looks for interfaces that are new, and that the data plane may take to end. */
const FOLLOW_INTERVAL = 2000;
const PATIENCE = 1000;
/** s that the end may take, for a service manager. */
const END_PATIENCE = 30;
/** Messages about copies per 10 s: a host that connects all the time must not fill the log. */
const MOST_MESSAGES = 100;
const MESSAGE_SPAN = 10_000;

/** The run's ways to its user: status line, log, stop signals, service manager. */
/** Bytes of netfilter rules that are kept for questions of copies, and ms that reading them may take. */
const MOST_RULES = 4 << 20;
const RULES_PATIENCE = 1000;

interface Console {
  status: Status;
  log: Log;
  stop: StopRequests;
  manager: ServiceManager;
}

/** Services for WELCOME; on the target with this host's addresses, so that copies know which intercept serves which target. */
function coveredServices({ mode, services }: InterceptPlan): CoveredService[] {
  const own = localAddresses().map(({ bytes }) => formatAddress(bytes));
  const covered = services.flatMap(({ address, ports: [first, last] }): CoveredService[] => {
    const every = mode === "assistant" ? [null] : own;
    const addresses = address ? [formatAddress(address.bytes)] : every;
    const ports = Array.from({ length: last - first + 1 }, (_, index) => first + index);
    return addresses.flatMap((text) => ports.map((port) => ({ address: text, port })));
  });
  return covered.length > MOST_COVERED ? [] : covered;
}

function planeConfig(
  plan: InterceptPlan,
  options: InterceptOptions,
  key: Key | null,
  source: Catch["config"],
  listeners: number[],
  rules: RuleTexts,
): InterceptPlaneConfig {
  return {
    ...source,
    mode: plan.mode,
    listeners,
    key: key?.bytes ?? null,
    insecure: options.insecure,
    compat: options.compat,
    services: coveredServices(plan),
    translations: options.translations.map(({ from, to }) => ({ from: from.bytes, to: to.bytes })),
    dnat: options.dnat,
    noClients: [...localAddresses(), ...plan.services.flatMap(({ address }) => address ?? [])].map(
      ({ bytes }) => bytes,
    ),
    linger: options.linger * 1e6,
    pass: options.pass.map(({ bytes }) => bytes),
    interfaces: plan.interfaces.map(({ name }) => name),
    version,
    rules,
    shared: createInterceptShared(),
  };
}

function announce(plan: InterceptPlan, { config, places }: Catch): string {
  const what =
    plan.filter ?? (plan.services.map(formatService).join(", ") || `queue ${config.queue?.number}`);
  const interfaces = places.join(", ");
  const where = plan.listen.map(({ bytes }) => formatEndpoint(bytes, plan.port)).join(", ");
  return `catching ${what} by ${config.hook}${interfaces ? ` on ${interfaces}` : ""}, mode ${plan.mode}; copies connect to ${where}`;
}

/** Logs what happens to copies, at most MOST_MESSAGES per MESSAGE_SPAN; remembers their names. */
function listener(log: Log, names: Map<number, string>): (event: InterceptEvent) => void {
  let since = 0;
  let said = 0;
  return (event) => {
    if (event.kind === "joined") names.set(event.slot, event.name);
    if (performance.now() - since > MESSAGE_SPAN) {
      if (said > MOST_MESSAGES) log.warn(`${said - MOST_MESSAGES} more messages about copies were left out`);
      since = performance.now();
      said = 0;
    }
    if (++said > MOST_MESSAGES) return;
    if (event.kind === "warning") log.warn(event.text);
    else log.info(event.text);
  };
}

/** Whether it attaches to interfaces that come later. */
function followsInterfaces({ mode }: InterceptPlan, { interfaces }: InterceptOptions): boolean {
  return interfaces.length === 0 && mode !== "nfqueue";
}

/** What is needed to catch, to follow interfaces and to end. */
function keepsOf(plan: InterceptPlan, options: InterceptOptions, { config }: Catch): Keeps {
  const follows = followsInterfaces(plan, options);
  const isQueued = plan.mode === "nfqueue";
  const hasRule = isQueued && plan.services.length > 0;
  const loads = follows && plan.filter !== null;
  const needsAdmin = follows || isQueued || config.hook === "clsact";
  return {
    capabilities: [...(needsAdmin ? [CAP.NET_ADMIN] : []), ...(loads ? [CAP.BPF, CAP.PERFMON] : [])],
    usesMaps: !isQueued,
    usesTools: hasRule,
    // To start the guard of an interface.
    runsPrograms: hasRule || (follows && options.linger > 0),
    attaches: follows,
    loads,
    writes: [options.log, options.pidFile],
    reads: [],
  };
}

/** Waits for a signal; attaches to interfaces that come later, if -i names none. */
async function catchUntilStopped(
  caught: Catch,
  plane: ReturnType<typeof startInterceptPlane>,
  { log, stop, manager }: Console,
  follows: boolean,
): Promise<void> {
  const follow = () => {
    try {
      for (const name of caught.follow()) log.info(`catching on ${name} as well`);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      log.warn(`${error.message}\n${error.fix}`);
    }
  };
  const timer = follows ? setInterval(follow, FOLLOW_INTERVAL) : undefined;
  try {
    await Promise.race([stop.first, plane.ended]);
  } finally {
    clearInterval(timer);
    manager.stopping(END_PATIENCE);
  }
  if (stop.count() === 0) throw new Error("it ended without being told to");
  plane.stop();
  await Promise.race([plane.ended, stop.second, Bun.sleep(PATIENCE)]);
}

/** Serves the copies with everything attached, and prints the summary. Returns the exit code. */
async function serve(
  plan: InterceptPlan,
  options: InterceptOptions,
  key: Key | null,
  caught: Catch,
  listeners: number[],
  rules: RuleTexts,
  console_: Console,
): Promise<number> {
  const { status, log, manager } = console_;
  const config = planeConfig(plan, options, key, caught.config, listeners, rules);
  const shared = viewInterceptShared(config.shared);
  const names = new Map<number, string>();
  const plane = startInterceptPlane(config, listener(log, names));
  await plane.ready;
  if (key) log.info(`key ${fingerprintOf(key.bytes)} (${key.source})`);
  const announced = announce(plan, caught);
  log.info(announced);
  if (options.daemon) becomeDaemon(reopenLogs);
  const start = performance.now();
  const take = (exact = false): InterceptAccount => {
    const use = { ...process.cpuUsage(), rss: process.memoryUsage.rss() };
    const copies = [...names].map(([slot, name]) => ({ slot, name }));
    const seconds = (performance.now() - start) / 1000;
    const fingerprint = key && fingerprintOf(key.bytes);
    return takeInterceptAccount(plan.mode, seconds, shared, caught.counts(exact), copies, use, fingerprint);
  };
  const endReport = report(options, status, manager, () => take(), renderInterceptStatus);
  manager.ready();
  manager.status(announced);
  keepWatchdog(manager, [{ shared, isDead: false }]);
  let exitCode = 0;
  try {
    await catchUntilStopped(caught, plane, console_, followsInterfaces(plan, options));
  } catch (error) {
    const cause = error instanceof Error ? (error.stack ?? error.message) : String(error);
    log.error(
      `Cannot go on: the data plane died: ${cause}\nThis is a bug in ${renderVersion()}: please report it.`,
    );
    exitCode = 1;
  }
  endReport();
  const account = take(true);
  log.info(renderInterceptSummary(account));
  if (options.json) console.log(JSON.stringify(account));
  return exitCode;
}

/** Carries out a plan until a signal. Returns the exit code; a Failure on the way is logged and gives its own. */
export async function runIntercept(
  options: InterceptOptions,
  plan: InterceptPlan,
  key: Key | null,
): Promise<number> {
  const stop = listenForStop();
  const status = createStatus(process.stderr);
  const log = createLog(status.print, options.log);
  const manager = serviceManager();
  manager.starting();
  const ends: (() => void)[] = [];
  try {
    for (const warning of plan.warnings) log.warn(warning);
    if (DIRECTORY_NOTE) log.info(DIRECTORY_NOTE);
    requirePrivileges({
      what: "catch packets",
      bpf: plan.mode === "nfqueue" ? "unused" : "needed",
      sockets: false,
    });
    ends.push(writePidFile(options.pidFile));
    raiseDescriptors(DESCRIPTORS);
    const libraries = await carriedLibraries();
    for (const what of removeLeftovers(libraries))
      log.info(`removed ${what}, left by an xcopy that was killed`);
    // Later this process may run no commands, and has no privileges for these.
    const reading = readRuleTexts(MOST_RULES, RULES_PATIENCE);
    const listeners = listen(plan.listen.map(({ bytes }) => ({ address: bytes, port: plan.port })));
    ends.push(() => listeners.forEach(close));
    const caught = openCatch(plan, options, libraries);
    for (const note of caught.notes) log.warn(note);
    ends.push(() => {
      if (caught.end())
        log.info(`responses are dropped for another ${options.linger} s, as the target may still answer`);
    });
    const rules = await reading;
    dropPrivileges(keepsOf(plan, options, caught), log);
    return await serve(plan, options, key, caught, listeners, rules, { status, log, stop, manager });
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    log.error(`${error.message}\n${error.fix}`);
    return error.exitCode;
  } finally {
    for (const end of ends.reverse()) end();
  }
}
