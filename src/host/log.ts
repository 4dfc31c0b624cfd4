/** The log: messages go to stderr, and with the time to the file of `-l`. */
import { appendFileSync } from "node:fs";
import { type ConsolaInstance, createConsola } from "consola/core";
import { Failure } from "../native/failure.ts";

export type Log = ConsolaInstance;

/** Returns a function that appends to a file. After the first failure, which it prints, it writes no more. */
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
 * The log of one run. Messages go to `print`, without a line end, and with "warning: " in front where they are warnings. Each
 * line also goes to `file`, if that is not null, with the time in UTC and its level. Throws a Failure (exit code 2) if `file`
 * cannot be written; if it fails later (a full disk), only log lines are lost.
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
