/** The command line of `xcopy demo` as data. */
import type { CommandSpec } from "./command.ts";

export const DEMO: CommandSpec = {
  name: "demo",
  summary: "shows live requests copied in network namespaces of its own",
  examples: [["xcopy demo", "make three hosts, copy 8 s of traffic, compare, clean up"]],
  groups: {},
  manual: {
    description: [
      "xcopy demo makes three hosts of network namespaces (a client, production and a target), runs a service on two of them, copies the client's requests from one to the other, and says whether all arrived. Nothing leaves this host, and nothing stays.",
    ],
    exits: [0, 1, 2, 4, 5],
  },
};
