/**
 * What a service manager is told of a run: systemd by sd_notify(3), or the process that started several copies of one file. Without
 * one nothing is said.
 */
import { monotonicMicroseconds } from "../../native/libc.ts";
import { sendDatagram } from "../../native/notify/notify.ts";

/**
 * Environment variable of a process that is one of several, with its name: it tells its parent, by the channel that Bun gives both, and
 * the parent the service manager, if there is one.
 */
export const HAS_PARENT = "XCOPY_PARENT";

/** The words of sd_notify(3) that xcopy says, with their values: what goes out in one message. */
export type Notification = Readonly<Record<string, string>>;

export interface ServiceManager {
  /** us within which `alive` has to be called again and again once it is ready; null: nobody waits for that. */
  readonly watchdogMicroseconds: number | null;
  /** Whether anybody hears what is said here. */
  readonly listens: boolean;
  /** Whether `stopping` was called. */
  readonly isStopping: boolean;
  /**
   * The start has begun. It may take as long as it does, until `ready`: its waits have bounds of their own, but for the one for a
   * pipe that says nothing yet.
   */
  starting(): void;
  /** The start is over, or a reload: what was asked for is done from now on. */
  ready(): void;
  /** One line for people. */
  status(line: string): void;
  /** All that has to move moves. */
  alive(): void;
  /** The end has begun, and may take so many seconds. Said once. */
  stopping(seconds: number): void;
  /** Settings are read again; `ready` ends that. */
  reloading(): void;
}

/** s between two extensions of a start, and what each adds. */
const EXTENSION_INTERVAL = 20;
const EXTENSION = 60;

const extended = (seconds: number): Notification => ({ EXTEND_TIMEOUT_USEC: `${seconds * 1e6}` });

/** A manager that is told by `send`, and waits for `alive` every so many us. */
export function managerOf(
  send: (message: Notification) => void,
  watchdogMicroseconds: number | null,
  now: () => number = monotonicMicroseconds,
  listens = true,
): ServiceManager {
  let isStopping = false;
  let start: Timer | undefined;
  return {
    watchdogMicroseconds,
    listens,
    get isStopping() {
      return isStopping;
    },
    starting() {
      send(extended(EXTENSION));
      start = setInterval(() => send(extended(EXTENSION)), EXTENSION_INTERVAL * 1000).unref();
    },
    ready() {
      clearInterval(start);
      send({ READY: "1" });
    },
    status: (line) => send({ STATUS: line.replaceAll(/\s*\n\s*/g, " ") }),
    alive: () => send({ WATCHDOG: "1" }),
    stopping(seconds) {
      if (isStopping) return;
      isStopping = true;
      clearInterval(start);
      send({ STOPPING: "1", ...extended(seconds) });
    },
    reloading: () => send({ RELOADING: "1", MONOTONIC_USEC: `${Math.floor(now())}` }),
  };
}

const NONE: ServiceManager = {
  watchdogMicroseconds: null,
  listens: false,
  isStopping: false,
  starting() {},
  ready() {},
  status() {},
  alive() {},
  stopping() {},
  reloading() {},
};

/** sd_watchdog_enabled(3): WATCHDOG_USEC counts for the process that WATCHDOG_PID names, if that is there. */
export function watchdogOf(
  { WATCHDOG_USEC, WATCHDOG_PID }: Record<string, string | undefined>,
  pid: number,
): number | null {
  const isOurs = WATCHDOG_PID === undefined || WATCHDOG_PID === `${pid}`;
  return isOurs && /^[1-9]\d{0,14}$/.test(WATCHDOG_USEC ?? "") ? Number(WATCHDOG_USEC) : null;
}

/** The text of a message (sd_notify(3)): a line for each word. */
export function textOf(message: Notification): string {
  return Object.entries(message)
    .map(([name, value]) => `${name}=${value}\n`)
    .join("");
}

/**
 * The service manager of this process, from its environment: systemd's (NOTIFY_SOCKET), or the parent's. A message that cannot be
 * sent is lost: who waits for it says so.
 */
export function serviceManager(
  environment: Record<string, string | undefined> = process.env,
): ServiceManager {
  if (environment[HAS_PARENT] !== undefined && process.send) {
    const watchdog = watchdogOf({ WATCHDOG_USEC: environment.WATCHDOG_USEC }, 0);
    // The parent was killed: nobody else would end this process.
    process.once("disconnect", () => process.kill(process.pid, "SIGTERM"));
    const send = (message: Notification) => process.connected && process.send!(message);
    return managerOf(send, watchdog, monotonicMicroseconds, environment.NOTIFY_SOCKET !== undefined);
  }
  const socket = environment.NOTIFY_SOCKET;
  if (!socket) return NONE;
  return managerOf(
    (message) => void sendDatagram(socket, textOf(message)),
    watchdogOf(environment, process.pid),
  );
}
