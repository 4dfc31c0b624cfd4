/** The files of a record: opens and writes them, and removes the oldest ones (--keep). */
import { closeSync, constants, ftruncateSync, openSync, rmSync, statSync, writeSync } from "node:fs";
import { sleepMicroseconds } from "../native/libc.ts";
import { END_OF_FRAME, ZstdFrame } from "../native/zstd.ts";
import { type FilePattern, nameOf, textOf } from "./names.ts";
import type { Blocks } from "./pcapng.ts";

/** The value of `-w` for standard output. */
export const STANDARD_OUTPUT = "-";
/** Only their owner reads requests, which may carry passwords. */
const MODE = 0o600;
/** us between two tries of a pipe that is full and does not block. */
const PIPE_WAIT = 1000;
/** The lowest level: what is saved beyond it costs production more than a disk. */
const ZSTD_LEVEL = 1;

export interface FilesOptions extends FilePattern {
  overwrite: boolean;
  /** Files that are kept, the last ones; 0: all. */
  keep: number;
}

/** A file that was just made, or a pipe or device that was there. */
export interface OpenFile {
  path: string;
  fd: number;
  /** The pattern with its time filled in, and the file's number (from 1) among those with the same text. */
  text: string;
  number: number;
  /** Whether it is a regular file, which can be truncated. */
  isFile: boolean;
}

/** A file cannot be opened, written or closed. */
export class FileError extends Error {
  constructor(
    readonly path: string,
    /** `EEXIST`, `ENOSPC`, ... */
    readonly code: string,
    cause: string,
    /** Bytes of the blocks being written that are in the file. */
    readonly written = 0,
  ) {
    super(cause);
    this.name = "FileError";
  }
}

function fileError(path: string, error: unknown, written = 0): FileError {
  const { code = "", message } = error as NodeJS.ErrnoException;
  // Messages for users take only the middle of "ENOSPC: no space left on device, write".
  const words = /^[A-Z0-9]+: (.*?)(, \w+( '.*)?)?$/s.exec(message)?.[1] ?? message;
  return new FileError(path, code, words, written);
}

function isRegular(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return true;
  }
}

/**
 * Opens the next file of a pattern: the first where there is none before. Without `overwrite` numbers that are taken are
 * skipped. Throws a FileError, with code EEXIST if the file exists and there are no numbers.
 */
export function openFile(options: FilesOptions, time: Date, before: OpenFile | null): OpenFile {
  if (options.path === STANDARD_OUTPUT) {
    return { path: "standard output", fd: 1, text: "", number: 1, isFile: false };
  }
  const text = textOf(options.path, time);
  for (let number = before?.text === text ? before.number + 1 : 1; ; number++) {
    const path = nameOf(options, time, number);
    const isFile = isRegular(path);
    try {
      if (isFile && options.overwrite) rmSync(path, { force: true });
      // A named pipe that nobody reads is an error at once, not a wait that no signal ends.
      const flags = isFile ? constants.O_CREAT | constants.O_EXCL : constants.O_NONBLOCK;
      const fd = openSync(path, constants.O_WRONLY | flags, MODE);
      return { path, fd, text, number, isFile };
    } catch (error) {
      const isTaken = (error as NodeJS.ErrnoException).code === "EEXIST";
      if (!isTaken || !options.rotates) throw fileError(path, error);
    }
  }
}

/** Writes all of `bytes`, to `position` of a file that has any; throws a FileError that says how many it wrote. */
function writeAll({ path, fd, isFile }: OpenFile, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length; ) {
    try {
      done += writeSync(fd, bytes, done, bytes.length - done, isFile ? position + done : null);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EAGAIN") sleepMicroseconds(PIPE_WAIT);
      else if (code !== "EINTR") throw fileError(path, error, done);
    }
  }
}

export class Files {
  #file: OpenFile;
  /** Bytes in the file that is written now, and in all of them. */
  bytes = 0;
  total = 0;
  /** Files so far. */
  count = 1;
  /** Paths of the files that are kept, the oldest first; empty if all are kept. */
  readonly #kept: string[] = [];
  readonly #frame: ZstdFrame | null;
  #isInFrame = false;
  /** Bytes at the end of the file that end the zstd frame, which the next write replaces. */
  #end = 0;

  constructor(
    private readonly options: FilesOptions,
    first: OpenFile,
  ) {
    this.#file = first;
    this.#frame = options.compressed ? new ZstdFrame(ZSTD_LEVEL) : null;
    this.#keep();
  }

  get path(): string {
    return this.#file.path;
  }

  get isCompressed(): boolean {
    return this.options.compressed;
  }

  /**
   * Appends whole blocks. A compressed file is one zstd frame; each call writes its end anew, so that the file is complete
   * after each. Throws a FileError that says how many bytes of the blocks are in the file: it is cut after the last whole one.
   */
  write(blocks: Blocks): void {
    const bytes = blocks.bytes.subarray(0, blocks.length);
    const output = this.#frame?.append(bytes) ?? bytes;
    const start = this.bytes - this.#end;
    try {
      writeAll(this.#file, output, start);
      this.bytes = start + output.length;
      this.total += output.length - this.#end;
      this.#end = 0;
      this.#isInFrame = this.#frame !== null;
      if (this.#isInFrame && this.#file.isFile) this.#endFrame();
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
      const whole = this.#frame === null ? blocks.wholeWithin(error.written) : 0;
      if (this.#file.isFile) this.#cut(start, whole);
      throw new FileError(error.path, error.code, error.message, whole);
    }
  }

  #beginFrame(): void {
    this.#frame?.restart();
    this.#isInFrame = false;
    this.#end = 0;
  }

  #endFrame(): void {
    writeAll(this.#file, END_OF_FRAME, this.bytes);
    this.#end = END_OF_FRAME.length;
    this.bytes += this.#end;
    this.total += this.#end;
  }

  /** Cuts the file `whole` bytes after `start`, and writes the end of its zstd frame again. */
  #cut(start: number, whole: number): void {
    ftruncateSync(this.#file.fd, start + whole);
    this.total += start + whole - this.bytes;
    this.bytes = start + whole;
    if (this.#isInFrame && start > 0) this.#endFrame();
    this.#beginFrame();
  }

  /** Closes the file and opens the next; throws a FileError. */
  next(time: Date): void {
    this.close();
    this.#file = openFile(this.options, time, this.#file);
    this.#beginFrame();
    this.bytes = 0;
    this.count++;
    this.#keep();
  }

  /** Closes the file; some file systems report only now that there was no room. Throws a FileError. */
  close(): void {
    if (this.#isInFrame && this.#end === 0) this.#endFrame();
    if (this.options.path === STANDARD_OUTPUT) return;
    try {
      closeSync(this.#file.fd);
    } catch (error) {
      throw fileError(this.#file.path, error);
    }
  }

  /** Notes the current file as the newest, and removes the oldest of ours if there are too many. */
  #keep(): void {
    const { keep } = this.options;
    if (keep === 0) return;
    // A name that was used before, as with `%H` on the next day, is now the newest file.
    const again = this.#kept.indexOf(this.path);
    if (again >= 0) this.#kept.splice(again, 1);
    this.#kept.push(this.path);
    if (this.#kept.length <= keep) return;
    const oldest = this.#kept.shift()!;
    try {
      rmSync(oldest, { force: true });
    } catch (error) {
      throw fileError(oldest, error);
    }
  }
}
