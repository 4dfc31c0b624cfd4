/** Heads of HTTP/1.1 messages: where they end, and what they say of the body (RFC 9112 sections 2, 6). Read as bytes, without strings. */

/** Most bytes of a head; what is longer is not taken for HTTP/1.1. */
export const LONGEST_HEAD = 65536;

const LF = 10;
const CR = 13;
const SPACE = 32;
const TAB = 9;
const COLON = 58;

/** By byte, whether it may stand in a token (RFC 9110 section 5.6.2). */
const IS_TOKEN = new Uint8Array(256);
for (const char of "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
  IS_TOKEN[char.charCodeAt(0)] = 1;
}

/**
 * Index of the first line feed from `from` on and before `to`; -1 if there is none. `bytes` is all of a ring of captured packets, to whose
 * end `indexOf` would look.
 */
export function lineFeed(bytes: Uint8Array, from: number, to: number): number {
  for (let at = from; at < to; at++) if (bytes[at] === LF) return at;
  return -1;
}

/** Index after the empty line that ends the head that begins at `from`; -1 if it is not complete. */
export function endOfHead(bytes: Uint8Array, from: number, to: number): number {
  for (let at = lineFeed(bytes, from, to); at >= 0; at = lineFeed(bytes, at + 1, to)) {
    if (at + 1 < to && bytes[at + 1] === LF) return at + 2;
    if (at + 2 < to && bytes[at + 1] === CR && bytes[at + 2] === LF) return at + 3;
  }
  return -1;
}

/** Index of the line end at or after `from`: of its CR, if it has one; `to` if there is none. */
export function endOfLine(bytes: Uint8Array, from: number, to: number): number {
  const lf = lineFeed(bytes, from, to);
  if (lf < 0) return to;
  return lf > from && bytes[lf - 1] === CR ? lf - 1 : lf;
}

/** Index of the first byte that ends no line: empty lines before a message are ignored (RFC 9112 section 2.2). */
export function skipEmptyLines(bytes: Uint8Array, from: number, to: number): number {
  while (from < to && (bytes[from] === LF || bytes[from] === CR)) from++;
  return from;
}

/** Index after the token at `from`; `from` if there is none. */
export function endOfToken(bytes: Uint8Array, from: number, to: number): number {
  while (from < to && IS_TOKEN[bytes[from]!]) from++;
  return from;
}

/** "HTTP/1.", the start of a version. */
const VERSION = [72, 84, 84, 80, 47, 49, 46];

/** Whether the bytes at `from` are `HTTP/1.0` or `HTTP/1.1`, as far as they go. */
export function isVersion(bytes: Uint8Array, from: number, to: number): boolean {
  for (let index = 0; index < 7 && from + index < to; index++) {
    if (bytes[from + index] !== VERSION[index]) return false;
  }
  return from + 7 >= to || bytes[from + 7] === 48 || bytes[from + 7] === 49;
}

/** Whether these bytes, in any case, are this text in lower case. */
function isText(bytes: Uint8Array, from: number, to: number, text: string): boolean {
  if (to - from !== text.length) return false;
  for (let index = 0; index < text.length; index++) {
    const byte = bytes[from + index]!;
    if ((byte >= 65 && byte <= 90 ? byte + 32 : byte) !== text.charCodeAt(index)) return false;
  }
  return true;
}

/** What the fields of the head of a message say. It is read into again and again. */
export class Fields {
  /** Bytes of the body; -1: in chunks; -2: no field says it (RFC 9112 section 6.3). */
  length = -2;
  /** Whether there is a `Transfer-Encoding` whose last coding is not chunked. */
  isCoded = false;
  /** Whether several lengths contradict each other, or one is no number. */
  isUnclear = false;
  /** Whether there is an `Upgrade` field. */
  upgrades = false;
  /** Whether the client wants to be told to send the body: `Expect: 100-continue` (RFC 9110 section 10.1.1). */
  expects = false;
  /** A hash of the values of the compared fields; 0: there is none. */
  hash = 0;

  /** By index of a compared field: the hash of its name and values so far, 0 while there is none. */
  private readonly hashes: Uint32Array;

  /** `compared`: names of the fields to hash, in lower case. */
  constructor(private readonly compared: readonly string[] = []) {
    this.hashes = new Uint32Array(compared.length);
  }

  /** Reads the lines from `from` to `to`; the last may be incomplete, and is left out then. */
  read(bytes: Uint8Array, from: number, to: number): void {
    this.length = -2;
    this.isCoded = this.isUnclear = this.upgrades = this.expects = false;
    this.hashes.fill(0);
    let isCoding = false;
    let same = -1;
    while (from < to) {
      const lf = lineFeed(bytes, from, to);
      if (lf < 0) break;
      const end = lf > from && bytes[lf - 1] === CR ? lf - 1 : lf;
      if (end === from) break;
      const first = bytes[from]!;
      if (first === SPACE || first === TAB) {
        // The line before goes on (RFC 9112 section 5.2).
        if (isCoding) this.readCoding(bytes, from, end);
        if (same >= 0) this.addTo(same, bytes, from, end, SPACE);
      } else {
        const colon = endOfToken(bytes, from, end);
        isCoding = false;
        same = -1;
        if (bytes[colon] === COLON && colon < end) {
          isCoding = this.readFraming(bytes, from, colon, end);
          same = this.indexOf(bytes, from, colon);
          if (same >= 0) this.addTo(same, bytes, colon + 1, end, COLON);
        }
      }
      from = lf + 1;
    }
    let sum = 0;
    let isNone = true;
    for (let index = 0; index < this.hashes.length; index++) {
      const hash = this.hashes[index]!;
      if (hash === 0) continue;
      isNone = false;
      sum = (sum + Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)) | 0;
    }
    this.hash = isNone ? 0 : sum >>> 0 || 1;
  }

  /** True if the field is Transfer-Encoding. */
  private readFraming(bytes: Uint8Array, from: number, colon: number, end: number): boolean {
    switch (colon - from) {
      case 6:
        if (isText(bytes, from, colon, "expect")) this.expects ||= hasContinue(bytes, colon + 1, end);
        break;
      case 7:
        if (isText(bytes, from, colon, "upgrade")) this.upgrades = true;
        break;
      case 14:
        if (isText(bytes, from, colon, "content-length")) this.readLength(bytes, colon + 1, end);
        break;
      case 17:
        if (!isText(bytes, from, colon, "transfer-encoding")) break;
        this.readCoding(bytes, colon + 1, end);
        return true;
    }
    return false;
  }

  /** Transfer-Encoding overrides Content-Length (RFC 9112 section 6.3). */
  private readCoding(bytes: Uint8Array, from: number, to: number): void {
    while (to > from && isBlank(bytes[to - 1]!)) to--;
    const begin = Math.max(from, to - 7);
    this.isCoded = !isText(bytes, begin, to, "chunked");
    this.length = -1;
  }

  /** A number, or several equal ones in a list (RFC 9112 section 6.3, point 5). The last good one counts. */
  private readLength(bytes: Uint8Array, from: number, to: number): void {
    let digits = 0;
    let number = 0;
    for (let at = from; at <= to; at++) {
      const byte = at < to ? bytes[at]! : 44;
      if (byte >= 48 && byte <= 57) {
        number = number * 10 + byte - 48;
        digits++;
      } else if (byte === 44) {
        this.takeLength(number, digits);
        number = digits = 0;
      } else if (!isBlank(byte)) digits = 99;
    }
  }

  private takeLength(number: number, digits: number): void {
    if (digits === 0 || digits > 15) {
      this.isUnclear = true;
      return;
    }
    if (this.length === -1) return;
    if (this.length >= 0 && this.length !== number) this.isUnclear = true;
    this.length = number;
  }

  private indexOf(bytes: Uint8Array, from: number, to: number): number {
    const { compared } = this;
    for (let index = 0; index < compared.length; index++) {
      if (isText(bytes, from, to, compared[index]!)) return index;
    }
    return -1;
  }

  /** Adds a value, or a further line of it, to the hash (FNV-1a) of a compared field. `before`: what it is told apart by. */
  private addTo(index: number, bytes: Uint8Array, from: number, to: number, before: number): void {
    while (from < to && isBlank(bytes[from]!)) from++;
    while (to > from && isBlank(bytes[to - 1]!)) to--;
    let hash = this.hashes[index] || Math.imul(0x811c9dc5 ^ index, 0x01000193);
    hash = Math.imul(hash ^ before, 0x01000193);
    for (let at = from; at < to; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193);
    this.hashes[index] = hash || 1;
  }
}

function isBlank(byte: number): boolean {
  return byte === SPACE || byte === TAB;
}

/** Whether `100-continue` is in the list. */
function hasContinue(bytes: Uint8Array, from: number, to: number): boolean {
  return /(^|[\s,])100-continue($|[\s,])/i.test(textOf(bytes, from, to));
}

const decoder = new TextDecoder("latin1");

/** Bytes as text, one character each. */
export function textOf(bytes: Uint8Array, from: number, to: number): string {
  return decoder.decode(bytes.subarray(from, to));
}

/** The usual methods, by their length. */
const METHODS = [[], [], [], ["GET", "PUT"], ["POST", "HEAD"], ["PATCH"], ["DELETE"], ["OPTIONS", "CONNECT"]];

/** A method as text. */
export function methodOf(bytes: Uint8Array, from: number, to: number): string {
  for (const method of METHODS[to - from] ?? []) {
    let same = 0;
    while (same < method.length && bytes[from + same] === method.charCodeAt(same)) same++;
    if (same === method.length) return method;
  }
  return textOf(bytes, from, to);
}

/** The first line of a request, as `readRequestLine` finds it: where method and request target are, and where the line ends. */
export interface RequestLine {
  method: number;
  methodEnd: number;
  target: number;
  targetEnd: number;
}

/** Reads the request line at `from` (empty lines before it are skipped) into `line`; false if it is none of HTTP/1. */
export function readRequestLine(bytes: Uint8Array, from: number, to: number, line: RequestLine): boolean {
  const begin = skipEmptyLines(bytes, from, to);
  const end = endOfLine(bytes, begin, to);
  const space = endOfToken(bytes, begin, end);
  const version = end - 8;
  if (space === begin || bytes[space] !== SPACE || version - 1 <= space + 1) return false;
  if (isBlank(bytes[space + 1]!) || bytes[version - 1] !== SPACE || !isVersion(bytes, version, end))
    return false;
  line.method = begin;
  line.methodEnd = space;
  line.target = space + 1;
  line.targetEnd = version - 1;
  return true;
}

/** The status of the status line at `from`; 0 if there is none of HTTP/1, or it is not complete. */
export function readStatus(bytes: Uint8Array, from: number, to: number): number {
  if (to - from < 13 || !isVersion(bytes, from, to) || bytes[from + 8] !== SPACE) return 0;
  const [a, b, c] = [bytes[from + 9]! - 48, bytes[from + 10]! - 48, bytes[from + 11]! - 48];
  const after = bytes[from + 12]!;
  if (a < 1 || a > 5 || b < 0 || b > 9 || c < 0 || c > 9) return 0;
  return after === SPACE || after === CR || after === LF ? a * 100 + b * 10 + c : 0;
}
