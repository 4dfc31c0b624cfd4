/** The command line of `xcopy report` as data. */
import type { CommandSpec } from "./command.ts";

export const REPORT: CommandSpec = {
  name: "report",
  summary: "shows a report of xcopy copy, or what changed between two",
  examples: [
    ["xcopy report run.json", "the verdict, the figures and the worst endpoints, as text"],
    ["xcopy report run.json --html run.html", "all of it as a page"],
    ["xcopy report old.json new.json", "what is worse and what is better in the second run"],
  ],
  operand: {
    name: "file",
    value: "FILE.json [FILE.json]",
    values: "file",
    further: "file",
    least: 1,
    most: 2,
    help: "a report; of two, the second is compared with the first",
  },
  groups: {
    Output: [
      {
        name: "html",
        value: "FILE",
        values: "file",
        common: true,
        help: "write a page to this file, which needs no other file and no network",
      },
      { name: "json", common: true, help: "print the report, or what changed, as one JSON object" },
    ],
  },
  manual: {
    description: [
      "xcopy report shows a report of xcopy copy --report again: how the responses of the target differ from production's. Of two reports it says what changed from the first to the second.",
    ],
    exits: [0, 1, 2, 4],
  },
};
