/** The command line of `xcopy key` as data. */
import type { CommandSpec } from "./command.ts";
import { KEY_PLACES } from "./common.ts";

export const KEY: CommandSpec = {
  name: "key",
  summary: "makes the key that copies and intercepts share",
  examples: [
    [
      "xcopy key /etc/xcopy/xcopy.key",
      "make a key where copies and intercepts look for it, and print its fingerprint",
    ],
    ["scp -p /etc/xcopy/xcopy.key root@10.0.0.2:/etc/xcopy/", "take it to the other host"],
  ],
  operand: {
    name: "file",
    value: "FILE",
    values: "directory",
    help: "write the key (32 random bytes, as base64) to this new file, which only its owner may read; an existing file is never overwritten",
  },
  groups: {},
  manual: {
    description: [
      "xcopy key makes the key that xcopy copy -s and xcopy intercept share: each proves to the other that it has it, and all that they say to each other is encrypted. Both print the fingerprint of their key when they start.",
    ],
    exits: [0, 1, 2, 4],
    files: [KEY_PLACES.file],
  },
};
