/** Files with secrets: nobody but their owner may read them. */
import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { Failure } from "../native/failure.ts";

/** Others may do nothing, the group may not write. */
const FORBIDDEN = 0o027;

/**
 * The text of a file that `option` names; null if it need not be there and is not. Throws a Failure (exit code 2) where it
 * cannot be read, or others may read it.
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
        `Cannot use ${option} "${path}": others than its owner may read it (mode ${mode.toString(8)})`,
        `Keep it to yourself: chmod 600 ${path}`,
        2,
      );
    }
    return readFileSync(fd, "utf8");
  } finally {
    closeSync(fd);
  }
}
