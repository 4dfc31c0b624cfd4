/** The command line of `xcopy config` as data. */
import type { CommandSpec } from "./command.ts";

export const CONFIG: CommandSpec = {
  name: "config",
  summary: "checks and shows configuration files (--config)",
  examples: [
    ["xcopy config check /etc/xcopy/shop.toml", "what is in it, or what is wrong, with line and column"],
    ["xcopy config show /etc/xcopy/shop.toml", "the options that count, and where each comes from"],
    ["xcopy config schema >xcopy.schema.json", "for editors: see #:schema of Taplo"],
  ],
  operand: {
    name: "words",
    value: "ACTION [FILE]",
    values: ["check", "show", "schema"],
    further: "file",
    alone: ["schema"],
    least: 1,
    most: 2,
    help: "check FILE: read the file as copy, intercept and record do, and exit with 0, or with 2 if they would refuse it; show FILE: with the environment of this shell as well, passwords masked; schema: the JSON Schema of these files",
  },
  groups: {
    "What is shown": [
      {
        name: "only",
        value: "NAME",
        values: "section",
        help: "show only the table with this name",
      },
    ],
  },
  manual: {
    description: [
      "xcopy config reads configuration files as xcopy copy, intercept and record do with --config, and starts nothing. An error names the line and the column.",
      "The environment may give options too: XCOPY_MEMORY stands for --memory. It overrides the file, and the command line overrides both.",
    ],
    exits: [0, 2],
  },
};
