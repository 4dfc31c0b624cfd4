/** The kinds of bytes in a SQL text, and where its comments begin, as MySQL's and MariaDB's lexers have them. */

const SPACE = 0x20;
export const AT_SIGN = 0x40;
export const BACKTICK = 0x60;
export const BACKSLASH = 0x5c;
export const LF = 10;
const HASH = 0x23;
const DASH = 0x2d;
export const SLASH = 0x2f;
export const STAR = 0x2a;
const BANG = 0x21;
const CAPITAL_M = 0x4d;

// Kinds of bytes outside of quotes and comments.
export const OTHER = 0;
export const SEMICOLON = 1;
export const QUOTE = 2;
/** A comment may begin with it. */
export const OPENING = 3;
// Words consist of these two.
export const DIGIT = 4;
export const LETTER = 5;
export const KINDS = new Uint8Array(256).map((_, byte) => kindOf(String.fromCharCode(byte)));

function kindOf(character: string): number {
  if (character === ";") return SEMICOLON;
  if ("'\"`".includes(character)) return QUOTE;
  if ("#-/".includes(character)) return OPENING;
  if (/[0-9]/.test(character)) return DIGIT;
  return /[A-Za-z_$@\x80-\xff]/.test(character) ? LETTER : OTHER;
}

/** Whether a comment begins at `at` that ends with the line. */
export function isLineComment(bytes: Uint8Array, at: number, to: number): boolean {
  const byte = bytes[at]!;
  if (byte === HASH) return true;
  return byte === DASH && bytes[at + 1] === DASH && at + 1 < to && (at + 2 >= to || bytes[at + 2]! <= SPACE);
}

/** Whether a comment begins at `at` that ends with an asterisk and a slash. */
export function isComment(bytes: Uint8Array, at: number, to: number): boolean {
  return bytes[at] === SLASH && at + 1 < to && bytes[at + 1] === STAR;
}

/**
 * Where the content of the executable comment begins whose slash is at `at`, that is behind its opening and its version, if it has
 * one; -1 if the comment is another one.
 */
export function executable(bytes: Uint8Array, at: number, to: number): number {
  const third = at + 2 < to ? bytes[at + 2]! : 0;
  if (third === BANG) return skipVersion(bytes, at + 3, to);
  if (third === CAPITAL_M && bytes[at + 3] === BANG) return skipVersion(bytes, at + 4, to);
  return -1;
}

function skipVersion(bytes: Uint8Array, at: number, to: number): number {
  for (let digits = 0; digits < 6 && at < to && bytes[at]! >= 0x30 && bytes[at]! <= 0x39; digits++) at++;
  return at;
}
