/** The options about messages, read. */
import type { LogFormat } from "../../host/log/style.ts";
import { Failure } from "../../native/failure.ts";
import { daemonLog } from "../common.ts";
import type { Arguments } from "./arguments.ts";

export interface Logging {
  /** The file that messages are appended to; null: none. */
  log: string | null;
  logFormat: LogFormat;
  /** Whether it goes to the background once it works. */
  daemon: boolean;
  /** Null: none. */
  pidFile: string | null;
}

function parseLogFormat(text: string): LogFormat {
  if (text === "text" || text === "json") return text;
  throw new Failure(`Cannot use --log-format "${text}": no such format`, "Give text or json.", 2);
}

/** Reads these options of `command`. Throws a Failure (exit code 2). */
export function readLogging(command: string, args: Arguments): Logging {
  const one = (name: string) => args.get(name)?.[0] ?? null;
  const daemon = args.has("daemon");
  return {
    log: one("log") ?? (daemon ? daemonLog(command) : null),
    logFormat: parseLogFormat(one("log-format") ?? "text"),
    daemon,
    pidFile: one("pid-file"),
  };
}

/** Whether a command line that may be wrong, or the environment, asks for messages as JSON. */
export function asksForJson(
  words: readonly string[],
  environment: Record<string, string | undefined>,
): boolean {
  const at = words.lastIndexOf("--log-format");
  const written = at >= 0 ? words[at + 1] : words.findLast((word) => word.startsWith("--log-format="));
  return (written ?? environment.XCOPY_LOG_FORMAT)?.replace(/^--log-format=/, "") === "json";
}
