/** The key that a copy and an intercept share: where it is read from, how it is made, and that there must be one. */
import { createHmac, randomBytes } from "node:crypto";
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { Failure } from "../native/failure.ts";

export interface Key {
  bytes: Uint8Array;
  /** Where it comes from, for messages. */
  source: string;
}

/** The key where nothing else names one. */
export const KEY_FILE = "/etc/xcopy/xcopy.key";

const LEAST = 16;
const MOST = 4096;
/** Permissions of those who are neither the owner nor of the group; the group's permission to write. */
const OTHERS = 0o007;
const GROUP_WRITES = 0o020;
const MAKE_ONE = 'Make one with "xcopy key FILE", and take it to the other host.';
const KEY_BYTES = 32;

/**
 * The key from `file` (--key-file), else from XCOPY_KEY, else from the file xcopy.key in CREDENTIALS_DIRECTORY (where
 * systemd's LoadCredential= puts it, or where there is none an empty one), else from `fallback`; null if none of them is there. Line
 * ends behind it do not count. Throws a Failure (exit code 2, or 4 if the file may not be read).
 */
export function readKey(
  file: string | null,
  environment: Record<string, string | undefined>,
  fallback = KEY_FILE,
): Key | null {
  if (file !== null) return readKeyFile(file, true);
  const text = environment.XCOPY_KEY;
  if (text !== undefined && text !== "") {
    return checkLength({
      bytes: new TextEncoder().encode(text.replace(/[\r\n]+$/, "")),
      source: "XCOPY_KEY",
    });
  }
  const directory = environment.CREDENTIALS_DIRECTORY;
  const credential = directory ? readKeyFile(`${directory}/xcopy.key`, false, true) : null;
  return credential ?? readKeyFile(fallback, false);
}

/** Throws a Failure (exit code 2) where `what`, a copy or an intercept, has no key without --insecure, or one with it. */
export function checkKey(what: "copy" | "intercept", key: Key | null, insecure: boolean): void {
  if (key && insecure) {
    throw new Failure(
      `Cannot use --insecure: there is a key (${key.source})`,
      "Leave --insecure out, or the key.",
      2,
    );
  }
  if (key || insecure) return;
  const other = what === "copy" ? "intercept" : "copy";
  throw new Failure(
    `Cannot ${what === "copy" ? "copy with -s" : "catch responses"}: there is no key that copy and intercept share, and without one anybody could take the responses`,
    `Make one ("xcopy key ${KEY_FILE}"), and take it to the host of the ${other} ("ssh root@HOST mkdir -p ${dirname(KEY_FILE)}; scp -p ${KEY_FILE} root@HOST:${KEY_FILE}"). To try it out in a network that nobody else can reach: --insecure on both sides.`,
    2,
  );
}

/**
 * What people compare to see whether two keys are the same: SHA256: and 22 characters of base64 (132 bits). From a key that
 * `makeKeyFile` made nobody finds the key with it; a word that somebody thought of could be guessed.
 */
export function fingerprintOf(key: Uint8Array): string {
  const digest = createHmac("sha256", key).update("xcopy key fingerprint").digest("base64");
  return `SHA256:${digest.slice(0, 22)}`;
}

/**
 * Makes a key of 32 random bytes, as base64, in a new file that only its owner may read; returns its fingerprint. The file is
 * there whole, or not at all. Throws a Failure (exit code 2, 1 or 4).
 */
export function makeKeyFile(path: string): string {
  const text = `${randomBytes(KEY_BYTES).toString("base64")}\n`;
  const part = `${path}.${process.pid}.part`;
  try {
    if (path === KEY_FILE) mkdirSync(dirname(path), { recursive: true });
    const fd = openSync(part, "wx", 0o600);
    try {
      writeSync(fd, text);
      fsyncSync(fd);
      // Unlike a rename this fails if the name is taken.
      linkSync(part, path);
    } finally {
      closeSync(fd);
      unlinkSync(part);
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") {
      throw new Failure(
        `Cannot make the key "${path}": the file exists`,
        "Use the key that it holds, name another file, or remove it (who has that key then needs the new one).",
        2,
      );
    }
    const cause = code === "ENOENT" ? "no such directory" : code === "EACCES" ? "permission denied" : message;
    throw new Failure(
      `Cannot make the key "${path}": ${cause}`,
      "Name a file in a directory that can be written.",
      code === "EACCES" || code === "EPERM" ? 4 : code === "ENOSPC" ? 1 : 2,
    );
  }
  return fingerprintOf(new TextEncoder().encode(text.trimEnd()));
}

function readKeyFile(path: string, mustExist: boolean, mayBeEmpty = false): Key | null {
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const bytes = readOpen(fd, path);
      return mayBeEmpty && bytes.length === 0 ? null : checkLength({ bytes, source: path });
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
  if (status.mode & GROUP_WRITES) {
    throw new Failure(
      `Cannot use the key "${path}": its group can change it`,
      `Run chmod 600 ${path}, and make a new key if others may have changed it.`,
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
