/**
 * The compressed protocol (Protocol::CompressedPacket), which begins after the login. A frame has 3 bytes of length, a
 * sequence number, 3 bytes of the uncompressed length (0: not compressed), and then any part of the stream of packets. The
 * sequence numbers run through the frames of a command and its answer.
 */
import { constants, deflateSync, inflateSync, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { CLIENT_COMPRESS, CLIENT_ZSTD } from "./constants.ts";
import { integer24, Malformed } from "./reader.ts";

export type Algorithm = "zlib" | "zstd";

export const FRAME_HEADER = 7;
/** Fewer bytes are not compressed (MIN_COMPRESS_LENGTH of both servers). */
const LEAST = 50;
/** Most bytes of memory that are kept between frames. */
const KEPT = 65536;

/** The compression of a connection with these capabilities; null: none. With both, servers use zlib. */
export function algorithmOf(capabilities: number): Algorithm | null {
  if (capabilities & CLIENT_COMPRESS) return "zlib";
  return capabilities & CLIENT_ZSTD ? "zstd" : null;
}

/** A frame with this sequence number and at most 16 MiB of content, compressed if that makes it shorter. */
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

/** The content of the frame that `bytes` from `from` to `to` are; null if they are not exactly one frame. Throws Malformed. */
export function unframe(
  algorithm: Algorithm,
  bytes: Uint8Array,
  from: number,
  to: number,
): Uint8Array | null {
  const length = to - from - FRAME_HEADER;
  return length >= 0 && integer24(bytes, from) === length ? contentOf(algorithm, bytes, from, to) : null;
}

/** The first bytes of a zstd stream. */
const ZSTD_MAGIC = [0x28, 0xb5, 0x2f, 0xfd];
/** The first byte of a zlib stream, and the second ones that clients write (RFC 1950). */
const ZLIB = 0x78;
const ZLIB_LEVELS = [0x01, 0x5e, 0x9c, 0xda];

/**
 * The compression of a session that is older than xcopy, by the first bytes captured of its client. If the first frame is not
 * compressed, zlib is assumed, which all servers support. Null: the bytes are a packet, not a frame.
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
  // "x^" may be the start of a text.
  return isWhole || bytes[content + 1] !== ZLIB_LEVELS[1] ? "zlib" : null;
}

/** As much as possible of the content of a frame of which the first bytes are there; a view or a new array. Null: nothing. */
export function beginningOf(
  algorithm: Algorithm,
  bytes: Uint8Array,
  from: number,
  to: number,
): Uint8Array | null {
  if (to - from <= FRAME_HEADER) return null;
  const end = Math.min(to, from + FRAME_HEADER + integer24(bytes, from));
  const content = bytes.subarray(from + FRAME_HEADER, end);
  const whole = integer24(bytes, from + 4);
  if (whole === 0) return content;
  // What makes more than it says is no frame, however small it is.
  const bounds = { maxOutputLength: whole };
  try {
    return plain(
      algorithm === "zstd"
        ? zstdDecompressSync(content, bounds)
        : inflateSync(content, { ...bounds, finishFlush: constants.Z_SYNC_FLUSH }),
    );
  } catch {
    return null;
  }
}

/** The same bytes as a Uint8Array: `slice` of a Buffer makes no copy. */
function plain({ buffer, byteOffset, length }: Uint8Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, length);
}

/** Compresses at the fastest level, because it costs time on the production host. */
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
    throw new Malformed("a frame that cannot be decompressed");
  }
}

/** Splits a stream of frames, which comes in any pieces, and decompresses their contents. */
export class Inflater {
  /** Sequence number of the last frame. */
  number = 0;
  /** A frame that is not complete yet: the first `length` bytes. */
  private pieces: Uint8Array = new Uint8Array(0);
  private length = 0;

  constructor(readonly algorithm: Algorithm) {}

  /** Drops an incomplete frame: the next byte begins a frame. */
  reset(): void {
    this.length = 0;
  }

  /** Passes the contents of the complete frames to `sink`, which may change them in place. Throws Malformed. */
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
