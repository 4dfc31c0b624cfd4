/**
 * The digest of a SQL text: the same for statements that differ in literals, white space, comments and the case of keywords only,
 * close to DIGEST_TEXT of MySQL and MariaDB. No literal is in it: where a text may be read in two ways it is cut, with "?" and "...".
 */
import {
  AT_SIGN,
  BACKSLASH,
  BACKTICK,
  DIGIT,
  executable,
  isComment,
  isLineComment,
  KINDS,
  LETTER,
  LF,
  OPENING,
  QUOTE,
  SEMICOLON,
  SLASH,
  STAR,
} from "./characters.ts";
import {
  AT,
  COMMA,
  DigestTokens,
  DOT,
  END,
  KEYWORD,
  NOTHING,
  OPERAND,
  OPERATOR,
  SIGN,
  WORD,
} from "./digest-tokens.ts";
import * as words from "./keywords.ts";
import { HASH_START, hashOn } from "./sql-statement.ts";

const SPACE = 0x20;
const DOLLAR = 0x24;
const OPEN = 0x28;
const CLOSE = 0x29;
const PLUS = 0x2b;
const COMMA_SIGN = 0x2c;
const DASH = 0x2d;
const POINT = 0x2e;
const MORE = 0x3e;
const MARK = 0x3f;
const LETTER_E = 0x65;
const LETTER_N = 0x4e;
const UNDERSCORE = 0x5f;
const DOUBLE_QUOTE = 0x22;

/** Most bytes of a name: servers allow 64 characters. */
const LONGEST_NAME = 256;
/** Operators of several characters consist of these. */
const OPERATORS = new Set([..."<>=!|&:^"].map((character) => character.charCodeAt(0)));
/** Words that are part of the string whose quote follows: x'4d', b'01', n'text'. */
const PREFIXES = new Set([..."xXbBnN"].map((character) => character.charCodeAt(0)));
const NULL = words.wordHash("NULL");
/** Before NULL these say that it is no literal. */
const IS_NOT = new Set([words.wordHash("IS"), words.wordHash("NOT")]);

/** The first words of statements whose second word is no name. */
const TWO_WORDS = new Set(
  "ALTER CREATE DROP FLUSH LOAD LOCK PURGE RESET SHOW START STOP XA".split(" ").map(words.wordHash),
);

const tokens = new DigestTokens();

class Reading {
  private bytes: Uint8Array = new Uint8Array(0);
  private to = 0;
  private escapes = false;
  /** Where the executable comment ends that is being read; -1: none is. */
  private commentEnd = -1;
  /** The text may be read in two ways from here on. */
  private isInDoubt = false;
  /** Of the last word, if it is a keyword. */
  private word = 0;
  /** The next word is the second of such a statement. */
  private isSecond = false;

  /** As `digest`. */
  read(bytes: Uint8Array, from: number, to: number, isWhole: boolean, escapes: boolean): string {
    this.bytes = bytes;
    this.to = to;
    this.escapes = escapes;
    this.commentEnd = -1;
    this.isInDoubt = false;
    this.word = 0;
    this.isSecond = false;
    tokens.begin();
    let at = from;
    while (at < to && !this.isInDoubt && !tokens.isFull) at = this.next(at);
    if (this.commentEnd >= 0 && (at > this.commentEnd || !isWhole)) this.isInDoubt = true;
    if (this.isInDoubt) tokens.addValue();
    return tokens.end(this.isInDoubt || !isWhole);
  }

  private doubt(): number {
    this.isInDoubt = true;
    return this.to;
  }

  private next(at: number): number {
    const { bytes, to } = this;
    if (this.commentEnd >= 0 && at >= this.commentEnd) {
      // What was read as SQL must end where the comment does, for servers that do not execute it.
      if (at > this.commentEnd) return this.doubt();
      this.commentEnd = -1;
      return at + 2;
    }
    const byte = bytes[at]!;
    switch (KINDS[byte]) {
      case LETTER:
        return byte === AT_SIGN ? this.readAt(at) : this.readWord(at);
      case DIGIT:
        return this.readNumber(at);
      case QUOTE:
        return byte === BACKTICK ? this.readName(at) : this.readString(at, byte);
      case SEMICOLON:
        tokens.endStatement(bytes, at);
        return at + 1;
      case OPENING:
        if (isLineComment(bytes, at, to)) return this.skipLine(at);
        if (isComment(bytes, at, to)) return this.skipComment(at);
        break;
      default:
        if (byte <= SPACE) {
          const isSpace = byte === SPACE || (byte >= 9 && byte <= 13);
          return isSpace ? at + 1 : this.doubt();
        }
    }
    return this.readOperator(at, byte);
  }

  private readOperator(at: number, byte: number): number {
    const { bytes, to } = this;
    const next = at + 1 < to ? bytes[at + 1]! : 0;
    switch (byte) {
      case OPEN:
        tokens.addOpen(bytes, at);
        return at + 1;
      case CLOSE:
        tokens.addClose(bytes, at);
        return at + 1;
      case COMMA_SIGN:
        tokens.add(COMMA, bytes, at, at + 1);
        return at + 1;
      case MARK:
        tokens.addValue();
        return at + 1;
      case POINT:
        // ".5", and "t.5", which may be a name, as well.
        if (KINDS[next] === DIGIT) return this.readNumber(at + 1);
        tokens.add(DOT, bytes, at, at + 1);
        return at + 1;
      case BACKSLASH:
        // NULL, as in files.
        if (next !== LETTER_N) return this.doubt();
        tokens.addValue();
        return at + 2;
      case DASH:
        if (next === MORE) {
          const end = bytes[at + 2] === MORE && at + 2 < to ? at + 3 : at + 2;
          tokens.add(OPERATOR, bytes, at, end);
          return end;
        }
    }
    if (byte === DASH || byte === PLUS) {
      tokens.add(SIGN, bytes, at, at + 1);
      return at + 1;
    }
    let end = at + 1;
    if (OPERATORS.has(byte)) while (end < to && OPERATORS.has(bytes[end]!)) end++;
    tokens.add(OPERATOR, bytes, at, end);
    return end;
  }

  private readWord(from: number): number {
    const { bytes, to } = this;
    // A string in dollar quotes, or an old name.
    if (bytes[from] === DOLLAR) return this.doubt();
    let hash = HASH_START;
    let at = from;
    for (; at < to; at++) {
      let byte = bytes[at]!;
      if (KINDS[byte]! < DIGIT || byte === AT_SIGN) break;
      if (byte >= 0x61 && byte <= 0x7a) byte -= 0x20;
      hash = hashOn(hash, byte);
    }
    const next = at < to ? bytes[at]! : 0;
    if (KINDS[next] === QUOTE) {
      // In some character sets a backtick may be part of a character.
      if (next === BACKTICK && bytes[at - 1]! >= 0x80) return this.doubt();
      const isPrefix = at - from === 1 && PREFIXES.has(bytes[from]!);
      if (next !== BACKTICK && (isPrefix || bytes[from] === UNDERSCORE)) return at;
    }
    if (at - from > LONGEST_NAME) {
      tokens.addValue();
      return at;
    }
    const last = tokens.last();
    const isFirst = last === NOTHING || last === END || (last === KEYWORD && this.isSecond);
    const isName = last === DOT || last === AT || next === POINT;
    const kind = isName ? words.IDENTIFIER : words.kindOfWord(hash);
    const before = last === KEYWORD ? this.word : 0;
    this.word = hash;
    this.isSecond = (last === NOTHING || last === END) && TWO_WORDS.has(hash);
    if (kind === words.OPERAND) {
      if (hash === NULL && !IS_NOT.has(before)) tokens.addValue();
      else tokens.add(OPERAND, bytes, from, at, true);
    } else if (kind === words.KEYWORD || (kind === words.FUNCTION && next === OPEN) || (isFirst && !isName)) {
      tokens.add(KEYWORD, bytes, from, at, true);
    } else tokens.add(WORD, bytes, from, at);
    return at;
  }

  /** A variable, or the host of an account. */
  private readAt(from: number): number {
    let at = from + 1;
    if (at < this.to && this.bytes[at] === AT_SIGN) at++;
    tokens.add(AT, this.bytes, from, at);
    return at;
  }

  /** A number, or a name that begins with a digit. */
  private readNumber(from: number): number {
    const { bytes, to } = this;
    let at = this.skipWord(from);
    if (at < to && bytes[at] === POINT) at = this.skipWord(at + 1);
    const isExponent = (bytes[at - 1]! | SPACE) === LETTER_E && at + 1 < to;
    if (isExponent && (bytes[at] === PLUS || bytes[at] === DASH) && KINDS[bytes[at + 1]!] === DIGIT) {
      at = this.skipWord(at + 1);
    }
    tokens.addValue();
    return at;
  }

  private skipWord(at: number): number {
    while (at < this.to && KINDS[this.bytes[at]!]! >= DIGIT && this.bytes[at] !== AT_SIGN) at++;
    return at;
  }

  /** A string; in double quotes also a name, if sql_mode has ANSI_QUOTES. */
  private readString(from: number, quote: number): number {
    const { bytes, to } = this;
    tokens.addValue();
    for (let at = from + 1; at < to; at++) {
      const byte = bytes[at]!;
      if (byte === BACKSLASH) {
        const isBeforeQuote = at + 1 < to && bytes[at + 1] === quote;
        // There are no escapes in names. In some character sets a backslash may be part of a character.
        if (isBeforeQuote && (!this.escapes || quote === DOUBLE_QUOTE)) return this.doubt();
        // "\\'" is in doubt too, unless it is known that a backslash escapes.
        if (this.escapes || (at + 1 < to && bytes[at + 1] !== BACKSLASH)) at++;
      } else if (byte === quote) {
        if (at + 1 >= to || bytes[at + 1] !== quote) return at + 1;
        at++;
      }
    }
    return this.doubt();
  }

  private readName(from: number): number {
    const { bytes, to } = this;
    let isPlain = true;
    let hash = HASH_START;
    let at = from + 1;
    for (; at < to; at++) {
      let byte = bytes[at]!;
      if (byte === BACKTICK) {
        if (at + 1 >= to || bytes[at + 1] !== BACKTICK) break;
        isPlain = false;
        at++;
      } else if (KINDS[byte]! < DIGIT || byte === AT_SIGN || byte === DOLLAR) isPlain = false;
      if (byte >= 0x61 && byte <= 0x7a) byte -= 0x20;
      hash = hashOn(hash, byte);
    }
    // In some character sets a backtick may be part of a character.
    if (at >= to || (!this.escapes && (bytes[at - 1]! >= 0x80 || bytes[from - 1]! >= 0x80))) {
      return this.doubt();
    }
    const length = at - from - 1;
    if (length === 0 || length > LONGEST_NAME) tokens.addValue();
    else if (isPlain && KINDS[bytes[from + 1]!] === LETTER && words.kindOfWord(hash) === words.IDENTIFIER) {
      tokens.add(WORD, bytes, from + 1, at);
    } else tokens.add(WORD, bytes, from, at + 1);
    return at + 1;
  }

  private skipLine(at: number): number {
    const end = this.bytes.indexOf(LF, at);
    return end < 0 || end >= this.to ? this.to : end + 1;
  }

  private skipComment(at: number): number {
    const { bytes, to } = this;
    const content = executable(bytes, at, to);
    // Which of them ends where depends on the server.
    if (this.commentEnd >= 0) return this.doubt();
    let end = at + 2;
    while (end + 1 < to && (bytes[end] !== STAR || bytes[end + 1] !== SLASH)) end++;
    if (end + 1 >= to) return content < 0 ? to : this.doubt();
    if (content < 0) return end + 2;
    if (content > end) return this.doubt();
    this.commentEnd = end;
    return content;
  }
}

const reading = new Reading();

/**
 * The digest of a text, `bytes` from `from` to `to`; at most MOST_NAME bytes of UTF-8. `isWhole`: whether that is all of it.
 * `escapes`: whether a backslash in a string is known to escape the next character: neither sql_mode (NO_BACKSLASH_ESCAPES) nor the
 * character set (a second byte of big5, gbk, sjis may be a backslash) is in doubt.
 */
export function digest(
  bytes: Uint8Array,
  from: number,
  to: number,
  isWhole: boolean,
  escapes: boolean,
): string {
  return reading.read(bytes, from, to, isWhole, escapes);
}
