/** Whether this host's clock is kept right: the times of reports, logs and recordings are its. */
import { type ClockState, clockState } from "../../native/facts/clock.ts";
import { type Finding, findingsAbout } from "../finding.ts";

export function checkClock(_subject: unknown, state: () => ClockState | null = clockState): Finding[] {
  const about = findingsAbout("host.clock", "clock");
  const found = state();
  if (found === null) return about.ok("not known whether it is synchronised");
  if (!found.isSynchronised)
    return about.ok("not synchronised: times in reports may differ from those of other hosts");
  return about.ok(`synchronised, right to ${Math.ceil(found.maxError / 1000)} ms`);
}
