/** `xcopy intercept`: reads the options, makes the plan, prints it (--dry-run), goes to the background, or runs it. */

import { INTERCEPT } from "../command-line/intercept.ts";
import type { Arguments } from "../command-line/reading/arguments.ts";
import { configuredCommand } from "../command-line/reading/configured.ts";
import { say, setStyle } from "../host/log/style.ts";
import { holdEarly } from "../host/signals.ts";
import { parseIntercept } from "../intercept/options.ts";
import { goesToBackground } from "./background.ts";
import { runSeveral } from "./several.ts";

async function run(args: Arguments): Promise<void> {
  holdEarly(false);
  const options = parseIntercept(args);
  setStyle({ format: options.logFormat, command: "intercept" });
  const user = args.get("run-as")?.at(-1);
  if (user !== undefined && !options.dryRun) {
    const { runAs } = await import("../host/run-as.ts");
    runAs(user, "intercept", { port: options.port });
  }
  // Imported only here, so that help and errors of the command line do not load the rest of the program.
  const { checkKey, readKey } = await import("../channel/key.ts");
  const key = readKey(options.keyFile, process.env);
  // Without a key an intercept for tcpcopy 1.x serves nobody else.
  if (key || options.insecure || !options.compat) checkKey("intercept", key, options.insecure);
  if (options.filter !== null) {
    const { compileFilter } = await import("../filter/compile.ts");
    compileFilter(options.filter, "ethernet");
  }
  const { makeInterceptPlan, thisInterceptHost } = await import("../intercept/plan.ts");
  const plan = makeInterceptPlan(options, key !== null, thisInterceptHost());
  if (options.dryRun) {
    const { renderInterceptPlan } = await import("../intercept/dry-run.ts");
    console.log(renderInterceptPlan(plan, options, key !== null));
    for (const warning of plan.warnings) say("warning", warning);
    return;
  }
  if (await goesToBackground(options)) return;
  const { runIntercept } = await import("../intercept/run.ts");
  process.exitCode = await runIntercept(options, plan, key);
}

export default configuredCommand(INTERCEPT, run, (several) => runSeveral(INTERCEPT, several, parseIntercept));
