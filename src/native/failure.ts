/**
 * An error that a user can act on: what could not be done and why, how to fix it, and the exit code the process
 * ends with (1 runtime, 2 usage, 3 preflight, 4 permission, 5 kernel cannot).
 */
export class Failure extends Error {
  constructor(
    message: string,
    readonly fix: string,
    readonly exitCode: number,
  ) {
    super(message);
    this.name = "Failure";
  }

  /** The same error with one more sentence in its fix. */
  withFix(more: string): Failure {
    return new Failure(this.message, `${this.fix.replace(/\.?$/, ".")} ${more}`, this.exitCode);
  }
}
