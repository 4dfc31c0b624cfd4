/** Reads files with secrets; refuses a file that other users can access, or that its group can change. */
import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { causeOfFile, Failure, refuseShared } from "../native/failure.ts";

/**
 * The text of a file that `option` names; null if it is optional and does not exist. Throws a Failure (exit code 2) if it
 * cannot be read, or others may read or change it.
 */
export function readSecret(option: string, path: string, isOptional: boolean): string | null {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    if (isOptional && (error as NodeJS.ErrnoException).code === "ENOENT") return null;
    const cause = causeOfFile(error);
    throw new Failure(`Cannot use ${option} "${path}": ${cause}`, "Name a file that can be read.", 2);
  }
  try {
    refuseShared(`${option} "${path}"`, path, fstatSync(fd).mode);
    return readFileSync(fd, "utf8");
  } finally {
    closeSync(fd);
  }
}
