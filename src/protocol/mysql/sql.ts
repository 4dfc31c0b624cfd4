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
const SEMICOLON = 0x3b;
const HASH = 0x23;
const DASH = 0x2d;
const SLASH = 0x2f;
const STAR = 0x2a;

/** Longer words are none that we know. */
const LONGEST_WORD = 64;
/** Bytes by which the beginning of a comment is told from anything else, with its version. */
const LONGEST_OPENING = 16;

// What goes on beyond the bytes that are there; or a quote.
const NOTHING = 0;
const WORD = 1;
const LINE = 2;
const COMMENT = 3;

/** One reading of a text, which may come in pieces. `escapes`: whether a backslash takes the next character its meaning. */
class Reading {
  readonly result: Judgement = { effects: 0, setsVariables: false, usesDatabase: false, prepares: 0 };
  /** There was a backslash in quotes. */
  hasEscapes = false;
  private readonly statement = new SqlStatement();
  private statements = 0;
  private inside = NOTHING;
  /** The quote that ends the text of a PREPARE; NOTHING: the bytes are in none. */
  private dynamic = NOTHING;
  private isLast = true;

  constructor(private readonly escapes: boolean) {}

  begin(): void {
    const { result } = this;
    result.effects = 0;
    result.prepares = 0;
    result.setsVariables = false;
    result.usesDatabase = false;
    this.hasEscapes = false;
    this.statements = 0;
    this.inside = NOTHING;
    this.dynamic = NOTHING;
    this.statement.begin();
  }

  /**
   * Reads a piece, `bytes` from `from` to `to`; returns up to where, if it is not the last: what is behind cannot be told without
   * what follows, and comes again with it.
   */
  take(bytes: Uint8Array, from: number, to: number, isLast: boolean): number {
    this.isLast = isLast;
    let at = from;
    while (at < to) {
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
    const byte = bytes[at]!;
    if (byte <= SPACE) return at + 1;
    if (isWordByte(byte)) return this.readWord(bytes, at, to);
    if (byte === this.dynamic || (byte !== BACKTICK && isQuote(byte) && this.statement.isDynamic)) {
      // What is in it is a statement as well, and what follows it none.
      this.endStatement();
      this.dynamic = byte === this.dynamic ? NOTHING : byte;
      return at + 1;
    }
    if (isQuote(byte)) {
      this.statement.add(0);
      this.inside = byte;
      return at + 1;
    }
    if (byte === SEMICOLON) {
      this.endStatement();
      return at + 1;
    }
    if (byte !== HASH && byte !== DASH && byte !== SLASH) return at + 1;
    return !this.isLast && to - at < LONGEST_OPENING ? at : this.open(bytes, at, to);
  }

  private readWord(bytes: Uint8Array, from: number, to: number): number {
    let hash = HASH_START;
    let at = from;
    for (; at < to; at++) {
      let byte = bytes[at]!;
      if (!isWordByte(byte)) break;
      if (byte >= 0x61 && byte <= 0x7a) byte -= 0x20;
      // Variables: @@GLOBAL.x is GLOBAL.
      if (byte === 0x40) continue;
      hash = hashOn(hash, byte);
    }
    const isCut = at === to && !this.isLast;
    if (isCut && at - from <= LONGEST_WORD) return from;
    this.statement.add(wordOf(hash));
    if (isCut) this.inside = WORD;
    return at;
  }

  /** Behind the beginning of a comment, or one byte. What is in an executable comment is read. */
  private open(bytes: Uint8Array, at: number, to: number): number {
    const byte = bytes[at]!;
    const next = at + 1 < to ? bytes[at + 1]! : 0;
    if (byte === HASH || (byte === DASH && next === DASH && (at + 2 >= to || bytes[at + 2]! <= SPACE))) {
      this.inside = LINE;
      return at + 1;
    }
    if (byte !== SLASH || next !== STAR) return at + 1;
    const third = at + 2 < to ? bytes[at + 2]! : 0;
    // "/*!" and "/*M!", with a version or without; their "*/" is two bytes like others.
    if (third === 0x21) return skipVersion(bytes, at + 3, to);
    if (third === 0x4d && bytes[at + 3] === 0x21) return skipVersion(bytes, at + 4, to);
    this.inside = COMMENT;
    return at + 2;
  }

  /** Goes on with what the bytes are inside of. */
  private skip(bytes: Uint8Array, at: number, to: number): number {
    if (this.inside === LINE) {
      const end = bytes.indexOf(LF, at);
      return end < 0 || end >= to ? to : this.leave(end + 1);
    }
    if (this.inside === WORD) {
      while (at < to && isWordByte(bytes[at]!)) at++;
      return at < to ? this.leave(at) : to;
    }
    if (this.inside !== COMMENT) return this.skipQuoted(bytes, at, to);
    for (; at + 1 < to; at++) if (bytes[at] === STAR && bytes[at + 1] === SLASH) return this.leave(at + 2);
    return this.isLast ? to : at;
  }

  /** Behind the quote that ends what the bytes are inside of; a doubled one does not. */
  private skipQuoted(bytes: Uint8Array, at: number, to: number): number {
    const quote = this.inside;
    for (; at < to; at++) {
      const byte = bytes[at]!;
      const isEscape = byte === BACKSLASH && quote !== BACKTICK;
      if (!isEscape && byte !== quote) continue;
      // Which it is, the next byte tells.
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

// Whether a backslash escapes is for sql_mode and the character set to say: the worse of both readings counts.
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
  return worse(withoutEscapes.result, withEscapes.result);
}

function worse(into: Judgement, other: Judgement): Judgement {
  into.effects |= other.effects;
  into.prepares = Math.max(into.prepares, other.prepares);
  return into;
}

/** A text that is judged while it comes, in pieces; of it is kept what may belong to a word or the beginning of a comment. */
export class LongText {
  private readonly readings = [new Reading(true), new Reading(false)];
  private readonly left: Uint8Array[];

  constructor() {
    for (const reading of this.readings) reading.begin();
    this.left = this.readings.map(() => new Uint8Array(0));
  }

  take(bytes: Uint8Array, from: number, to: number): void {
    for (const [index, reading] of this.readings.entries()) {
      const left = this.left[index]!;
      let [piece, start, end] = [bytes, from, to];
      if (left.length > 0) {
        piece = Buffer.concat([left, bytes.subarray(from, to)]);
        [start, end] = [0, piece.length];
      }
      const at = reading.take(piece, start, end, false);
      this.left[index] = Uint8Array.from(piece.subarray(at, end));
    }
  }

  end(): Judgement {
    for (const [index, reading] of this.readings.entries()) {
      const left = this.left[index]!;
      reading.take(left, 0, left.length, true);
      reading.end();
    }
    return worse(this.readings[1]!.result, this.readings[0]!.result);
  }
}

function isQuote(byte: number): boolean {
  return byte === QUOTE || byte === DOUBLE_QUOTE || byte === BACKTICK;
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

function skipVersion(bytes: Uint8Array, at: number, to: number): number {
  for (let digits = 0; digits < 6 && at < to && bytes[at]! >= 0x30 && bytes[at]! <= 0x39; digits++) at++;
  return at;
}
