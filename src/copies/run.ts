/**
 * Several runs of one configuration file, one process each: hands on signals and what they print, and is to a service manager as one
 * process. If one cannot start, none stays; later the others go on without one that fails.
 */
import type { Subprocess } from "bun";
import { ownProgram } from "../host/daemon.ts";
import { isToJournal, say } from "../host/log/style.ts";
import {
  HAS_PARENT,
  type Notification,
  type ServiceManager,
  serviceManager,
} from "../host/manager/manager.ts";
import { eachLine, named } from "./lines.ts";
import { reloadTogether } from "./reload.ts";
import { listenForReload } from "./reload-socket.ts";
import type { Member, Tables } from "./tables.ts";
import { together } from "./together.ts";

/** ms after which a run that failed is started again, as the units of systemd do. */
const RESTART = 5000;
/** s that the end may take beyond the waits that runs are told (--drain), for a service manager. */
const END_PATIENCE = 40;
/** Looks at the runs within the time that the manager waits. */
const LOOKS = 4;
/** Exit codes that another start cannot mend, as in the units: usage, permissions, kernel, a bound of --fail-on. */
const FINAL = [2, 4, 5, 6];
/** Exit code where a bound of --fail-on is broken: any other failure counts for more. */
const BROKEN_BOUND = 6;

/** The exit code for all: that of the first that failed. */
export function worstOf(codes: readonly number[]): number {
  const failures = codes.filter((code) => code !== 0);
  return failures.find((code) => code !== BROKEN_BOUND) ?? failures[0] ?? 0;
}

/** The environment of a run: it talks to this process, and only this one to the service manager and its journal. */
function environmentFor(name: string, watchdogMicroseconds: number | null): Record<string, string> {
  const { WATCHDOG_USEC: _, WATCHDOG_PID: __, JOURNAL_STREAM: journal, ...others } = process.env;
  return {
    ...(others as Record<string, string>),
    [HAS_PARENT]: name,
    // It writes to a pipe, from where this process hands it on.
    ...(journal !== undefined && isToJournal(2, process.env) && { JOURNAL_STREAM: journal }),
    ...(watchdogMicroseconds !== null && { WATCHDOG_USEC: `${watchdogMicroseconds}` }),
  };
}

/**
 * Runs all of them until they have ended. `drain`: s that their ends may take. Where a service manager listens, one that fails later is
 * started again. `again` reads the file anew, for a reload; null: these runs have none, SIGHUP is handed on to them. Resolves with the
 * exit code.
 */
export async function runTogether(
  members: readonly Member[],
  drain: number,
  again: ((present: ReadonlySet<string>) => Tables) | null,
): Promise<number> {
  const manager = serviceManager();
  const state = together(
    members.map(({ name }) => name),
    manager,
  );
  const running = new Map<string, Subprocess>();
  /** Those that are about to be started again. */
  const waiting = new Map<string, Timer>();
  /** Those whose tables are gone: how they end counts for nothing. */
  const leaving = new Set<string>();
  const codes = new Map<string, number>();
  let isStopping = false;
  const over = Promise.withResolvers<void>();
  const settle = () => {
    if (running.size === 0 && waiting.size === 0) over.resolve();
  };

  const stop = (signal: NodeJS.Signals) => {
    if (!isStopping) manager.stopping(drain + END_PATIENCE);
    isStopping = true;
    for (const timer of waiting.values()) clearTimeout(timer);
    waiting.clear();
    for (const child of running.values()) child.kill(signal);
    settle();
  };

  /** A run ended with a failure: what becomes of the others, and of it. Returns what is to be said. */
  const onFailure = (member: Member, code: number): string => {
    const what = `ended with exit code ${code}`;
    if (isStopping) return what;
    if (!state.isReady) {
      if (running.size > 0) say("warning", `"${member.name}" ${what}: the others are ended too`);
      stop("SIGTERM");
      return what;
    }
    const isAgain = manager.listens && !FINAL.includes(code);
    const text = isAgain ? `${what}, and is started again in ${RESTART / 1000} s` : what;
    say("warning", `"${member.name}" ${text}`);
    if (isAgain) waiting.set(member.name, setTimeout(begin, RESTART, member));
    return text;
  };

  const onEnd = (member: Member, code: number) => {
    running.delete(member.name);
    if (leaving.delete(member.name)) state.left(member.name);
    else {
      codes.set(member.name, code);
      state.ended(member.name, code === 0 ? "has ended" : onFailure(member, code));
    }
    settle();
  };

  const begin = (member: Member) => {
    const { name, words } = member;
    waiting.delete(name);
    state.started(name, performance.now());
    const child = Bun.spawn([...ownProgram(), ...words], {
      argv0: process.argv0,
      stdio: ["ignore", "pipe", "pipe"],
      env: environmentFor(name, manager.watchdogMicroseconds),
      // A process group of its own: what a terminal sends comes by this process only.
      detached: true,
      ipc: (message: Notification) => state.heard(name, message, performance.now()),
    });
    running.set(name, child);
    const streams = [
      eachLine(child.stdout, (line) => console.log(named(name, line))),
      eachLine(child.stderr, (line) => console.error(named(name, line))),
    ];
    void Promise.all([child.exited, ...streams]).then(([code]) => {
      // One that is told to end before it listens ends by the signal.
      onEnd(member, child.signalCode === null ? code : isStopping ? 0 : 1);
    });
  };

  /** Ends a run whose table is gone. */
  const end = (name: string) => {
    codes.delete(name);
    clearTimeout(waiting.get(name));
    const child = running.get(name);
    if (waiting.delete(name) || child === undefined) state.left(name);
    if (child === undefined) return;
    leaving.add(name);
    child.kill("SIGTERM");
  };

  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stop(signal));
  const handOn = (signal: NodeJS.Signals) => {
    for (const [name, child] of running) if (state.works(name)) child.kill(signal);
  };
  process.on("SIGUSR1", () => handOn("SIGUSR1"));
  const reload =
    again &&
    reloadTogether({
      read: () => again(new Set([...running.keys(), ...waiting.keys()])),
      state,
      pidOf: (name) => running.get(name)?.pid ?? null,
      present: () => [...running.keys(), ...waiting.keys()].filter((name) => !leaving.has(name)),
      begin,
      end,
      isStopping: () => isStopping,
    });
  process.on("SIGHUP", () => (reload ? void reload() : handOn("SIGHUP")));
  const close = reload ? listenForReload(reload, (text) => say("warning", text)) : () => {};
  manager.starting();
  members.forEach(begin);
  const watch = watchOver(manager, (patience) => isStopping || state.allAlive(patience, performance.now()));
  await over.promise;
  clearInterval(watch);
  close();
  if (!isStopping) manager.stopping(END_PATIENCE);
  return worstOf([...codes.values()]);
}

/** Says that all is alive as long as `isAlive` with this patience (ms); undefined where nobody waits for that. */
function watchOver(
  { watchdogMicroseconds, alive }: ServiceManager,
  isAlive: (patience: number) => boolean,
): Timer | undefined {
  if (watchdogMicroseconds === null) return undefined;
  const span = watchdogMicroseconds / 1000;
  return setInterval(() => isAlive(span / 2) && alive(), span / LOOKS);
}
