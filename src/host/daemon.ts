/** `-d`: the program starts itself anew in a session of its own, and ends when that works or has failed. */
import { closeSync, openSync, readdirSync, readlinkSync } from "node:fs";
import { libc } from "../native/libc.ts";

/** Tells the process that it is the one in the background. */
const DAEMON = "XCOPY_DAEMON";

export function isDaemon(): boolean {
  return process.env[DAEMON] !== undefined;
}

/** Compiled, the program is the executable; else it is a file that bun runs. */
function ownCommand(): string[] {
  const [, file, ...words] = process.argv;
  return file!.startsWith("/$bunfs/") ? [process.execPath, ...words] : [process.execPath, file!, ...words];
}

/**
 * Starts the program again with the same words; until it works, it says what it has to say where we do. Resolves with 0
 * when it has called `becomeDaemon`, else with its exit code.
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

/** What a descriptor stands for; "" if it is closed. */
function target(fd: number): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return "";
  }
}

/** In the background: says that it works, and lets go of the terminal. */
export function becomeDaemon(): void {
  if (!isDaemon()) return;
  const old = [0, 1, 2].map(target);
  const nothing = openSync("/dev/null", "r+");
  // Bun has copies of its standard streams: whoever waits for their end would wait for ours.
  for (const name of readdirSync("/proc/self/fd")) {
    const fd = Number(name);
    if (fd !== nothing && (fd < 3 || (target(fd) !== "" && old.includes(target(fd))))) libc.dup2(nothing, fd);
  }
  closeSync(nothing);
  process.chdir("/");
  process.send?.("works");
  process.disconnect?.();
}
