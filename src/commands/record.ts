/** `xcopy record`: reads the options, makes the plan, prints it (--dry-run) or runs it. */
import type { Arguments } from "../command-line/reading/arguments.ts";
import { configuredCommand } from "../command-line/reading/configured.ts";
import { RECORD } from "../command-line/record.ts";
import { say, setStyle } from "../host/log/style.ts";
import { holdEarly } from "../host/signals.ts";
import { parseRecord } from "../record/options.ts";
import { goesToBackground } from "./background.ts";
import { runSeveral } from "./several.ts";

async function run(args: Arguments): Promise<void> {
  holdEarly(false);
  const options = parseRecord(args);
  setStyle({ format: options.logFormat, command: "record" });
  const user = args.get("run-as")?.at(-1);
  if (user !== undefined && !options.dryRun) {
    const { runAs } = await import("../host/run-as.ts");
    runAs(user, "record");
  }
  if (await goesToBackground(options)) return;
  // Imported only here, so that help and errors of the command line do not load the rest of the program.
  const { makeRecordPlan, thisRecordHost } = await import("../record/plan.ts");
  const plan = await makeRecordPlan(options, thisRecordHost());
  if (options.dryRun) {
    const { renderRecordPlan } = await import("../record/dry-run.ts");
    console.log(renderRecordPlan(plan, options));
    for (const warning of plan.warnings) say("warning", warning);
    return;
  }
  const { runRecord } = await import("../record/run.ts");
  process.exitCode = await runRecord(options, plan);
}

export default configuredCommand(RECORD, run, (several) => runSeveral(RECORD, several, parseRecord));
