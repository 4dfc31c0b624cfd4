/** `xcopy doctor`: reads the options of the copy that is meant, runs all checks, prints what they found. */
import { DOCTOR } from "../command-line/doctor.ts";
import { configuredCommand } from "../command-line/reading/configured.ts";
import { parseCopy } from "../copy/options.ts";
import { hideSecrets } from "./copy.ts";

/** Exit code where something would fail. */
const WOULD_FAIL = 3;

export default configuredCommand(DOCTOR, async (args) => {
  const options = parseCopy(args);
  if (options.mysql.users.length > 0) await hideSecrets(args);
  const { makeSubject } = await import("../doctor/subject.ts");
  const { CHECKS } = await import("../doctor/list/checks.ts");
  const { runChecks } = await import("../doctor/list/run.ts");
  const { isGood, renderJson, renderList } = await import("../doctor/list/render.ts");
  const findings = await runChecks(CHECKS, await makeSubject(options));
  const colours = process.stdout.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== "dumb";
  console.log(options.json ? renderJson(findings) : renderList(findings, colours));
  if (!isGood(findings)) process.exitCode = WOULD_FAIL;
});
