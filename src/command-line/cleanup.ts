/** The command line of `xcopy cleanup` as data. */
import type { CommandSpec } from "./command.ts";

export const CLEANUP: CommandSpec = {
  name: "cleanup",
  summary: "removes what an xcopy that was killed left in the kernel",
  examples: [["xcopy cleanup", "remove what a killed xcopy left, and say what it was"]],
  groups: {},
  manual: {
    description: [
      "xcopy removes what it made when it ends, and what killed ones left when it starts. xcopy cleanup does the second and nothing else: filters, rules of netfilter, and files in /run/xcopy whose process is gone.",
    ],
    exits: [0, 1, 2, 4],
    files: [["/run/xcopy/", "What running processes use, and what killed ones left"]],
  },
};
