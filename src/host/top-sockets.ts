/**
 * The sockets by which `xcopy top` and `xcopy reload` ask the copies of this host: top-PID.sock beside their records, and copies-PID.sock
 * of a process that runs several copies of one file.
 */
import { readdirSync, rmSync, statSync } from "node:fs";
import { connect } from "node:net";
import { startTimeOf } from "../capture/clsact.ts";
import { DIRECTORY, namesIn } from "../native/run-directory.ts";

/** ms in which a process that has just made its socket listens on it. */
const YOUNG = 2000;

type Kind = "top" | "copies";

export interface TopSocket {
  pid: number;
  path: string;
}

/** That of a process, of this one if it names none. */
export function topSocket(pid = process.pid): string {
  return `${DIRECTORY}/top-${pid}.sock`;
}

/** That of this process, which runs several copies. */
export function copiesSocket(): string {
  return `${DIRECTORY}/copies-${process.pid}.sock`;
}

function socketsIn(directory: string, names: readonly string[], kinds: readonly Kind[]): TopSocket[] {
  return names.flatMap((name) => {
    const [, kind, pid] = /^(top|copies)-([0-9]+)\.sock$/.exec(name) ?? [];
    return kinds.includes(kind as Kind) ? [{ pid: Number(pid), path: `${directory}/${name}` }] : [];
  });
}

/** Those of copies of all users of this host that this one may see, also of copies that were killed. */
export function allTopSockets(): TopSocket[] {
  return allSockets("top");
}

/** The same of processes that run several copies. */
export function allCopiesSockets(): TopSocket[] {
  return allSockets("copies");
}

function allSockets(kind: Kind): TopSocket[] {
  const others = listed("/dev/shm").filter((name) => /^xcopy-[0-9]+$/.test(name));
  const directories = new Set([DIRECTORY, "/run/xcopy", ...others.map((name) => `/dev/shm/${name}`)]);
  return [...directories]
    .flatMap((directory) => socketsIn(directory, listed(directory), [kind]))
    .sort((one, other) => one.pid - other.pid);
}

function listed(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** Whether nobody listens; false where that cannot be found out. */
function isDead(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on("connect", () => {
      socket.destroy();
      resolve(false);
    });
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code === "ECONNREFUSED"));
  });
}

/** A process that makes its socket has not listened for a moment. */
function mayBeYoung({ pid, path }: TopSocket): boolean {
  if (startTimeOf(pid) === null) return false;
  return Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) < YOUNG;
}

/** Removes the sockets of copies that were killed; returns their paths, without those that this user may not remove. */
export async function removeStaleSockets(directory = DIRECTORY): Promise<string[]> {
  const removed: string[] = [];
  for (const socket of socketsIn(directory, namesIn(directory), ["top", "copies"])) {
    if (mayBeYoung(socket) || !(await isDead(socket.path))) continue;
    try {
      rmSync(socket.path);
      removed.push(socket.path);
    } catch {
      // Another user's, or gone meanwhile.
    }
  }
  return removed;
}
