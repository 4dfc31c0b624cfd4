/** The file of `-l`: it stays open, and is opened anew at SIGUSR1, when logrotate has moved it away. */
import { closeSync, openSync, writeSync } from "node:fs";
import { Failure } from "../../native/failure.ts";

export class LogFile {
  private fd: number;
  private isUsable = true;

  /** `complain` is told once what cannot be written. Throws a Failure (exit code 2) if the file cannot be opened. */
  constructor(
    private readonly path: string,
    private readonly complain: (text: string) => void,
  ) {
    try {
      this.fd = openSync(path, "a");
    } catch (error) {
      const cause = (error as Error).message;
      throw new Failure(`Cannot use -l "${path}": ${cause}`, "Name a file that can be written.", 2);
    }
  }

  /** Appends text. After the first failure it writes no more, until the file is opened anew. */
  append(text: string): void {
    if (!this.isUsable) return;
    try {
      writeSync(this.fd, text);
    } catch (error) {
      this.isUsable = false;
      this.complain(`Cannot write log file "${this.path}": ${(error as Error).message}`);
    }
  }

  /** Opens the file of this name, which may be another one now. If that fails the old one is written on. */
  reopen(): void {
    try {
      const fd = openSync(this.path, "a");
      closeSync(this.fd);
      this.fd = fd;
      this.isUsable = true;
    } catch (error) {
      this.complain(
        `Cannot open log file "${this.path}" again: ${(error as Error).message}; the old one is written on`,
      );
    }
  }
}
