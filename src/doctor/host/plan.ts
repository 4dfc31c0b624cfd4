/** Whether the copy can be planned on this host: names resolved, interfaces there, routes to the targets. */
import type { Finding } from "../finding.ts";
import type { Subject } from "../subject.ts";

/** What a start would refuse, or warn of. */
export function checkPlan({ plan, unplanned }: Subject): Finding[] {
  const about = { id: "host.plan", what: "the copy as it is meant", host: null };
  if (unplanned) return [{ ...about, status: "failed", found: unplanned.message, fix: unplanned.fix }];
  const targets = plan!.paths.length;
  const found = `can be planned: ${plan!.services.length} ${plan!.services.length === 1 ? "service" : "services"}, ${targets} ${targets === 1 ? "way" : "ways"} to targets`;
  return [{ ...about, status: "ok", found, fix: null }];
}
