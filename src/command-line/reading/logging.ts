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

/** `log-format = "json"` in a configuration file that may be wrong. */
const IN_FILE = /^[^#"'\n]*\blog-format["']?\s*=\s*["']json["']/m;

/** The last value of an option on a command line that may be wrong. */
function lastOf(words: readonly string[], option: string): string | undefined {
  const at = words.lastIndexOf(`--${option}`);
  const joined = words.findLast((word) => word.startsWith(`--${option}=`));
  return at >= 0 ? words[at + 1] : joined?.slice(option.length + 3);
}

/**
 * Whether a command line that may be wrong, the environment, or the file of --config asks for messages as JSON, in this order. `read`
 * gives the text of a file, null where it has none.
 */
export function asksForJson(
  words: readonly string[],
  environment: Record<string, string | undefined>,
  read: (path: string) => string | null = () => null,
): boolean {
  const written = lastOf(words, "log-format") ?? environment.XCOPY_LOG_FORMAT;
  if (written) return written === "json";
  const path = lastOf(words, "config") ?? environment.XCOPY_CONFIG;
  return path ? IN_FILE.test(read(path) ?? "") : false;
}
