/** The command lines of `xcopy completion` and `xcopy man`, which packages call, as data. */
import type { CommandSpec } from "./command.ts";

export const COMPLETION: CommandSpec = {
  name: "completion",
  summary: "prints the completions of xcopy for a shell",
  examples: [
    ["xcopy completion bash >/usr/share/bash-completion/completions/xcopy", "bash"],
    ["xcopy completion zsh >/usr/share/zsh/vendor-completions/_xcopy", "zsh"],
    ["xcopy completion fish >/usr/share/fish/vendor_completions.d/xcopy.fish", "fish"],
  ],
  operand: {
    name: "shell",
    value: "SHELL",
    values: ["bash", "zsh", "fish"],
    help: "bash, zsh or fish",
  },
  groups: {},
  manual: {
    description: [
      "xcopy completion prints a script that completes commands, options and values: interfaces, files, users, running copies. Packages of xcopy have it in place already.",
    ],
    exits: [0, 2],
  },
};

export const MAN: CommandSpec = {
  name: "man",
  summary: "writes the manual pages of xcopy",
  examples: [
    ["xcopy man /usr/local/share/man/man1", "all pages, a file each"],
    ["xcopy man | man -l -", "read the page of xcopy itself"],
  ],
  operand: {
    name: "directory",
    value: "DIRECTORY",
    values: "directory",
    least: 0,
    help: "write all pages to this directory, which is made (default: print the page of xcopy itself)",
  },
  groups: {},
  manual: {
    description: [
      "xcopy man writes the manual pages from the same definitions as --help: one of xcopy, and one of each command. Packages of xcopy have them in place already.",
    ],
    exits: [0, 1, 2, 4],
  },
};
