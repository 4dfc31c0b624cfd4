import { strictCommand } from "../config/arguments.ts";

export default strictCommand(
  {
    name: "cleanup",
    summary: "removes what an xcopy that was killed left in the kernel",
    examples: [["xcopy cleanup", "remove it and say what it was; a running xcopy is left alone"]],
    groups: {},
  },
  async () => {
    const { removeLeftovers } = await import("../ops/leftovers.ts");
    const { endLingeringGuards } = await import("../intercept/guard.ts");
    const { carriedLibraries } = await import("./carried.ts");
    const { removeStaleClaims } = await import("./claim.ts");
    const { removeStaleRules } = await import("../intercept/rule.ts");
    const removed = [
      ...endLingeringGuards(),
      ...removeLeftovers(await carriedLibraries()),
      ...removeStaleRules(),
      ...removeStaleClaims(),
    ];
    console.log(
      removed.length > 0 ? removed.map((what) => `removed ${what}`).join("\n") : "nothing to remove",
    );
  },
);
