/** `xcopy cleanup`: removes what a killed xcopy left on this host. */

import { CLEANUP } from "../command-line/cleanup.ts";
import { strictCommand } from "../command-line/reading/arguments.ts";

export default strictCommand(CLEANUP, async () => {
  const { removeLeftovers, removeVerifierLogs } = await import("../host/leftovers.ts");
  const { endLingeringGuards } = await import("../host/guard.ts");
  const { carriedLibraries } = await import("../host/carried-libraries.ts");
  const { removeStaleClaims } = await import("../host/claims.ts");
  const { removeStaleSockets } = await import("../host/top-sockets.ts");
  const { removeStaleRules } = await import("../netfilter/rule.ts");
  const removed = [
    ...endLingeringGuards(),
    ...removeLeftovers(await carriedLibraries()),
    ...removeStaleRules(),
    ...removeStaleClaims(),
    ...(await removeStaleSockets()),
    ...removeVerifierLogs(),
  ];
  console.log(removed.length > 0 ? removed.map((what) => `removed ${what}`).join("\n") : "nothing to remove");
});
