/** The bytes of a trace: of a file or of standard input, decompressed where they are gzip or zstd. */
import { closeSync, fstatSync, openSync, read, readSync, statSync } from "node:fs";
import { createGunzip, createZstdDecompress, type Gunzip, type ZstdDecompress } from "node:zlib";
import { TraceError } from "./frame.ts";
import { Window } from "./window.ts";
import { isZstdMagic, ZstdFrames } from "./zstd-frames.ts";

/** The path that means standard input. */
export const STANDARD_INPUT = "-";

const GZIP_MAGIC = 0x1f8b;
/** Compressed bytes, or headers and blocks of zstd, that are decompressed at a time: at most 16 MB and 1 MB of output. */
const GZIP_PIECE = 16_384;
const ZSTD_BLOCKS = 8;
/** Bytes of one chunk of output: when the data is corrupt, so much of what came before may be lost. */
const CHUNK = 65_536;
const COMPRESSED_WINDOW = 262_144;
/** ms between two tries to read from a descriptor that does not block. */
const RETRY = 5;

/** Where bytes come from. */
export interface Source {
  /** Adds some to the window, as many as it has room for at most; 0: there are no more. */
  read(window: Window): number | Promise<number>;
  /** Bytes taken so far, as they are stored. */
  readonly taken: number;
  close(): void;
}

/** Bytes as they are stored. */
class FileSource implements Source {
  taken = 0;
  readonly #fd: number;
  readonly #isRegular: boolean;

  constructor(path: string) {
    this.#fd = path === STANDARD_INPUT ? 0 : openSync(path, "r");
    this.#isRegular = fstatSync(this.#fd).isFile();
  }

  /** From a file at once; from a pipe later, so that the thread can be told to stop. */
  read(window: Window): number | Promise<number> {
    if (!this.#isRegular) return this.#readLater(window);
    return this.#took(
      window,
      readSync(this.#fd, window.bytes, window.end, window.bytes.length - window.end, null),
    );
  }

  close(): void {
    if (this.#fd !== 0) closeSync(this.#fd);
  }

  async #readLater(window: Window): Promise<number> {
    for (;;) {
      const { promise, resolve } = Promise.withResolvers<number | NodeJS.ErrnoException>();
      const room = window.bytes.length - window.end;
      read(this.#fd, window.bytes, window.end, room, null, (error, count) => resolve(error ?? count));
      const result = await promise;
      if (typeof result === "number") return this.#took(window, result);
      if (result.code !== "EAGAIN") throw result;
      await Bun.sleep(RETRY);
    }
  }

  #took(window: Window, count: number): number {
    window.end += count;
    this.taken += count;
    return count;
  }
}

/** Decompressed bytes; the compressed ones are in `input`, and more come from `source`. */
class DecompressingSource implements Source {
  readonly #output: Uint8Array[] = [];
  readonly #decoder: Gunzip | ZstdDecompress;
  #error: Error | null = null;
  #isEnded = false;
  #wake: () => void = () => {};

  constructor(
    private readonly source: Source,
    private readonly input: Window,
    private readonly frames: ZstdFrames | null,
  ) {
    const decoder = frames ? createZstdDecompress({ chunkSize: CHUNK }) : createGunzip({ chunkSize: CHUNK });
    this.#decoder = decoder;
    // Never paused: what a paused stream holds back is lost when it fails. It is fed little at a time instead.
    decoder.on("data", (chunk: Uint8Array) => this.#output.push(chunk));
    decoder.on("error", (error: Error) => {
      this.#error = error;
      this.#wake();
    });
    decoder.on("end", () => {
      this.#isEnded = true;
      this.#wake();
    });
  }

  get taken(): number {
    return this.source.taken;
  }

  async read(window: Window): Promise<number> {
    while (this.#output.length === 0) {
      if (this.#error) throw this.#error;
      if (this.#isEnded) return 0;
      await this.#feed();
    }
    const chunk = this.#output.shift()!;
    window.push(chunk);
    return chunk.length;
  }

  close(): void {
    this.source.close();
    // Without an error of its own, which nobody would wait for.
    this.#decoder.on("error", () => {}).destroy();
  }

  async #feed(): Promise<void> {
    const { input } = this;
    let size = this.#measure();
    while (size === 0) {
      input.reserve(COMPRESSED_WINDOW);
      if ((await this.source.read(input)) === 0) return this.#finish();
      size = this.#measure();
    }
    const piece = input.bytes.subarray(input.start, input.start + size);
    await this.#wait((done) => this.#decoder.write(piece, done));
    input.skip(size);
  }

  /** Bytes at the start of the input that make the next piece; 0 if there are too few. */
  #measure(): number {
    const { input, frames } = this;
    if (!frames) return Math.min(input.available, GZIP_PIECE);
    if (input.available === 0) return 0;
    return Math.min(frames.measure(input, ZSTD_BLOCKS), input.available);
  }

  async #finish(): Promise<void> {
    if (this.frames && (!this.frames.isWhole || this.input.available > 0)) {
      throw Object.assign(new Error("unexpected end of file"), { code: "Z_BUF_ERROR" });
    }
    await this.#wait(() => this.#decoder.end());
  }

  /** Until the decoder has done what it was given, or failed, or found the end of the data before. */
  #wait(start: (done: () => void) => void): Promise<void> {
    if (this.#error || this.#isEnded) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wake = resolve;
      start(resolve);
    });
  }
}

/** Bytes of what is stored there, 0 if that is not known. Throws the error of stat. */
export function sizeOf(path: string): number {
  const stat = path === STANDARD_INPUT ? fstatSync(0) : statSync(path);
  return stat.isFile() ? stat.size : 0;
}

/** Whether it can be read only once: standard input, or a pipe. Throws the error of stat. */
export function isStream(path: string): boolean {
  return path === STANDARD_INPUT || !statSync(path).isFile();
}

/**
 * Opens a trace, of which the first bytes are in the window then (all, if they are few); the window has at least `size`
 * bytes. Throws the error of open, or of the first read.
 */
export async function openSource(path: string, size: number): Promise<{ source: Source; window: Window }> {
  const source = new FileSource(path);
  const window = new Window(size);
  try {
    while (window.available < 4 && (await source.read(window)) > 0);
    if (window.available < 4) return { source, window };
    const magic = window.view.getUint32(0);
    const isZstd = isZstdMagic(magic);
    if (!isZstd && magic >>> 16 !== GZIP_MAGIC) return { source, window };
    const unpacking = new DecompressingSource(source, window, isZstd ? new ZstdFrames() : null);
    return { source: unpacking, window: new Window(size) };
  } catch (error) {
    source.close();
    throw error;
  }
}

/** Whether an error tells of the file, not of a mistake of ours. */
export function isOfFile(error: unknown): boolean {
  return error instanceof TraceError || (error as NodeJS.ErrnoException).code !== undefined;
}

/** What went wrong, in words: of the parser, of the system, or of the decompressor. */
export function reasonOf(error: unknown): string {
  if (error instanceof TraceError) return error.message;
  const { code, message } = error as NodeJS.ErrnoException;
  return (code && REASONS[code]) || message;
}

const REASONS: Record<string, string> = {
  ENOENT: "no such file",
  EACCES: "permission denied",
  EISDIR: "it is a directory",
  Z_BUF_ERROR: "the compressed data is cut off",
};
