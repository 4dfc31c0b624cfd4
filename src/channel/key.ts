/** The key that a copy and an intercept share. */
import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { Failure } from "../native/failure.ts";

export interface Key {
  bytes: Uint8Array;
  /** Where it comes from, for messages. */
  source: string;
}

const LEAST = 16;
const MOST = 4096;
/** Permissions of those who are neither the owner nor of the group. */
const OTHERS = 0o007;
const MAKE_ONE =
  "Make one with: (umask 077; head -c 32 /dev/urandom | base64 > FILE), the same on both hosts.";

/**
 * The key from `file` (--key-file), else from XCOPY_KEY, else from the file xcopy.key in CREDENTIALS_DIRECTORY (where
 * systemd's LoadCredential= puts it); null if none of them is there. Line ends behind it do not count. Throws a Failure
 * (exit code 2, or 4 if the file may not be read).
 */
export function readKey(file: string | null, environment: Record<string, string | undefined>): Key | null {
  if (file !== null) return readKeyFile(file, true);
  const text = environment.XCOPY_KEY;
  if (text !== undefined && text !== "") {
    return checkLength({
      bytes: new TextEncoder().encode(text.replace(/[\r\n]+$/, "")),
      source: "XCOPY_KEY",
    });
  }
  const directory = environment.CREDENTIALS_DIRECTORY;
  return directory ? readKeyFile(`${directory}/xcopy.key`, false) : null;
}

function readKeyFile(path: string, mustExist: boolean): Key | null {
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      return checkLength({ bytes: readOpen(fd, path), source: path });
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (error instanceof Failure) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" && !mustExist) return null;
    const cause = code === "ENOENT" ? "no such file" : code === "EACCES" ? "permission denied" : message;
    const fix = code === "EACCES" ? "Let the user that xcopy runs as read it." : MAKE_ONE;
    throw new Failure(`Cannot read the key "${path}": ${cause}`, fix, code === "EACCES" ? 4 : 2);
  }
}

/** Checks and reads the open file, not another one that has taken its name meanwhile. */
function readOpen(fd: number, path: string): Uint8Array {
  const status = fstatSync(fd);
  if (!status.isFile()) {
    throw new Failure(
      `Cannot use the key "${path}": it is not a file`,
      "Name the file that holds the key.",
      2,
    );
  }
  if (status.mode & OTHERS) {
    throw new Failure(
      `Cannot use the key "${path}": every user of this host can read or change it`,
      `Run chmod 600 ${path}, and make a new key if others may have seen it.`,
      2,
    );
  }
  if (status.size > MOST) {
    throw new Failure(`Cannot use the key "${path}": it is longer than ${MOST} bytes`, MAKE_ONE, 2);
  }
  const bytes = readFileSync(fd);
  let end = bytes.length;
  while (end > 0 && (bytes[end - 1] === 10 || bytes[end - 1] === 13)) end--;
  return Uint8Array.from(bytes.subarray(0, end));
}

function checkLength(key: Key): Key {
  if (key.bytes.length >= LEAST) return key;
  throw new Failure(
    `Cannot use the key of "${key.source}": it has ${key.bytes.length} bytes, at least ${LEAST} are needed`,
    MAKE_ONE,
    2,
  );
}
