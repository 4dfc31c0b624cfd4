/** The command line of `xcopy config` as data. */
import type { CommandSpec } from "./command.ts";

export const CONFIG: CommandSpec = {
  name: "config",
  summary: "checks a configuration file (--config), shows what it asks for, prints the schema for editors",
  examples: [
    [
      "xcopy config check /etc/xcopy/shop.toml",
      "says what is in it, or all that is wrong, with line and column",
    ],
    ["xcopy config show /etc/xcopy/shop.toml", "the options that count, and where each comes from"],
    [
      "xcopy config schema >xcopy.schema.json",
      'for editors: "#:schema ./xcopy.schema.json" in the first line of a file',
    ],
  ],
  operand: {
    name: "words",
    value: "check FILE | show FILE | schema",
    least: 1,
    most: 2,
    help: "check: read the file as copy, intercept and record do, and exit with 0, or with 2 if they would refuse it; show: with the environment of this shell as well, passwords masked; schema: the JSON Schema of these files",
  },
  groups: {
    "What is shown": [{ name: "only", value: "NAME", help: "show: of the tables with a name only this one" }],
  },
};
