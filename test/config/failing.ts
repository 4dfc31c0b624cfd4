/** What a call that must fail says. */
import { Failure } from "../../src/native/failure.ts";

/** Message, fix and exit code of the Failure that a call throws; anything else that it throws or returns is an error. */
export function failing(call: () => unknown): { message: string; fix: string; exitCode: number } {
  try {
    call();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const { message, fix, exitCode } = error;
    return { message, fix, exitCode };
  }
  throw new Error("It did not fail");
}

/** Like `failing`, for a promise. */
export async function rejecting(promise: Promise<unknown>): Promise<ReturnType<typeof failing>> {
  const outcome = await promise.then(
    () => new Error("It did not fail"),
    (error: unknown) => error,
  );
  return failing(() => {
    throw outcome;
  });
}

/** Whether a call returns or throws a Failure with exit code 2 and a text of two whole lines; anything else is thrown. */
export function returnsOrFails(call: () => unknown): boolean {
  try {
    call();
    return true;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return error.exitCode === 2 && error.message.startsWith("Cannot ") && error.fix.endsWith(".");
  }
}
