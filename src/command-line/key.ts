/** The command line of `xcopy key` as data. */
import type { CommandSpec } from "./command.ts";

export const KEY: CommandSpec = {
  name: "key",
  summary: "makes the key that copies and intercepts share",
  examples: [
    ["xcopy key /etc/xcopy/xcopy.key", "where both look for it; prints its fingerprint"],
    ["scp -p /etc/xcopy/xcopy.key root@10.0.0.2:/etc/xcopy/", "then take it to the other host"],
  ],
  operand: {
    name: "file",
    value: "FILE",
    help: "write 32 random bytes, as base64, to this new file, which only its owner may read; a file that exists is never overwritten",
  },
  groups: {},
};
