/** What xcopy says while it works: to stderr, and with the time to the file of `-l`. */
import { appendFileSync } from "node:fs";
import { type ConsolaInstance, createConsola } from "consola/core";
import { Failure } from "../native/failure.ts";

export type Log = ConsolaInstance;

/** Appends to a file; the first failure is said on stderr, and the file is left alone from then on. */
function appendTo(path: string, print: (line: string) => void): (line: string) => void {
  let usable = true;
  return (line) => {
    if (!usable) return;
    try {
      appendFileSync(path, line);
    } catch (error) {
      usable = false;
      print(`warning: Cannot write log file "${path}": ${(error as Error).message}`);
    }
  };
}

/**
 * The log of one run. Lines go to `print` (without line end, warnings with that word in front) and, each with the time
 * in UTC and its level, to `file` where one is named. Throws a Failure (exit code 2) where that cannot be written;
 * a file that fails later (a full disk) costs log lines, nothing else.
 */
export function createLog(print: (line: string) => void, file: string | null): Log {
  if (file !== null) {
    try {
      appendFileSync(file, "");
    } catch (error) {
      const cause = (error as Error).message;
      throw new Failure(`Cannot use -l "${file}": ${cause}`, "Name a file that can be written.", 2);
    }
  }
  const append = file === null ? () => {} : appendTo(file, print);
  return createConsola({
    reporters: [
      {
        log: ({ type, args, date }) => {
          const text = args.join(" ");
          const level = type === "warn" ? "warning" : type;
          print(level === "warning" ? `warning: ${text}` : text);
          for (const line of text.split("\n")) append(`${date.toISOString()} ${level} ${line}\n`);
        },
      },
    ],
  });
}
