/** The directory of what lives as long as the host runs: records of what processes attached, and logs of the verifier. */
import {
  accessSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { libc } from "./libc.ts";

const USUAL = "/run/xcopy";

/**
 * Where all xcopies of a host look. One that may not write there has the directory that its service manager gave it, or one of
 * its user's own, where only xcopies of this user look: root believes no record that other users could have written.
 */
export const DIRECTORY = mayWrite(USUAL) ? USUAL : givenBySystemd() || ofUser();

/** What a user should know of DIRECTORY; null: nothing. */
export const DIRECTORY_NOTE =
  DIRECTORY === ofUser()
    ? `this user may not write ${USUAL}: the ports in use and what an end by kill -9 would leave are noted in ${DIRECTORY}, where only xcopies of this user look (systemd: RuntimeDirectory=xcopy)`
    : null;

/** The names in DIRECTORY or another directory: none where there is none, or where this user may not look into it. */
export function namesIn(directory = DIRECTORY): string[] {
  try {
    return isTrusted(directory) ? readdirSync(directory) : [];
  } catch {
    return [];
  }
}

/** Makes DIRECTORY, or another one, if it is not there. Throws what the file system says, or why it is of no use. */
export function makeDirectory(directory = DIRECTORY): void {
  const isOwn = directory === ofUser();
  mkdirSync(directory, { recursive: true, mode: isOwn ? 0o700 : 0o755 });
  if (!isTrusted(directory)) throw new Error(`"${directory}" is not a directory of this user alone`);
}

/**
 * Writes a file of DIRECTORY, or of another directory, at once: others see all of it or nothing. Follows no link, which a service's
 * user could have put into its directory for root to follow. Throws what the file system says.
 */
export function writeRecord(file: string, text: string, mode: number): void {
  makeDirectory(dirname(file));
  const draft = `${file}.new`;
  rmSync(draft, { force: true });
  writeFileSync(draft, text, { mode, flag: "wx" });
  renameSync(draft, file);
}

/** In a place that everybody may write, only a directory of this user that nobody else can write. */
function isTrusted(directory: string): boolean {
  if (directory !== ofUser()) return true;
  const { mode, uid } = lstatSync(directory);
  return (mode & constants.S_IFMT) === constants.S_IFDIR && uid === libc.geteuid() && (mode & 0o022) === 0;
}

/** Memory, like /run: gone at the next boot, and nothing tidies it up before. */
function ofUser(): string {
  return `/dev/shm/xcopy-${libc.geteuid()}`;
}

function mayWrite(directory: string): boolean {
  try {
    accessSync(existsSync(directory) ? directory : dirname(directory), constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** systemd.exec(5), RuntimeDirectory=: paths with colons between them. */
function givenBySystemd(): string {
  return process.env.RUNTIME_DIRECTORY?.split(":")[0] ?? "";
}
