/** Runs the checks of `xcopy doctor` side by side, each within the time that all of them have. */
import { Failure } from "../../native/failure.ts";
import type { Check, Finding } from "../finding.ts";

/** Where a thing is that a check looks at; the list is ordered so. */
export type Group = "host" | "arrival" | "way" | "intercept";

export interface ListedCheck<Subject> {
  group: Group;
  /** Completes "look at ...": what it looks at, for the message where it does not come to an end. */
  name: string;
  look: Check<Subject>;
}

export interface GroupedFinding extends Finding {
  group: Group;
}

/** ms that all checks have together: as long as a start takes to try a target in vain by way of an intercept, and some. */
const SPAN = 15_000;

/** A finding about a check that found nothing out. */
function unfinished(name: string, found: string, fix: string | null): Finding {
  return { id: "doctor.check", status: "warning", what: `look at ${name}`, found, fix, host: null };
}

/** What a check that threw is worth: a Failure is what the copy would meet, any other error is a mistake of the check. */
function thrown(name: string, error: unknown): Finding {
  if (error instanceof Failure) {
    return { ...unfinished(name, error.message, error.fix), id: "doctor.failure", status: "failed" };
  }
  const text = error instanceof Error ? error.message : String(error);
  return unfinished(name, `the check itself failed: ${text}`, "Report it: it is a bug in xcopy.");
}

/** Gives the event loop a turn: what has come from the network is taken before the next check that does not wait. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** What one check finds, at most `span` ms from now on. */
async function findingsOf<Subject>(
  { name, look }: ListedCheck<Subject>,
  subject: Subject,
  span: number,
): Promise<Finding[]> {
  let timer: Timer | undefined;
  const late = new Promise<Finding[]>((resolve) => {
    const found = `it took longer than the ${span / 1000} s that all checks have`;
    timer = setTimeout(() => resolve([unfinished(name, found, null)]), span);
  });
  try {
    return await Promise.race([Promise.resolve(look(subject)), late]);
  } catch (error) {
    return [thrown(name, error)];
  } finally {
    clearTimeout(timer);
  }
}

/**
 * All findings, in the order of the checks. A check that throws, or that takes longer than `span` ms, is a finding itself, and
 * the others go on. Checks that wait are begun first.
 */
export async function runChecks<Subject>(
  checks: readonly ListedCheck<Subject>[],
  subject: Subject,
  span = SPAN,
): Promise<GroupedFinding[]> {
  const waiting = checks.map((check) => (check.group === "host" ? null : findingsOf(check, subject, span)));
  const found: GroupedFinding[] = [];
  for (const [index, check] of checks.entries()) {
    if (waiting[index] === null) await turn();
    const findings = await (waiting[index] ?? findingsOf(check, subject, span));
    found.push(...findings.map((finding) => ({ ...finding, group: check.group })));
  }
  return found;
}
