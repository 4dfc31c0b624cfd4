/** The command lines of `xcopy top` and `xcopy reload`, which ask running copies, as data. */
import type { CommandSpec } from "./command.ts";

export const TOP: CommandSpec = {
  name: "top",
  summary: "shows what the copies on this host do, and what they find",
  examples: [
    ["xcopy top", "all copies, with their rates; Enter shows one, q ends"],
    ["xcopy top 1234", "the copy with this process id, endpoint by endpoint"],
    ["xcopy top --json", "once, for programs"],
  ],
  operand: {
    name: "pid",
    value: "PID",
    help: "the process id of a copy (default: all copies that this user may see)",
    least: 0,
  },
  groups: {
    "How it is shown": [
      { name: "once", help: "print it once; so it is where standard output is no terminal" },
      { name: "json", help: "print it once, as one JSON object" },
    ],
  },
};

export const RELOAD: CommandSpec = {
  name: "reload",
  summary: "has a running copy read its configuration again",
  examples: [
    ["xcopy reload", "the copy that runs on this host"],
    ["xcopy reload 1234", "the copy with this process id, of several"],
  ],
  operand: {
    name: "copy",
    value: "PID|NAME",
    help: "the process id of a copy, or its name in the configuration file (default: the only copy that runs)",
    least: 0,
  },
  groups: {},
};
