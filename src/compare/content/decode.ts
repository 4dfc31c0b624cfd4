/** Undoes the content codings of HTTP (RFC 9110 section 8.4), within bounds. */
import {
  brotliDecompressSync,
  constants,
  gunzipSync,
  inflateRawSync,
  inflateSync,
  zstdDecompressSync,
} from "node:zlib";

/** Bytes that are decoded of a content at most: what is larger is not decoded, so that a "bomb" costs no more than this. */
export const MOST_DECODED = 512 * 1024;
const MOST_CODINGS = 2;

const bounds = { maxOutputLength: MOST_DECODED };
const whole = { ...bounds, finishFlush: constants.Z_FINISH };
const part = { ...bounds, finishFlush: constants.Z_SYNC_FLUSH };
const partOfBrotli = { ...bounds, finishFlush: constants.BROTLI_OPERATION_FLUSH };

type Decoder = (bytes: Uint8Array, isCut: boolean) => Uint8Array;
const gunzip: Decoder = (bytes, isCut) => gunzipSync(bytes, isCut ? part : whole);
const DECODERS: Record<string, Decoder> = {
  identity: (bytes) => bytes,
  gzip: gunzip,
  "x-gzip": gunzip,
  // RFC 9110 says zlib; some send bare deflate.
  deflate: (bytes, isCut) =>
    ((bytes[0]! & 0x0f) === 8 ? inflateSync : inflateRawSync)(bytes, isCut ? part : whole),
  br: (bytes, isCut) => brotliDecompressSync(bytes, isCut ? partOfBrotli : bounds),
  zstd: (bytes) => zstdDecompressSync(bytes, bounds),
};

/**
 * The content without its codings (`gzip`, `deflate`, `br`, `zstd`; the value of Content-Encoding, "" for none). Null where one is not known,
 * or the bytes are not what it says, or more come out than MOST_DECODED. Of content that is cut (gzip, deflate, br) what there is of it.
 */
export function decodeContent(bytes: Uint8Array, codings: string, isCut = false): Uint8Array | null {
  const names = codings
    .toLowerCase()
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
  if (names.length > MOST_CODINGS) return null;
  let content = bytes;
  for (const name of names.reverse()) {
    const decode = Object.hasOwn(DECODERS, name) ? DECODERS[name]! : null;
    if (decode === null) return null;
    if (content.length === 0) break;
    try {
      content = decode(content, isCut);
    } catch {
      return null;
    }
  }
  return content.length > MOST_DECODED ? null : content;
}
