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

const options = { maxOutputLength: MOST_DECODED, finishFlush: constants.Z_SYNC_FLUSH };
const DECODERS: Record<string, (bytes: Uint8Array) => Uint8Array> = {
  identity: (bytes) => bytes,
  gzip: (bytes) => gunzipSync(bytes, options),
  "x-gzip": (bytes) => gunzipSync(bytes, options),
  // RFC 9110 says zlib; some send bare deflate.
  deflate: (bytes) =>
    (bytes[0]! & 0x0f) === 8 ? inflateSync(bytes, options) : inflateRawSync(bytes, options),
  br: (bytes) =>
    brotliDecompressSync(bytes, {
      maxOutputLength: MOST_DECODED,
      finishFlush: constants.BROTLI_OPERATION_FLUSH,
    }),
  zstd: (bytes) => zstdDecompressSync(bytes, { maxOutputLength: MOST_DECODED }),
};

/**
 * The content without its codings (`gzip`, `deflate`, `br`, `zstd`; the value of Content-Encoding, "" for none). Null where one is not known,
 * or the bytes are not what it says, or more come out than MOST_DECODED. Of content that is cut (gzip, deflate, br) what there is of it.
 */
export function decodeContent(bytes: Uint8Array, codings: string): Uint8Array | null {
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
      content = decode(content);
    } catch {
      return null;
    }
  }
  return content.length > MOST_DECODED ? null : content;
}
