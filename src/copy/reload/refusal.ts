/** A change that is refused, as a user reads it. */
import { renderVersion } from "../../command-line/reading/help.ts";
import { Failure } from "../../native/failure.ts";
import type { Reloaded } from "../../web/source.ts";

const UNTOUCHED = "Nothing is changed: the copy goes on as before.";
const CANNOT = "Cannot reload: ";

/** What cannot be done while a copy runs. */
export function refusal(cause: string, fix: string): Failure {
  return new Failure(CANNOT + cause, fix, 2);
}

/** An error as it is told. One that is not a Failure is a bug, for which the copy does not end. */
export function refused(error: unknown): Reloaded {
  if (!(error instanceof Failure)) {
    const cause = error instanceof Error ? (error.stack ?? error.message) : String(error);
    const fix = `This is a bug in ${renderVersion()}: please report it. What changed of it is not known: restart the copy.`;
    return { exitCode: 1, lines: [CANNOT + cause, fix] };
  }
  const { message, fix, exitCode } = error;
  const cause = message.startsWith(CANNOT) ? message : CANNOT + message;
  return { exitCode: exitCode === 3 ? 3 : 2, lines: [cause, `${fix} ${UNTOUCHED}`] };
}
