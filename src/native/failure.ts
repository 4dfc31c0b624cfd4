/** The codes that the process may exit with, and what each says. */
export const EXIT_CODES = {
  0: "All went well",
  1: "It failed while it ran",
  2: "The command line, or a file that it names, cannot be used as it is",
  3: "It did not start: a check before the start failed, such as the way to a target",
  4: "A right is missing: start it as root, or with the capabilities that the error names",
  5: "The kernel lacks something that is needed",
  6: "A bound of --fail-on is broken",
} as const;

export type ExitCode = keyof typeof EXIT_CODES;

/** What would move a cursor, colour or reorder what is around it, or begin another line: control and direction characters. */
const UNPRINTABLE = /[\p{Cc}\u2028-\u202e\u2066-\u2069]/gu;

/** One line, as a value that is named in it may hold anything. */
function oneLine(text: string): string {
  return text.replace(UNPRINTABLE, (character) => `\\u{${character.charCodeAt(0).toString(16)}}`);
}

/** An error that a user can act on: what could not be done and why, how to fix it, and the code that the process exits with. */
export class Failure extends Error {
  constructor(
    message: string,
    readonly fix: string,
    readonly exitCode: Exclude<ExitCode, 0>,
  ) {
    super(oneLine(message));
    this.name = "Failure";
  }

  /** The same error with one more line behind its fix, where a start could not do what it needs (exit codes 3, 4, 5). */
  withLineOfStart(line: string): Failure {
    if (this.exitCode < 3 || this.exitCode > 5) return this;
    return new Failure(this.message, `${this.fix}\n${line}`, this.exitCode);
  }

  /** The same error with one more sentence in its fix. */
  withFix(more: string): Failure {
    return new Failure(this.message, `${this.fix.replace(/\.?$/, ".")} ${more}`, this.exitCode);
  }
}

/** What an error of a file says, without the call and the path: "EROFS: read-only file system". */
export function causeOfFile(error: unknown): string {
  return (error as Error).message.replace(/, \w+( '.*')?$/s, "");
}

/** Codes of files and directories that this user may not use. */
const NOT_PERMITTED = ["EACCES", "EPERM", "EROFS"];

/**
 * An error of a file or directory that nobody expected, as a Failure (4 where this user may not use it, else 1); null for any
 * other error.
 */
export function failureOfFile(error: unknown): Failure | null {
  if (error instanceof Failure || !(error instanceof Error)) return null;
  const { code, path, syscall } = error as NodeJS.ErrnoException;
  if (!code?.startsWith("E") || !syscall) return null;
  if (path === undefined && !/^(read|write|getcwd|uv_cwd|fsync)$/.test(syscall)) return null;
  const name = path === undefined ? "a file" : `"${path}"`;
  const fix = /^\/(proc|sys)\//.test(path ?? "")
    ? "xcopy needs /proc, and for some of its work /sys: mount them (in a container too)."
    : "Check that it is there, that this user may use it, and that its disk has room.";
  return new Failure(
    `Cannot use ${name}: ${causeOfFile(error)} (${syscall})`,
    fix,
    NOT_PERMITTED.includes(code) ? 4 : 1,
  );
}

/** Permissions that a file with secrets must not have: all of others, and write of the group. */
const FORBIDDEN = 0o027;

/**
 * Throws a Failure (exit code 2) where a file of this mode (of `stat`) may be read or changed by others. `what` completes "Cannot use",
 * `mend` is what mends it.
 */
export function refuseShared(what: string, path: string, mode: number, mend = `chmod 600 ${path}`): void {
  if (!(mode & FORBIDDEN)) return;
  throw new Failure(
    `Cannot use ${what}: other users than its owner may read or change it (mode ${(mode & 0o777).toString(8)})`,
    `Run ${mend}, and change the secrets if others may have seen them.`,
    2,
  );
}
