import { strictCommand } from "../config/arguments.ts";
import { parseCopy } from "../config/copy.ts";
import { COPY } from "../config/copy-command.ts";

/** The passwords in the values of -u, with what stands before them. */
function secretsOf(values: readonly string[]): string[] {
  return values.flatMap((value) => value.split(",").map((user) => user.slice(user.indexOf("@"))));
}

export default strictCommand(COPY, async (args) => {
  const options = parseCopy(args);
  if (options.mysql.users.length > 0) {
    const { forbidCores, hideArguments } = await import("../native/secrets.ts");
    hideArguments(args.has("user") ? secretsOf(args.get("user")!) : []);
    forbidCores();
  }
  // Loaded only now: help and mistakes on the command line are answered without the rest of the program.
  const { makePlan, thisHost } = await import("./plan.ts");
  if (options.dryRun) {
    const { renderPlan } = await import("./dry-run.ts");
    const plan = await makePlan(options, thisHost(options));
    console.log(renderPlan(plan, options));
    for (const warning of plan.warnings) console.error(`warning: ${warning}`);
    return;
  }
  const { runCopy } = await import("./run-copy.ts");
  process.exitCode = await runCopy(options, await makePlan(options, thisHost(options)));
});
