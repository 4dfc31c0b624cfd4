/**
 * Judges what a SQL text would do, by its words: a lexer for MySQL and MariaDB (comments, executable comments, hints, strings,
 * quoted names). If in doubt, a text counts as writing. A stored function that writes cannot be recognized.
 */
import {
  BACKSLASH,
  BACKTICK,
  DIGIT,
  executable,
  isComment,
  isLineComment,
  KINDS,
  LETTER,
  LF,
  OTHER,
  QUOTE,
  SEMICOLON,
  SLASH,
  STAR,
} from "./characters.ts";
import {
  HASH_START,
  hashOn,
  type Judgement,
  SqlStatement,
  SYSTEM_DATABASE,
  wordOf,
} from "./sql-statement.ts";

const SYSTEM_NAME = new TextEncoder().encode("`mysql`");

/** A longer word is not a keyword. */
const LONGEST_WORD = 64;
/** Bytes that are enough to recognize the start of a comment, with its version. */
const LONGEST_OPENING = 16;

// What the next byte is inside of; or the quote of a string or name.
const NOTHING = 0;
const WORD = 1;
const LINE = 2;
const COMMENT = 3;

/** One reading of a text, which may come in pieces. `escapes`: whether a backslash escapes the next character. */
class Reading {
  readonly result: Judgement = {
    effects: 0,
    setsVariables: false,
    usesDatabase: false,
    usesSystem: null,
    prepares: 0,
  };
  /** There was a backslash in quotes. */
  hasEscapes = false;
  private readonly statement = new SqlStatement();
  private statements = 0;
  private inside = NOTHING;
  /** The quote that ends the string of a PREPARE, if the bytes are inside of one, else NOTHING. */
  private dynamic = NOTHING;
  private isLast = true;

  constructor(private readonly escapes: boolean) {}

  begin(): void {
    const { result } = this;
    result.effects = 0;
    result.prepares = 0;
    result.setsVariables = false;
    result.usesDatabase = false;
    result.usesSystem = null;
    this.hasEscapes = false;
    this.statements = 0;
    this.inside = NOTHING;
    this.dynamic = NOTHING;
    this.statement.begin();
  }

  /** Takes the state of another reading. */
  copy(other: Reading): void {
    this.hasEscapes = other.hasEscapes;
    this.statements = other.statements;
    this.inside = other.inside;
    this.dynamic = other.dynamic;
    Object.assign(this.result, other.result);
    this.statement.copy(other.statement);
  }

  /**
   * Reads a piece, `bytes` from `from` to `to`, and returns the index up to which it was read. If it is not the last piece, the
   * rest cannot be read without the next bytes: the caller passes it again with them.
   */
  take(bytes: Uint8Array, from: number, to: number, isLast: boolean): number {
    this.isLast = isLast;
    let at = from;
    while (at < to) {
      if (this.inside === WORD) at = this.endWord(bytes, at, to);
      if (at === to) break;
      const next = this.inside === NOTHING ? this.readOn(bytes, at, to) : this.skip(bytes, at, to);
      if (next === at) break;
      at = next;
    }
    return at;
  }

  end(): void {
    this.endStatement();
    if (this.statements <= 1) return;
    this.result.setsVariables = false;
    this.result.usesDatabase = false;
  }

  private endStatement(): void {
    if (this.statement.count > 0) this.statements++;
    this.statement.judge(this.result);
    this.statement.begin();
  }

  private readOn(bytes: Uint8Array, at: number, to: number): number {
    while (KINDS[bytes[at]!] === OTHER) if (++at === to) return to;
    const byte = bytes[at]!;
    switch (KINDS[byte]) {
      case LETTER:
        return this.readWord(bytes, at, to);
      case DIGIT:
        // No keyword begins with a digit.
        this.statement.add(0);
        return this.endWord(bytes, at, to);
      case QUOTE:
        if (byte === BACKTICK && !this.isLast && to - at < SYSTEM_NAME.length) return at;
        this.readQuote(byte, byte === BACKTICK && isSystemName(bytes, at, to) ? SYSTEM_DATABASE : 0);
        return at + 1;
      case SEMICOLON:
        this.endStatement();
        return at + 1;
    }
    return !this.isLast && to - at < LONGEST_OPENING ? at : this.open(bytes, at, to);
  }

  /** `word`: the keyword that is in the quotes, or 0. */
  private readQuote(quote: number, word: number): void {
    if (quote === this.dynamic || (quote !== BACKTICK && this.statement.isDynamic)) {
      // The string is a statement of its own, which ends with the quote.
      this.endStatement();
      this.dynamic = quote === this.dynamic ? NOTHING : quote;
    } else {
      this.statement.add(word);
      this.inside = quote;
    }
  }

  private readWord(bytes: Uint8Array, from: number, to: number): number {
    let hash = HASH_START;
    let at = from;
    for (; at < to; at++) {
      let byte = bytes[at]!;
      if (KINDS[byte]! < DIGIT) break;
      if (byte >= 0x61 && byte <= 0x7a) byte -= 0x20;
      // A variable: @@GLOBAL.x is read as GLOBAL.
      if (byte === 0x40) continue;
      hash = hashOn(hash, byte);
    }
    const isCut = at === to && !this.isLast;
    if (isCut && at - from <= LONGEST_WORD) return from;
    this.statement.add(wordOf(hash));
    return isCut ? this.endWord(bytes, at, to) : at;
  }

  /** Skips the rest of a word that is not a keyword; it may continue in the next piece. */
  private endWord(bytes: Uint8Array, at: number, to: number): number {
    while (at < to && KINDS[bytes[at]!]! >= DIGIT) at++;
    this.inside = at < to ? NOTHING : WORD;
    return at;
  }

  /** Skips the start of a comment, or one byte. The content of an executable comment is read as SQL. */
  private open(bytes: Uint8Array, at: number, to: number): number {
    if (isLineComment(bytes, at, to)) {
      this.inside = LINE;
      return at + 1;
    }
    if (!isComment(bytes, at, to)) return at + 1;
    // "/*!" and "/*M!", with a version or without. Their "*/" is skipped like other bytes.
    const content = executable(bytes, at, to);
    if (content >= 0) return content;
    this.inside = COMMENT;
    return at + 2;
  }

  /** Skips a comment or quoted bytes, up to the end or as far as they are there. */
  private skip(bytes: Uint8Array, at: number, to: number): number {
    if (this.inside === LINE) {
      const end = bytes.indexOf(LF, at);
      return end < 0 || end >= to ? to : this.leave(end + 1);
    }
    if (this.inside !== COMMENT) return this.skipQuoted(bytes, at, to);
    for (; at + 1 < to; at++) if (bytes[at] === STAR && bytes[at + 1] === SLASH) return this.leave(at + 2);
    return this.isLast ? to : at;
  }

  /** Skips quoted bytes and the quote that ends them; a doubled quote does not end them. */
  private skipQuoted(bytes: Uint8Array, at: number, to: number): number {
    const quote = this.inside;
    for (; at < to; at++) {
      const byte = bytes[at]!;
      const isEscape = byte === BACKSLASH && quote !== BACKTICK;
      if (!isEscape && byte !== quote) continue;
      // The next byte decides: a doubled quote, or an escaped character.
      if (at + 1 === to && !this.isLast) return at;
      if (isEscape) {
        this.hasEscapes = true;
        if (this.escapes) at++;
      } else {
        if (bytes[at + 1] !== quote || at + 1 >= to) return this.leave(at + 1);
        at++;
      }
    }
    return to;
  }

  private leave(at: number): number {
    this.inside = NOTHING;
    return at;
  }
}

// Whether a backslash escapes depends on sql_mode and the character set: both readings are made, and their effects united.
const withEscapes = new Reading(true);
const withoutEscapes = new Reading(false);

/** Judges a text, `bytes` from `from` to `to`. The result is reused: it is valid until the next call. */
export function judge(bytes: Uint8Array, from: number, to: number): Judgement {
  withEscapes.begin();
  withEscapes.take(bytes, from, to, true);
  withEscapes.end();
  if (!withEscapes.hasEscapes) return withEscapes.result;
  withoutEscapes.begin();
  withoutEscapes.take(bytes, from, to, true);
  withoutEscapes.end();
  return unite(withoutEscapes.result, withEscapes.result);
}

/** Adds the effects of another judgement of the same text. */
function unite(into: Judgement, other: Judgement): Judgement {
  into.effects |= other.effects;
  if (other.usesSystem !== null) into.usesSystem = into.usesSystem === true || other.usesSystem;
  into.prepares = Math.max(into.prepares, other.prepares);
  return into;
}

/** Judges a text that comes in pieces; only bytes that cannot be read without the next piece are kept. */
export class LongText {
  private readonly withEscapes = new Piecewise(true);
  private readonly withoutEscapes = new Piecewise(false);

  take(bytes: Uint8Array, from: number, to: number): void {
    // Up to the first backslash both readings are the same.
    if (!this.withEscapes.reading.hasEscapes) this.withoutEscapes.copy(this.withEscapes);
    this.withEscapes.take(bytes, from, to);
    if (this.withEscapes.reading.hasEscapes) this.withoutEscapes.take(bytes, from, to);
  }

  end(): Judgement {
    if (!this.withEscapes.reading.hasEscapes) this.withoutEscapes.copy(this.withEscapes);
    return unite(this.withoutEscapes.end(), this.withEscapes.end());
  }
}

/** A reading of pieces, with the rest of the last piece. */
class Piecewise {
  readonly reading: Reading;
  private left: Uint8Array = new Uint8Array(0);

  constructor(escapes: boolean) {
    this.reading = new Reading(escapes);
    this.reading.begin();
  }

  copy(other: Piecewise): void {
    this.reading.copy(other.reading);
    this.left = other.left;
  }

  take(bytes: Uint8Array, from: number, to: number): void {
    if (this.left.length > 0) {
      bytes = Buffer.concat([this.left, bytes.subarray(from, to)]);
      [from, to] = [0, bytes.length];
    }
    const at = this.reading.take(bytes, from, to, false);
    this.left = Uint8Array.from(bytes.subarray(at, to));
  }

  end(): Judgement {
    this.reading.take(this.left, 0, this.left.length, true);
    this.reading.end();
    return this.reading.result;
  }
}

/** Whether the quoted name at `at` is `mysql`, the database in which accounts are kept, in upper or lower case. */
function isSystemName(bytes: Uint8Array, at: number, to: number): boolean {
  return (
    to - at >= SYSTEM_NAME.length &&
    SYSTEM_NAME.every((byte, index) => (bytes[at + index]! | 0x20) === (byte | 0x20))
  );
}
