/** The command line of `xcopy reload` as data. */
import type { CommandSpec } from "./command.ts";

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
