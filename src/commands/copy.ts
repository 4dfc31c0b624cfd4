/** `xcopy copy`: reads the options, makes the plan, prints it (--dry-run) or runs it. */
import { strictCommand } from "../command-line/arguments.ts";
import { COPY } from "../command-line/copy.ts";
import { parseCopy } from "../copy/options.ts";

/** The parts of the values of -u that hold passwords: of each user all from the first @ on. */
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
  // Imported only here, so that help and errors of the command line do not load the rest of the program.
  if (!options.dryRun) (await import("../copy/data-plane/start.ts")).prepareDataPlane();
  const { makePlan, thisHost } = await import("../copy/plan.ts");
  if (options.dryRun) {
    const { renderPlan } = await import("../copy/dry-run.ts");
    const plan = await makePlan(options, thisHost(options));
    console.log(renderPlan(plan, options));
    for (const warning of plan.warnings) console.error(`warning: ${warning}`);
    return;
  }
  const { runCopy } = await import("../copy/run.ts");
  process.exitCode = await runCopy(options, await makePlan(options, thisHost(options)));
});
