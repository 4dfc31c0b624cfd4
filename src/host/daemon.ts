/** `-d`: the program starts itself again in a new session, and ends when that process runs in the background or has failed. */
import { closeSync, openSync, readdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { Failure } from "../native/failure.ts";
import { libc } from "../native/libc.ts";

/** Environment variable that marks the process in the background. */
const DAEMON = "XCOPY_DAEMON";

export function isDaemon(): boolean {
  return process.env[DAEMON] !== undefined;
}

/** What starts this program: the executable, or from source bun with the file. */
export function ownProgram(): string[] {
  const file = process.argv[1]!;
  return file.startsWith("/$bunfs/") ? [process.execPath] : [process.execPath, file];
}

/** The command line of this process. */
export function ownCommand(): string[] {
  return [...ownProgram(), ...process.argv.slice(2)];
}

/**
 * Starts the program again with the same arguments. It uses our stdout and stderr until it calls `becomeDaemon`. Resolves with
 * 0 when it has called that, else with its exit code.
 */
export async function startDaemon(): Promise<number> {
  const works = Promise.withResolvers<number>();
  const child = Bun.spawn(ownCommand(), {
    argv0: process.argv0,
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...process.env, [DAEMON]: "1" },
    detached: true,
    ipc: () => works.resolve(0),
  });
  const code = await Promise.race([works.promise, child.exited]);
  child.unref();
  return code;
}

/** The file that a descriptor refers to; "" if it is closed. */
function target(fd: number): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return "";
  }
}

/**
 * In the background process: reports that start-up has succeeded, and closes the standard streams. Else does nothing. `reopen` opens
 * files that may be the same as a standard stream.
 */
export function becomeDaemon(reopen: () => void): void {
  if (!isDaemon()) return;
  const old = [0, 1, 2].map(target);
  const nothing = openSync("/dev/null", "r+");
  // Bun has duplicates of its standard streams. They must be closed as well, or a reader of a pipe would never see its end.
  for (const name of readdirSync("/proc/self/fd")) {
    const fd = Number(name);
    if (fd !== nothing && (fd < 3 || (target(fd) !== "" && old.includes(target(fd))))) libc.dup2(nothing, fd);
  }
  closeSync(nothing);
  reopen();
  process.chdir("/");
  process.send?.("works");
  process.disconnect?.();
}

/** `-P`: writes the process id to a file, if there is one; returns what removes it. Throws a Failure (exit code 2). */
export function writePidFile(path: string | null): () => void {
  if (path === null) return () => {};
  try {
    writeFileSync(path, `${process.pid}\n`);
  } catch (error) {
    const cause = (error as Error).message;
    throw new Failure(`Cannot use -P "${path}": ${cause}`, "Name a file that can be written.", 2);
  }
  return () => rmSync(path, { force: true });
}
