/** Options, and parts of man pages, that several commands have. */
import type { Manual, Option } from "./command.ts";

/** The group "What xcopy may do". */
export const RIGHTS: Option[] = [
  {
    name: "run-as",
    value: "USER[:GROUP]",
    values: "user",
    help: "run as this user, with only the capabilities that are needed (must be started by root)",
    details: "Its files (-l, --key-file, ...) are read and written as this user",
  },
];

/** The group "What is reported". */
export const REPORTING: Option[] = [
  {
    name: "json",
    help: "print the account as JSON, the last line of stdout",
    common: true,
  },
  {
    name: "stats-interval",
    value: "SECONDS",
    values: "anything",
    help: "also report while it runs, at this interval, 0.1 to 86400 s",
    details: "With --json each report is a JSON object on a line of its own, else a line of text",
    default: "10; on a terminal one line that is kept up to date",
  },
  {
    name: "log",
    short: "l",
    value: "FILE",
    values: "file",
    help: "append messages to this file too, with the time",
    details: "SIGUSR1 opens it anew, for logrotate",
    common: true,
  },
  {
    name: "log-format",
    value: "FORMAT",
    values: ["text", "json"],
    help: "write messages as text, or as json: an object on each line",
    details: "The object has time, level, command, pid and message",
    default: "text",
  },
];

/** The group "Options from a file", of the commands that have a table in it. */
export const CONFIGURATION: Option[] = [
  {
    name: "config",
    value: "FILE",
    values: "file",
    common: true,
    help: "take options from this TOML file too",
    details:
      "It has them by their long names. The command line overrides the environment (XCOPY_MEMORY for --memory), and that the file. A list given there replaces that of the file, and --no-NAME switches an option of the file off",
  },
  {
    name: "only",
    value: "NAME",
    values: "section",
    help: "take only the table with this name from the file, such as shop for [copy.shop]",
    default: "all of them, one process each",
  },
];

/** Where the messages of a run in the background go, unless -l names another file. */
export const daemonLog = (command: string) => `/var/log/xcopy-${command}.log`;

/** `-d` and `-P`, in the group "How it is done". */
export function background(command: string): Option[] {
  return [
    {
      name: "daemon",
      short: "d",
      help: "go to the background once it works; messages go to the file of -l",
      details: `Without -l they go to ${daemonLog(command)}`,
    },
    {
      name: "pid-file",
      short: "P",
      value: "FILE",
      values: "file",
      help: "write the process id to this file, and remove it at the end",
    },
  ];
}

/** What all commands that run until they are stopped do at signals. */
export const SIGNALS: NonNullable<Manual["signals"]> = [
  [
    "SIGINT, SIGTERM",
    "End: take nothing new, finish what is under way, report. The second one ends it at once",
  ],
  ["SIGUSR1", "Open the file of -l anew, for logrotate"],
];

/** Where the shared key may be. */
export const KEY_PLACES = {
  environment: ["XCOPY_KEY", "The shared key itself, where no file is named"] as [string, string],
  file: ["/etc/xcopy/xcopy.key", "The shared key, where neither --key-file nor XCOPY_KEY is given"] as [
    string,
    string,
  ],
};
