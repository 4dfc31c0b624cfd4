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
    values: "copy",
    help: "show the copy with this process id (default: all copies that this user may see)",
    least: 0,
  },
  groups: {
    "How it is shown": [
      {
        name: "once",
        common: true,
        help: "print it once, which is what it does where standard output is no terminal",
      },
      { name: "json", common: true, help: "print it once, as one JSON object" },
    ],
  },
  manual: {
    description: [
      "xcopy top asks the copies that run on this host what they do: their rates, what the target does with the requests, and with --compare what differs. It changes nothing in them.",
    ],
    exits: [0, 1, 2, 4],
    files: [["/run/xcopy/", "The sockets by which copies are asked"]],
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
    values: "copy",
    help: "the process id of a copy, or of the process that runs several of a file, or a name in the configuration file (default: the only copy that runs, or all of the only file)",
    least: 0,
  },
  groups: {},
  manual: {
    description: [
      "xcopy reload has a copy read the file of its --config again, as SIGHUP does, and says what changed. Transfers, rates and filters change without ending the connections that stay; where something else changed it is named, as it needs a restart, and nothing changes; so it is where a file cannot be used, or a new target does not answer.",
    ],
    exits: [0, 1, 2, 3, 4],
    files: [["/run/xcopy/", "The sockets by which copies are asked"]],
  },
};
