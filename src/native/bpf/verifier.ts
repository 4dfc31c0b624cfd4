/** What the kernel's verifier says about a program that it refuses: the reason, for a message, and the log, for a file. */
import { rmSync } from "node:fs";
import { DIRECTORY, namesIn, writeRecord } from "../run-directory.ts";

/** Characters of a reason at most. */
const LONGEST = 100;

/** Lines that give no reason: sums at the end, the source, instructions, and the state of registers. */
const NO_REASON = [
  /^processed \d+ insns/,
  /^(verification time|stack depth|insns processed) /,
  /^;/,
  /^\d+: /,
  /^from \d+ to \d+/,
  /^mark_precise: /,
  /^(last_idx|regs=|parent )/,
  /^(frame\d+: )?R\d+(_\w+)?=/,
  /^-- (BEGIN|END) /,
  /^(Validating|Func#\d+) /,
];

/** The last line of a log that gives a reason, shortened; null if there is none: no program was refused. */
export function reasonIn(log: string): string | null {
  const reason = log
    .split("\n")
    .map((line) => line.trim())
    .findLast((line) => line !== "" && !NO_REASON.some((pattern) => pattern.test(line)));
  if (reason === undefined) return null;
  return reason.length > LONGEST ? `${reason.slice(0, LONGEST).trimEnd()}...` : reason;
}

/** Writes a log for those who look after programs; returns its path, or null where it cannot be written. */
export function writeLog(name: string, log: string): string | null {
  const path = `${DIRECTORY}/verifier-${name}.log`;
  try {
    writeRecord(path, log, 0o600);
    return path;
  } catch {
    return null;
  }
}

/** Removes the logs that were written; returns the paths of those that it could remove. */
export function removeLogs(): string[] {
  const logs = namesIn().filter((name) => /^verifier-.*\.log$/.test(name));
  return logs
    .map((name) => `${DIRECTORY}/${name}`)
    .filter((path) => {
      try {
        rmSync(path, { force: true });
        return true;
      } catch {
        return false;
      }
    });
}
