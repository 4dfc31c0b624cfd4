/** The file of `-l`: it stays open, and is opened anew at SIGUSR1, when logrotate has moved it away. */
import { closeSync, fstatSync, ftruncateSync, openSync, writeSync } from "node:fs";
import { Failure } from "../../native/failure.ts";

export class LogFile {
  private fd: number;
  /** Messages that could not be written since the last one that was. */
  private lost = 0;

  /**
   * `complain` is told once what cannot be written, until it can again; `note` writes a message about that as the file has them. Throws a
   * Failure (exit code 2) if the file cannot be opened.
   */
  constructor(
    private readonly path: string,
    private readonly complain: (text: string) => void,
    private readonly note: (text: string) => string,
  ) {
    try {
      this.fd = openSync(path, "a");
    } catch (error) {
      const cause = (error as Error).message;
      throw new Failure(`Cannot use -l "${path}": ${cause}`, "Name a file that can be written.", 2);
    }
  }

  /** Appends whole lines, or nothing of them: a disk that is full now may have room for the next ones, which then tell how many were lost. */
  append(text: string): void {
    const lost = `${this.lost} ${this.lost === 1 ? "message is" : "messages are"} missing here: the file could not be written`;
    try {
      this.write(this.lost === 0 ? text : this.note(lost) + text);
      this.lost = 0;
    } catch (error) {
      this.lost++;
      if (this.lost > 1) return;
      this.complain(`Cannot write log file "${this.path}": ${(error as Error).message}`);
    }
  }

  /** Opens the file of this name, which may be another one now. If that fails the old one is written on, and says so too. */
  reopen(): void {
    try {
      const fd = openSync(this.path, "a");
      closeSync(this.fd);
      this.fd = fd;
    } catch (error) {
      const text = `Cannot open log file "${this.path}" again: ${(error as Error).message}; the old one is written on`;
      this.append(this.note(text));
      this.complain(text);
    }
  }

  private write(text: string): void {
    const bytes = Buffer.from(text);
    const before = fstatSync(this.fd).size;
    let written = 0;
    try {
      while (written < bytes.length) written += writeSync(this.fd, bytes, written);
    } catch (error) {
      // Half a line would be no line of JSON; what another process has written meanwhile stays.
      if (written > 0 && fstatSync(this.fd).size === before + written) ftruncateSync(this.fd, before);
      throw error;
    }
  }
}
