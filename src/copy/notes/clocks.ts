/** Tells of clocks that were set while a recording was made. */
import type { TimeStep } from "../../capture/trace/options.ts";
import { span } from "../../runtime/figures.ts";

/** Steps that are told one by one. */
const MOST_TOLD = 10;

/** us since 1970 that a Date can show. */
const SHOWN = 2 ** 53;

/** `2026-01-31T22:00:00Z`; the number where it is no time. */
function moment(us: number): string {
  if (Math.abs(us) >= SHOWN) return `${us / 1e6} s`;
  return new Date(us / 1000).toISOString().replace(/\.\d+Z$/, "Z");
}

/** What happened, and what comes of it. */
export function renderStep({ path, from, to }: TimeStep): string {
  const apart = span(Math.abs(to - from));
  const between = `from ${moment(from)} to ${moment(to)}`;
  if (path === null)
    return `the recordings are ${apart} apart (${between}): they are replayed without that pause`;
  const way = to > from ? "ahead" : "back";
  return `the clock of "${path}" goes ${apart} ${way} (${between}): the replay goes on without a pause`;
}

/** What gets the steps; it logs the first ones. */
export function tellSteps(warn: (text: string) => void): (step: TimeStep) => void {
  let told = 0;
  return (step) => {
    if (told++ < MOST_TOLD) warn(renderStep(step));
    else if (told === MOST_TOLD + 1) warn("more such steps are only counted (trace.clock_steps of --json)");
  };
}
