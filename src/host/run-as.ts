/** `--run-as`: root starts xcopy again in its own place, as another user with the capabilities that a mode needs. */
import { chownSync, mkdirSync, readdirSync } from "node:fs";
import { CAP, lastCapability } from "../native/bpf/capabilities.ts";
import { boundBy } from "../native/credentials/credentials.ts";
import { findGroup, findUser, startAs, type User } from "../native/credentials/user.ts";
import { Failure } from "../native/failure.ts";
import { libc } from "../native/libc.ts";
import { unlimitLockedMemory } from "../native/limits.ts";
import { DIRECTORY } from "../native/run-directory.ts";
import { ownCommand } from "./daemon.ts";

/** What docs/security.md says that the modes need. */
const NEEDED = {
  copy: [CAP.BPF, CAP.PERFMON, CAP.NET_ADMIN, CAP.NET_RAW],
  intercept: [CAP.BPF, CAP.PERFMON, CAP.NET_ADMIN],
  record: [CAP.BPF, CAP.PERFMON, CAP.NET_ADMIN],
};

/** What some options need beyond that. */
interface More {
  /** --nice. */
  setsPriority?: boolean;
  /** The TCP port to listen on. */
  port?: number;
}

/** The first TCP port that needs no capability to listen on. */
const FIRST_FREE_PORT = 1024;

/** Finds `USER[:GROUP]`, names or numbers. Throws a Failure (exit code 2). */
export function parseRunAs(text: string): User {
  const [name = "", group, ...more] = text.split(":");
  const refuse = (cause: string, fix: string) =>
    new Failure(`Cannot use --run-as "${text}": ${cause}`, fix, 2);
  if (name === "" || group === "" || more.length > 0) {
    throw refuse("it is not USER or USER:GROUP", "Write for example --run-as xcopy");
  }
  const user = findUser(name);
  if (user === null) throw refuse(`there is no user "${name}"`, `Make it: useradd --system ${name}`);
  if (user.uid === 0) throw refuse("that is root", "Name a user that nothing else runs as.");
  const gid = group === undefined ? user.gid : findGroup(group);
  if (gid === null) throw refuse(`there is no group "${group}"`, "List them: getent group");
  return { uid: user.uid, gid };
}

/** Gives the user /run/xcopy, where no other xcopy has a record in it. */
function giveDirectory({ uid, gid }: User): void {
  try {
    mkdirSync(DIRECTORY, { recursive: true, mode: 0o755 });
    if (readdirSync(DIRECTORY).length === 0) chownSync(DIRECTORY, uid, gid);
  } catch {
    // Read-only: the user has a directory of its own, which is said then.
  }
}

/**
 * Starts xcopy again as the user of `--run-as`, with what the command needs. Returns if this process is that user's already. Throws
 * a Failure (exit codes 2 and 4).
 */
export function runAs(text: string, command: keyof typeof NEEDED, { setsPriority, port }: More = {}): void {
  const user = parseRunAs(text);
  const current = libc.geteuid();
  if (current === user.uid) return;
  const failure = (cause: string, fix: string) =>
    new Failure(`Cannot use --run-as "${text}": ${cause}`, fix, 4);
  if (current !== 0) throw failure("only root may become another user", "Start it as root, or leave it out.");
  giveDirectory(user);
  unlimitLockedMemory();
  const capabilities: number[] = [...NEEDED[command]];
  if (setsPriority) capabilities.push(CAP.SYS_NICE);
  if (port !== undefined && port < FIRST_FREE_PORT) capabilities.push(CAP.NET_BIND_SERVICE);
  boundBy(capabilities, lastCapability());
  const environment = Object.entries(process.env).map(([name, value]) => `${name}=${value}`);
  const program = ownCommand();
  const cause = startAs(user, capabilities, program, process.argv0, environment);
  throw failure(
    `it cannot start "${program[0]}": ${cause}`,
    "Install xcopy where that user may run it, and start it as root with all capabilities.",
  );
}
