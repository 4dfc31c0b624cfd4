/** Options that several commands have. */
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
  { name: "log", short: "l", value: "FILE", help: "append messages to this file as well, with the time" },
];
