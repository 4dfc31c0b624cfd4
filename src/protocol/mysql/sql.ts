/**
 * What a text of SQL would do, as far as its words tell: a lexer of MySQL's and MariaDB's language (comments, executable
 * comments, hints, strings, quoted names), and a judgement that is on the safe side. A stored function that writes cannot be
 * seen from outside.
 */

import { HASH_START, hashOn, type Judgement, SqlStatement, wordOf } from "./sql-statement.ts";

const SPACE = 0x20;
const QUOTE = 0x27;
const DOUBLE_QUOTE = 0x22;
const BACKTICK = 0x60;
const BACKSLASH = 0x5c;
const LF = 10;

const statement = new SqlStatement();

/** Judges a text, `bytes` from `from` to `to`. The result is reused: it is valid until the next call. */
export function judge(bytes: Uint8Array, from: number, to: number): Judgement {
  const readings = read(bytes, from, to, true);
  if (hasEscapes) {
    // Whether a backslash escapes is for sql_mode and the character set to say: the worse of both readings counts.
    const { effects, prepares } = readings;
    read(bytes, from, to, false);
    result.effects |= effects;
    result.prepares = Math.max(result.prepares, prepares);
  }
  return result;
}

const result: Judgement = { effects: 0, setsVariables: false, usesDatabase: false, prepares: 0 };
let hasEscapes = false;

function read(bytes: Uint8Array, from: number, to: number, escapes: boolean): Judgement {
  result.effects = 0;
  result.prepares = 0;
  result.setsVariables = false;
  result.usesDatabase = false;
  hasEscapes = false;
  statement.begin();
  let statements = 0;
  let at = from;
  while (at < to) {
    const byte = bytes[at]!;
    if (byte <= SPACE) {
      at++;
    } else if (isWordByte(byte)) {
      at = readWord(bytes, at, to);
    } else if (byte === QUOTE || byte === DOUBLE_QUOTE || byte === BACKTICK) {
      at = skipQuoted(bytes, at, to, escapes && byte !== BACKTICK);
      statement.add(0);
    } else if (byte === 0x3b) {
      if (statement.count > 0) statements++;
      statement.judge(result);
      statement.begin();
      at++;
    } else {
      at = skipOther(bytes, at, to);
    }
  }
  if (statement.count > 0) statements++;
  statement.judge(result);
  if (statements > 1) {
    result.setsVariables = false;
    result.usesDatabase = false;
  }
  return result;
}

/** Letters, digits, _, $, @ and all beyond ASCII. */
function isWordByte(byte: number): boolean {
  return (
    (byte >= 0x61 && byte <= 0x7a) ||
    (byte >= 0x40 && byte <= 0x5a) ||
    (byte >= 0x30 && byte <= 0x39) ||
    byte === 0x5f ||
    byte === 0x24 ||
    byte >= 0x80
  );
}

function readWord(bytes: Uint8Array, at: number, to: number): number {
  let hash = HASH_START;
  for (; at < to; at++) {
    let byte = bytes[at]!;
    if (!isWordByte(byte)) break;
    if (byte >= 0x61 && byte <= 0x7a) byte -= 0x20;
    // Variables: @@GLOBAL.x is GLOBAL.
    if (byte === 0x40) continue;
    hash = hashOn(hash, byte);
  }
  statement.add(wordOf(hash));
  return at;
}

/** Behind the quote that ends what begins at `at`; a doubled one does not. */
function skipQuoted(bytes: Uint8Array, at: number, to: number, escapes: boolean): number {
  const quote = bytes[at]!;
  for (at++; at < to; at++) {
    const byte = bytes[at]!;
    if (byte === BACKSLASH && quote !== BACKTICK) {
      hasEscapes = true;
      if (escapes) at++;
    } else if (byte === quote) {
      if (bytes[at + 1] !== quote || at + 1 >= to) return at + 1;
      at++;
    }
  }
  return to;
}

/** Behind a comment, or one byte. What is in an executable comment is read. */
function skipOther(bytes: Uint8Array, at: number, to: number): number {
  const byte = bytes[at]!;
  const next = at + 1 < to ? bytes[at + 1]! : 0;
  if (byte === 0x23 || (byte === 0x2d && next === 0x2d && (at + 2 >= to || bytes[at + 2]! <= SPACE))) {
    const end = bytes.indexOf(LF, at);
    return end < 0 || end >= to ? to : end + 1;
  }
  if (byte === 0x2f && next === 0x2a) {
    const third = at + 2 < to ? bytes[at + 2]! : 0;
    // "/*!" and "/*M!", with a version or without; their "*/" is two bytes like others.
    if (third === 0x21) return skipVersion(bytes, at + 3, to);
    if (third === 0x4d && bytes[at + 3] === 0x21) return skipVersion(bytes, at + 4, to);
    for (at += 2; at + 1 < to; at++) if (bytes[at] === 0x2a && bytes[at + 1] === 0x2f) return at + 2;
    return to;
  }
  return at + 1;
}

function skipVersion(bytes: Uint8Array, at: number, to: number): number {
  for (let digits = 0; digits < 6 && at < to && bytes[at]! >= 0x30 && bytes[at]! <= 0x39; digits++) at++;
  return at;
}
