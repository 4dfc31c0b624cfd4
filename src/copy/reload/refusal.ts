/** A change that is refused, as a user reads it. */
import { Failure } from "../../native/failure.ts";
import type { Reloaded } from "../../web/source.ts";

const UNTOUCHED = "Nothing is changed: the copy goes on as before.";
const CANNOT = "Cannot reload: ";

/** What cannot be done while a copy runs. */
export function refusal(cause: string, fix: string): Failure {
  return new Failure(CANNOT + cause, fix, 2);
}

/** A Failure as it is told; any other error is thrown again. */
export function refused(error: unknown): Reloaded {
  if (!(error instanceof Failure)) throw error;
  const { message, fix, exitCode } = error;
  const cause = message.startsWith(CANNOT) ? message : CANNOT + message;
  return { exitCode: exitCode === 3 ? 3 : 2, lines: [cause, `${fix} ${UNTOUCHED}`] };
}
