/** The message of an error without what it says of a statement's literals. */
import { AT_SIGN, DIGIT, KINDS, LETTER } from "./characters.ts";

const HASH = 0x23;
const MARK = 0x3f;
const BACKTICK = 0x60;
const QUOTES = new Set([..."'\"`"].map((character) => character.charCodeAt(0)));
/** Bytes of "#" and SQLSTATE. */
const STATE_BYTES = 6;
/** The class of SQLSTATE for what statements raise themselves, with texts of their own (SIGNAL). */
const RAISED = "45";

/**
 * The message in the payload of an ERR packet (`bytes` from `from` to `to`, of which the first three are its marker and number), as
 * UTF-8: "?" in place of all from its first quote to its last, because what is quoted may have quotes itself, and of every word with
 * a digit. `isWhole`: whether that is all of it; if not, all behind the first quote is left out.
 */
export function messageOf(bytes: Uint8Array, from: number, to: number, isWhole: boolean): Uint8Array {
  let at = from + 3;
  let isRaised = false;
  if (bytes[at] === HASH && to - at >= STATE_BYTES) {
    isRaised = bytes[at + 1] === RAISED.charCodeAt(0) && bytes[at + 2] === RAISED.charCodeAt(1);
    at += STATE_BYTES;
  }
  if (at >= to) return new Uint8Array(0);
  if (isRaised) return Uint8Array.of(MARK);
  const masked = new Uint8Array(to - at);
  let length = 0;
  while (at < to) {
    const byte = bytes[at]!;
    if (QUOTES.has(byte)) {
      masked[length++] = MARK;
      at = isWhole ? lastQuote(bytes, to) + 1 : to;
    } else if (KINDS[byte]! < DIGIT || byte === AT_SIGN) {
      masked[length++] = byte;
      at++;
    } else {
      const end = endOfWord(bytes, at, to);
      const isKept = !hasDigit(bytes, at, end);
      if (isKept) masked.set(bytes.subarray(at, end), length);
      else masked[length] = MARK;
      length += isKept ? end - at : 1;
      at = end;
    }
  }
  return masked.slice(0, length);
}

function lastQuote(bytes: Uint8Array, to: number): number {
  let at = to - 1;
  while (!QUOTES.has(bytes[at]!)) at--;
  return at;
}

/** Words of messages may have an apostrophe, as "can't". */
function endOfWord(bytes: Uint8Array, from: number, to: number): number {
  let at = from;
  for (; at < to && bytes[at] !== AT_SIGN; at++) {
    const isApostrophe = QUOTES.has(bytes[at]!) && bytes[at] !== BACKTICK && KINDS[bytes[at + 1]!] === LETTER;
    if (KINDS[bytes[at]!]! < DIGIT && !(isApostrophe && at + 1 < to)) break;
  }
  return at;
}

function hasDigit(bytes: Uint8Array, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (KINDS[bytes[at]!] === DIGIT) return true;
  return false;
}
