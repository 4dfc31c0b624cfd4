/** The directory of what lives as long as the host runs: records of what processes attached, and logs of the verifier. */
import { accessSync, constants, existsSync, readdirSync } from "node:fs";
import { dirname } from "node:path";

const USUAL = "/run/xcopy";

/** Where all xcopies of a host look. One that may not write there has the directory that its service manager gave it. */
export const DIRECTORY = mayWrite(USUAL) ? USUAL : givenBySystemd() || USUAL;

/** The names in DIRECTORY or another directory: none where there is none, or where this user may not look into it. */
export function namesIn(directory = DIRECTORY): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
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
