/** Reads files with secrets; refuses a file that other users can access, or that its group can change. */
import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { Failure } from "../native/failure.ts";

/** Permissions that are refused: all of others, and write of the group. */
const FORBIDDEN = 0o027;

/**
 * The text of a file that `option` names; null if it is optional and does not exist. Throws a Failure (exit code 2) if it
 * cannot be read, or its permissions are among FORBIDDEN.
 */
export function readSecret(option: string, path: string, isOptional: boolean): string | null {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (isOptional && code === "ENOENT") return null;
    throw new Failure(`Cannot use ${option} "${path}": ${message}`, "Name a file that can be read.", 2);
  }
  try {
    const mode = fstatSync(fd).mode & 0o777;
    if (mode & FORBIDDEN) {
      throw new Failure(
        `Cannot use ${option} "${path}": other users than its owner may read or change it (mode ${mode.toString(8)})`,
        `Run chmod 600 ${path}, and change the secrets if others may have seen them.`,
        2,
      );
    }
    return readFileSync(fd, "utf8");
  } finally {
    closeSync(fd);
  }
}
