/** Options that several commands have, and those about messages read. */
import type { LogFormat } from "../host/log/style.ts";
import { Failure } from "../native/failure.ts";
import type { Arguments } from "./arguments.ts";
import type { Option } from "./command.ts";

/** The group "What xcopy may do". */
export const RIGHTS: Option[] = [
  {
    name: "run-as",
    value: "USER[:GROUP]",
    help: "started by root: run as this user, with the capabilities that are needed and no others; its files (-l, --key-file, ...) are read and written as this user",
  },
];

/** The group "What is reported". */
export const REPORTING: Option[] = [
  { name: "json", help: "print the account as one JSON object, the last line of standard output" },
  {
    name: "stats-interval",
    value: "SECONDS",
    help: "also report after every interval of this length, 0.1 to 86400: with --json a JSON object per line, else a line of text (default: 10; on a terminal a line that is kept up to date)",
  },
  {
    name: "log",
    short: "l",
    value: "FILE",
    help: "append messages to this file as well, with the time; SIGUSR1 opens it anew (logrotate)",
  },
  {
    name: "log-format",
    value: "FORMAT",
    help: "write messages as text, or as json: an object per line with time, level, command, pid and message (default: text)",
  },
];

/** The group "Options from a file", of the commands that have a table in it. */
export const CONFIGURATION: Option[] = [
  {
    name: "config",
    value: "FILE",
    help: "take options from this TOML file too, by their long names; what the environment gives (XCOPY_MEMORY for --memory) goes before the file, and what the command line gives before both: a list given there replaces that of the file, and --no-NAME takes a switch back",
  },
  {
    name: "only",
    value: "NAME",
    help: "of the tables with a name in this file only this one (default: all of them, one process each)",
  },
];

export interface Logging {
  /** The file that messages are appended to; null: none. */
  log: string | null;
  logFormat: LogFormat;
  /** Whether it goes to the background once it works. */
  daemon: boolean;
  /** Null: none. */
  pidFile: string | null;
}

/** Where the messages of a run in the background go, unless -l names another file. */
const daemonLog = (command: string) => `/var/log/xcopy-${command}.log`;

/** `-d` and `-P`, in the group "How it is done". */
export function background(command: string): Option[] {
  return [
    {
      name: "daemon",
      short: "d",
      help: `go to the background once it works; messages go to -l (default: ${daemonLog(command)})`,
    },
    {
      name: "pid-file",
      short: "P",
      value: "FILE",
      help: "write the process id to this file, and remove it at the end",
    },
  ];
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
