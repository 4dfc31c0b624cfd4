/** Whether the copy can be planned on this host: names resolved, interfaces there, routes to the targets. */
import { PORTS_WARNING } from "../../copy/plan/sources.ts";
import { type Finding, findingsAbout } from "../finding.ts";
import type { Subject } from "../subject.ts";

const ABOUT = findingsAbout("host.plan", "the copy as it is meant");

/** "1 service", "2 services". */
function count(number: number, word: string): string {
  return `${number} ${word}${number === 1 ? "" : "s"}`;
}

/** What a start would refuse or warn of, in its own words. */
export function checkPlan({ plan, unplanned }: Pick<Subject, "plan" | "unplanned">): Finding[] {
  if (plan === null) return ABOUT.failed(unplanned!.message, unplanned!.fix);
  const found = `${count(plan.services.length, "service")}, ${count(plan.paths.length, "path")} to targets`;
  // What is said of ports is a finding of its own.
  const warnings = plan.warnings.filter((text) => !text.startsWith(PORTS_WARNING));
  return [...ABOUT.ok(found), ...warnings.flatMap((text) => ABOUT.warning(text, null))];
}
