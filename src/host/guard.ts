/**
 * The guard: a process that keeps the programs dropping after the intercept has ended, even by kill -9. The target goes on
 * answering for a while, and no real client may see these answers. A guard is a small shell that holds the links of the
 * programs. Its standard input is a pipe whose other end only the intercept has. After end of file it stays for the linger
 * time; then it ends, and the links with it. It has no capabilities: what it holds is open.
 *
 * Each guard is noted in /run/xcopy: `xcopy cleanup` ends those whose intercept has ended.
 */
import { lstatSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { currentNamespace, hasEnded, startTimeOf } from "../capture/clsact.ts";
import { withoutInheritance } from "../native/credentials/credentials.ts";
import { Failure } from "../native/failure.ts";
import { errno, libc, O_CLOEXEC, sleepMicroseconds, strerror } from "../native/libc.ts";
import { DIRECTORY, namesIn, writeRecord } from "../native/run-directory.ts";

/** The shell script of a guard; it sets its name for `ps`. A guard has its own session: closing a terminal does not end it. */
const SCRIPT = [
  "trap '' HUP INT QUIT TERM",
  "printf xcopy-guard >/proc/$$/comm",
  "read -r nothing",
  'sleep "$1"',
  'rm -f "$2/guard-$$.json"',
].join("\n");

/** ms to wait for the end of a process that was killed. */
const KILL_TIMEOUT = 1000;

/** The content of /run/xcopy/guard-PID.json. */
export interface GuardRecord {
  pid: number;
  /** In clock ticks since boot: a later process with the same pid has another one. */
  startTime: number | null;
  /** Inode of the network namespace that the links are in. */
  namespace: number;
  /** Its descriptor of the map of flows that were copies'; absent: it has none. */
  flows?: number;
  /** The intercept that the guard belongs to. */
  intercept: { pid: number; startTime: number | null };
}

function fileOf(pid: number): string {
  return `${DIRECTORY}/guard-${pid}.json`;
}

/** Kills a guard with the `sleep` that it may have started, waits until the guard has ended, and removes its file. */
function kill({ pid, startTime }: Pick<GuardRecord, "pid" | "startTime">): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // The guard has just ended by itself.
  }
  for (let ms = 0; ms < KILL_TIMEOUT && startTimeOf(pid) === startTime; ms++) sleepMicroseconds(1000);
  removeRecord(fileOf(pid));
}

/** Removes a guard's file; one of another user stays, and is of no guard. */
function removeRecord(file: string): void {
  try {
    rmSync(file, { force: true });
  } catch {
    // Who may, removes it later.
  }
}

export class Guard {
  readonly #process: { pid: number; startTime: number | null };
  /** The write end of the pipe: when it is closed, the guard's linger time begins. */
  readonly #pipe: number;

  /**
   * Starts a guard that holds these descriptors and lingers for so many seconds (an integer, at least 1). `flows`: the map of
   * flows that are copies', which the next intercept reads from it; -1: there is none. Throws a Failure (1) where there is no
   * shell, or where its file cannot be written.
   */
  constructor(descriptors: number[], seconds: number, flows = -1) {
    const ends = new Int32Array(new ArrayBuffer(8));
    if (libc.pipe2(ends, O_CLOEXEC) !== 0) throw failure(strerror(errno()));
    const [read, write] = ends as unknown as [number, number];
    this.#pipe = write;
    try {
      const spawn = () =>
        Bun.spawn(["/bin/sh", "-c", SCRIPT, "xcopy-guard", `${seconds}`, DIRECTORY], {
          stdio: [read, "ignore", "ignore", ...descriptors, ...(flows < 0 ? [] : [flows])],
          cwd: "/",
          env: { PATH: "/usr/bin:/bin:/usr/sbin:/sbin" },
          detached: true,
        });
      const child = withoutInheritance(spawn);
      child.unref();
      this.#process = { pid: child.pid, startTime: startTimeOf(child.pid) };
    } catch (error) {
      libc.close(write);
      throw failure(`${error}`);
    } finally {
      libc.close(read);
    }
    try {
      this.#write(flows < 0 ? undefined : 3 + descriptors.length);
    } catch (error) {
      this.end();
      throw failure(`${error}`);
    }
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Starts the linger time: the guard goes on alone. */
  leave(): void {
    libc.close(this.#pipe);
  }

  /** Ends the guard at once, and with it the links that only it holds. */
  end(): void {
    kill(this.#process);
    libc.close(this.#pipe);
  }

  #write(flows: number | undefined): void {
    const record: GuardRecord = {
      ...this.#process,
      ...(flows === undefined ? {} : { flows }),
      namespace: currentNamespace(),
      intercept: { pid: process.pid, startTime: startTimeOf(process.pid) },
    };
    writeRecord(fileOf(this.pid), `${JSON.stringify(record)}\n`, 0o644);
  }
}

function failure(cause: string): Failure {
  return new Failure(
    `Cannot start the guard that goes on dropping after xcopy has ended: ${cause}`,
    "It needs /bin/sh, sleep and a writable /run/xcopy. To do without it: --linger 0",
    1,
  );
}

/** The guards that run in this network namespace. Removes the files of guards that have ended. */
export function readGuards(): GuardRecord[] {
  const namespace = currentNamespace();
  return namesIn()
    .filter((name) => /^guard-\d+\.json$/.test(name))
    .flatMap((name): GuardRecord[] => {
      const file = `${DIRECTORY}/${name}`;
      let record: GuardRecord;
      try {
        record = JSON.parse(readFileSync(file, "utf8"));
      } catch {
        return [];
      }
      if (hasEnded(record.pid, record.startTime)) {
        removeRecord(file);
        return [];
      }
      return record.namespace === namespace && isOfItsOwner(file, record) ? [record] : [];
    });
}

/** Whether a file of a service's user, which root may read, names a process of that user. */
function isOfItsOwner(file: string, { pid }: GuardRecord): boolean {
  try {
    const { uid } = lstatSync(file);
    return uid === 0 || uid === statSync(`/proc/${pid}`).uid;
  } catch {
    return false;
  }
}

/** Whether the intercept of a guard has ended. */
function lingers({ intercept }: GuardRecord): boolean {
  return hasEnded(intercept.pid, intercept.startTime);
}

/** Whether a process holds an XDP program on an interface. */
function holdsXdp({ pid }: GuardRecord): boolean {
  try {
    const directory = `/proc/${pid}/fdinfo`;
    return readdirSync(directory).some((fd) =>
      /^link_type:\s*xdp$/m.test(readFileSync(`${directory}/${fd}`, "utf8")),
    );
  } catch {
    return false;
  }
}

/**
 * Ends the guards in this network namespace whose intercept has ended, and with them the links that they held. Returns what it
 * ended, one string each. `xdpOnly`: only guards that hold XDP programs, of which an interface can have only one.
 */
export function endLingeringGuards(xdpOnly = false): string[] {
  return lingeringGuards()
    .filter((record) => !xdpOnly || holdsXdp(record))
    .map((record) => {
      kill(record);
      return `guard ${record.pid} of process ${record.intercept.pid}`;
    });
}

/** The guards in this network namespace whose intercept has ended. */
export function lingeringGuards(): GuardRecord[] {
  return readGuards().filter(lingers);
}

/** The intercepts, by process id, that have a guard in this network namespace. */
export function guardedProcesses(): number[] {
  return readGuards().map(({ intercept }) => intercept.pid);
}
