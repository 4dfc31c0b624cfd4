/** The log: messages go to stderr, and with the time to the file of `-l`. */
import { type ConsolaInstance, createConsola } from "consola/core";
import { LogFile } from "./file.ts";
import { forFile, forStderr, type Level, type Message, styleOfProcess } from "./style.ts";

export type Log = ConsolaInstance;

const files: LogFile[] = [];

/** Opens the files of all logs anew. */
export function reopenLogs(): void {
  for (const file of files) file.reopen();
}

/**
 * The log of one run, written in the style of the process (style.ts). Messages go to `print`, without a line end. Each also goes to
 * `file`, if that is not null, with the time in UTC and its level; SIGUSR1 opens that anew from now on. Throws a Failure (exit code
 * 2) if `file` cannot be written; if it fails later (a full disk), only log lines are lost.
 */
export function createLog(print: (line: string) => void, file: string | null): Log {
  const style = styleOfProcess();
  const warn = (text: string) => print(forStderr({ level: "warning", text, time: new Date() }, style));
  const note = (text: string) => forFile({ level: "warning", text, time: new Date() }, style);
  const written = file === null ? null : new LogFile(file, warn, note);
  if (written) files.push(written);
  process.off("SIGUSR1", reopenLogs);
  process.on("SIGUSR1", reopenLogs);
  return createConsola({
    reporters: [
      {
        log({ type, args, date }) {
          const level: Level = type === "warn" ? "warning" : type === "error" ? "error" : "info";
          const message: Message = { level, text: args.join(" "), time: date };
          print(forStderr(message, style));
          written?.append(forFile(message, style));
        },
      },
    ],
  });
}
