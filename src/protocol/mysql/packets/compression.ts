/**
 * The compressed protocol (Protocol::CompressedPacket), which follows a login: frames of 3 bytes of length, a number, 3 bytes
 * of the length in full (0: as it is), with any part of the stream of packets in them. Both sides count the frames of a command
 * and its answer together.
 */
import { constants, deflateSync, inflateSync, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { CLIENT_COMPRESS, CLIENT_ZSTD } from "./constants.ts";
import { integer24, Malformed } from "./reader.ts";

export type Algorithm = "zlib" | "zstd";

export const FRAME_HEADER = 7;
/** Shorter ones are not worth it (MIN_COMPRESS_LENGTH of both servers). */
const LEAST = 50;
/** Bytes of memory that are kept for a frame that comes in pieces. */
const KEPT = 65536;

/** What sides with these capabilities compress with; null: nothing. Where both are known, servers take zlib. */
export function algorithmOf(capabilities: number): Algorithm | null {
  if (capabilities & CLIENT_COMPRESS) return "zlib";
  return capabilities & CLIENT_ZSTD ? "zstd" : null;
}

/** A frame with this number around bytes, at most 16 MiB of them, compressed where that makes it shorter. */
export function frame(
  algorithm: Algorithm,
  bytes: Uint8Array,
  from: number,
  to: number,
  number: number,
): Uint8Array {
  let content = bytes.subarray(from, to);
  let whole = 0;
  if (to - from >= LEAST) {
    const smaller = deflate(algorithm, content);
    if (smaller.length < content.length) {
      whole = content.length;
      content = smaller;
    }
  }
  const made = new Uint8Array(FRAME_HEADER + content.length);
  for (let i = 0; i < 3; i++) {
    made[i] = (content.length >> (8 * i)) & 0xff;
    made[4 + i] = (whole >> (8 * i)) & 0xff;
  }
  made[3] = number & 0xff;
  made.set(content, FRAME_HEADER);
  return made;
}

/** What is in the one frame that `bytes` from `from` to `to` are; null if they are none. Throws Malformed. */
export function unframe(
  algorithm: Algorithm,
  bytes: Uint8Array,
  from: number,
  to: number,
): Uint8Array | null {
  const length = to - from - FRAME_HEADER;
  return length >= 0 && integer24(bytes, from) === length ? contentOf(algorithm, bytes, from, to) : null;
}

/** What a stream of zstd begins with, and the second bytes of one of zlib (RFC 1950) that clients write. */
const ZSTD_MAGIC = [0x28, 0xb5, 0x2f, 0xfd];
const ZLIB = 0x78;
const ZLIB_LEVELS = [0x01, 0x5e, 0x9c, 0xda];

/**
 * Whether what a client says first, of a session that is older than xcopy, is compressed, and with what; a first frame that is not
 * says zlib, which all servers have. Null: it is a packet.
 */
export function recognizeFrames(bytes: Uint8Array, from: number, to: number): Algorithm | null {
  if (to - from <= FRAME_HEADER + 4 || bytes[from + 3] !== 0) return null;
  const length = integer24(bytes, from);
  const content = from + FRAME_HEADER;
  const isWhole = to - content === length;
  if (integer24(bytes, from + 4) === 0) {
    return isWhole && integer24(bytes, content) + 4 === length && bytes[content + 3] === 0 ? "zlib" : null;
  }
  if (ZSTD_MAGIC.every((byte, index) => bytes[content + index] === byte)) return "zstd";
  if (bytes[content] !== ZLIB || !ZLIB_LEVELS.includes(bytes[content + 1]!)) return null;
  // "x^" may stand in a text.
  return isWhole || bytes[content + 1] !== ZLIB_LEVELS[1] ? "zlib" : null;
}

/** As much as can be had of what is in a frame, of which there is the beginning. A view, or new. */
export function beginningOf(
  algorithm: Algorithm,
  bytes: Uint8Array,
  from: number,
  to: number,
): Uint8Array | null {
  if (to - from <= FRAME_HEADER) return null;
  const end = Math.min(to, from + FRAME_HEADER + integer24(bytes, from));
  const content = bytes.subarray(from + FRAME_HEADER, end);
  if (integer24(bytes, from + 4) === 0) return content;
  try {
    return plain(
      algorithm === "zstd"
        ? zstdDecompressSync(content)
        : inflateSync(content, { finishFlush: constants.Z_SYNC_FLUSH }),
    );
  } catch {
    return null;
  }
}

/** The same bytes, of which a slice is a copy. */
function plain({ buffer, byteOffset, length }: Uint8Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, length);
}

/** The fastest level: production's host pays for it. */
function deflate(algorithm: Algorithm, content: Uint8Array): Uint8Array {
  return algorithm === "zstd"
    ? zstdCompressSync(content, { params: { [constants.ZSTD_c_compressionLevel]: 1 } })
    : deflateSync(content, { level: 1 });
}

function contentOf(algorithm: Algorithm, bytes: Uint8Array, from: number, to: number): Uint8Array {
  const whole = integer24(bytes, from + 4);
  const content = bytes.subarray(from + FRAME_HEADER, to);
  if (whole === 0) return content;
  try {
    const bounds = { maxOutputLength: whole };
    return plain(algorithm === "zstd" ? zstdDecompressSync(content, bounds) : inflateSync(content, bounds));
  } catch {
    throw new Malformed("a compressed packet that is none");
  }
}

/** Takes a stream of frames apart, whatever pieces it comes in. */
export class Inflater {
  /** Of the frame that came last. */
  number = 0;
  /** What is not a whole frame yet: the first `length` bytes. */
  private pieces: Uint8Array = new Uint8Array(0);
  private length = 0;

  constructor(readonly algorithm: Algorithm) {}

  /** A frame begins with the next byte. */
  reset(): void {
    this.length = 0;
  }

  /** Hands what is in the frames on, frame by frame; it may be changed. Throws Malformed. */
  take(bytes: Uint8Array, from: number, to: number, sink: (bytes: Uint8Array) => void): void {
    const end = this.length + to - from;
    if (end > this.pieces.length) {
      const grown = new Uint8Array(Math.max(end, 2 * this.length));
      grown.set(this.pieces.subarray(0, this.length));
      this.pieces = grown;
    }
    const joined = this.pieces;
    joined.set(bytes.subarray(from, to), this.length);
    this.length = end;
    let at = 0;
    while (this.length - at >= FRAME_HEADER) {
      const next = at + FRAME_HEADER + integer24(joined, at);
      if (next > this.length) break;
      this.number = joined[at + 3]!;
      sink(contentOf(this.algorithm, joined, at, next));
      at = next;
    }
    joined.copyWithin(0, at, this.length);
    this.length -= at;
    if (this.length === 0 && joined.length > KEPT) this.pieces = new Uint8Array(0);
  }
}
