/**
 * Several doctors side by side in one process, of which only the checks of arrival and of the way are run; run as `bun doctors.ts
 * NAME ARGUMENTS ...` in a namespace, an underscore for a space within an argument. Prints a line of JSON for each: its name and its findings.
 */

import { DOCTOR } from "../../src/command-line/doctor.ts";
import { parseArguments } from "../../src/command-line/reading/arguments.ts";
import { parseCopy } from "../../src/copy/options.ts";
import { checkArrival } from "../../src/doctor/arrival/check.ts";
import { checkPlan } from "../../src/doctor/host/plan.ts";
import { runChecks } from "../../src/doctor/list/run.ts";
import { makeSubject } from "../../src/doctor/subject.ts";
import { checkRules, checkWay } from "../../src/doctor/way/check.ts";

/** ms: each has a part of a machine that may be busy with other things. */
const SPAN = 120_000;

const words = process.argv.slice(2);
const runs = words.flatMap((name, index) => (index % 2 === 0 ? [{ name, args: words[index + 1]! }] : []));
await Promise.all(
  runs.map(async ({ name, args }) => {
    const subject = await makeSubject(
      parseCopy(
        parseArguments(
          DOCTOR,
          args.split(" ").map((word) => word.replaceAll("_", " ")),
        ),
      ),
    );
    const checks = [
      { group: "host" as const, name: "the plan", look: checkPlan },
      { group: "arrival" as const, name: "what arrives", look: (one: typeof subject) => checkArrival(one) },
      { group: "way" as const, name: "the ways", look: checkWay },
      { group: "way" as const, name: "the rules", look: checkRules },
    ];
    console.log(JSON.stringify({ name, findings: await runChecks(checks, subject, SPAN) }));
  }),
);
process.exit(0);
