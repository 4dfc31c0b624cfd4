/** The bytes of a trace, from a file or standard input; gzip and zstd are decompressed. */
import { closeSync, fstatSync, openSync, read, readSync, statSync } from "node:fs";
import { createGunzip, createZstdDecompress, type Gunzip, type ZstdDecompress } from "node:zlib";
import { TraceError } from "./frame.ts";
import { Window } from "./window.ts";
import { isZstdMagic, ZstdFrames } from "./zstd-frames.ts";

/** The path that means standard input. */
export const STANDARD_INPUT = "-";

const GZIP_MAGIC = 0x1f8b;
/** Compressed bytes (gzip), or headers and blocks (zstd), that are decompressed at a time: at most 16 MB and 1 MB of output. */
const GZIP_PIECE = 16_384;
const ZSTD_BLOCKS = 8;
/** Bytes of one chunk of output: so much of the output before corrupt data may be lost. */
const CHUNK = 65_536;
const COMPRESSED_WINDOW = 262_144;
/** ms between two reads of a non-blocking descriptor that had no data. */
const RETRY = 5;

/** Where the bytes of a trace come from. */
export interface Source {
  /** Adds bytes to the window; returns how many, 0 at the end. */
  read(window: Window): number | Promise<number>;
  /** Bytes read so far, as stored (compressed). */
  readonly taken: number;
  close(): void;
}

/** Bytes as they are in the file. */
class FileSource implements Source {
  taken = 0;
  readonly #fd: number;
  readonly #isRegular: boolean;

  constructor(path: string) {
    this.#fd = path === STANDARD_INPUT ? 0 : openSync(path, "r");
    this.#isRegular = fstatSync(this.#fd).isFile();
  }

  /** Synchronous for a file; asynchronous for a pipe, so that the thread can be told to stop meanwhile. */
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

/** Decompresses what is in `input`, which is filled from `source`. `frames` is null for gzip. */
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
    // The decoder is never paused: a paused stream loses its output when it fails. It gets little input at a time instead.
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
    // An error at the end has no reader any more.
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

  /** Resolves when the decoder has processed its input, has failed, or has found the end of the data. */
  #wait(start: (done: () => void) => void): Promise<void> {
    if (this.#error || this.#isEnded) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wake = resolve;
      start(resolve);
    });
  }
}

/** Bytes of the file, 0 if that is not known (a pipe). Throws the error of stat. */
export function sizeOf(path: string): number {
  const stat = path === STANDARD_INPUT ? fstatSync(0) : statSync(path);
  return stat.isFile() ? stat.size : 0;
}

/** Whether the path can be read only once: standard input, or a pipe. Throws the error of stat. */
export function isStream(path: string): boolean {
  return path === STANDARD_INPUT || !statSync(path).isFile();
}

/**
 * Opens a trace. The window that it returns has `size` bytes, and may already contain the first ones of the trace. Throws the
 * error of open, or of the first read.
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

/** Whether an error is one of the file, and not a bug of xcopy. */
export function isOfFile(error: unknown): boolean {
  return error instanceof TraceError || (error as NodeJS.ErrnoException).code !== undefined;
}

/** The text of an error of the parser, of a system call or of the decompressor. */
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
