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
