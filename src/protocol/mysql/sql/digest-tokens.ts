/**
 * The tokens of a digest, each of which can be taken back: literals become "?", lists of them "?, ...", in parentheses "(...)", and a
 * group that follows an equal one is left out, as in DIGEST_TEXT of MySQL and MariaDB.
 */
import { MOST_NAME } from "../../../pairs/pair.ts";

export const NOTHING = 0;
export const WORD = 1;
export const KEYWORD = 2;
/** A keyword or a quoted thing that has a value. */
export const OPERAND = 3;
export const OPERATOR = 4;
export const SIGN = 5;
export const DOT = 6;
export const AT = 7;
export const COMMA = 8;
export const OPEN = 9;
export const CLOSE = 10;
/** "?", and "?, ...". */
export const VALUE = 11;
export const VALUES = 12;
/** Groups equal to the one before were left out. */
export const MORE = 13;
/** The end of a statement. */
export const END = 14;

/** Most parentheses in each other. */
const DEEPEST = 200;

const SPACE = 0x20;
const bytesOf = (text: string) => new TextEncoder().encode(text);
const VALUE_TEXT = bytesOf("?");
const VALUES_TEXT = bytesOf("?, ...");
const ONE_TEXT = bytesOf("(?)");
const SEVERAL_TEXT = bytesOf("(...)");
const MORE_TEXT = bytesOf("/* , ... */");
const CUT_TEXT = bytesOf("...");

export class DigestTokens {
  /** What there is does not fit. */
  isFull = false;
  private readonly bytes = new Uint8Array(MOST_NAME);
  private length = 0;
  private count = 0;
  private readonly kinds = new Uint8Array(MOST_NAME);
  /** Where each token begins, the space before it left out. */
  private readonly starts = new Uint16Array(MOST_NAME);
  /** Of CLOSE: the token that opens its group. */
  private readonly opened = new Uint16Array(MOST_NAME);
  private readonly open = new Uint16Array(DEEPEST);
  private depth = 0;

  begin(): void {
    this.isFull = false;
    this.length = 0;
    this.count = 0;
    this.depth = 0;
  }

  /** The kind of the last token, or of the one `back` before it. */
  last(back = 0): number {
    const at = this.count - 1 - back;
    return at < 0 ? NOTHING : this.kinds[at]!;
  }

  /** Adds `bytes` from `from` to `to`; with `fold`, its letters in capitals. */
  add(kind: number, bytes: Uint8Array, from: number, to: number, fold = false): void {
    const before = this.last();
    const isJoined = before === NOTHING || before === DOT || before === AT || kind === DOT;
    let at = isJoined ? this.length : this.length + 1;
    // What says that it was cut must fit too.
    if (at + to - from > MOST_NAME - CUT_TEXT.length - 1 || this.isFull) {
      this.isFull = true;
      return;
    }
    if (!isJoined) this.bytes[this.length] = SPACE;
    this.kinds[this.count] = kind;
    this.starts[this.count++] = at;
    for (let i = from; i < to; i++) {
      const byte = bytes[i]!;
      this.bytes[at++] = fold && byte >= 0x61 && byte <= 0x7a ? byte - 0x20 : byte;
    }
    this.length = at;
  }

  private addText(kind: number, text: Uint8Array): void {
    this.add(kind, text, 0, text.length);
  }

  /** A statement of the text has ended. */
  endStatement(bytes: Uint8Array, at: number): void {
    this.depth = 0;
    if (this.count > 0 && this.last() !== END) this.add(END, bytes, at, at + 1);
  }

  /** Adds a literal. Signs before it, and strings that it continues, are part of it. */
  addValue(): void {
    while (this.last() === SIGN && !hasValue(this.last(1))) this.take(1);
    const last = this.last();
    if (last === VALUE || last === VALUES) return;
    const [before, first] = [this.last(1), this.last(2)];
    const isList =
      last === COMMA && (before === VALUES || (before === VALUE && first !== SIGN && first !== OPERATOR));
    if (!isList) {
      this.addText(VALUE, VALUE_TEXT);
      return;
    }
    this.take(2);
    this.addText(VALUES, VALUES_TEXT);
  }

  addOpen(bytes: Uint8Array, at: number): void {
    if (this.depth === DEEPEST) this.isFull = true;
    else this.open[this.depth++] = this.count;
    this.add(OPEN, bytes, at, at + 1);
  }

  addClose(bytes: Uint8Array, at: number): void {
    if (this.depth === 0) {
      this.add(OPERATOR, bytes, at, at + 1);
      return;
    }
    const opening = this.open[--this.depth]!;
    const inside = this.count - opening - 1;
    const first = this.kinds[opening + 1];
    if (inside === 1 && (first === VALUE || first === VALUES)) {
      this.take(2);
      this.addText(CLOSE, first === VALUE ? ONE_TEXT : SEVERAL_TEXT);
    } else this.add(CLOSE, bytes, at, at + 1);
    if (this.isFull) return;
    this.opened[this.count - 1] = opening;
    this.leaveOutEqual(opening);
  }

  /** The group that has ended, which begins with the token `opening`, is left out if it follows one that is equal. */
  private leaveOutEqual(opening: number): void {
    if (opening < 2 || this.kinds[opening - 1] !== COMMA) return;
    const hasMore = this.kinds[opening - 2] === MORE;
    const end = hasMore ? opening - 3 : opening - 2;
    if (end < 0 || this.kinds[end] !== CLOSE) return;
    const from = this.starts[this.opened[end]!]!;
    const to = hasMore ? this.starts[opening - 2]! - 1 : this.starts[opening - 1]! - 1;
    const start = this.starts[opening]!;
    if (to - from !== this.length - start) return;
    for (let i = 0; i < to - from; i++) if (this.bytes[from + i] !== this.bytes[start + i]) return;
    this.take(this.count - opening + 1);
    if (!hasMore) this.addText(MORE, MORE_TEXT);
  }

  /** Takes the last `count` tokens back. */
  private take(count: number): void {
    this.count -= count;
    const at = this.count === 0 ? 0 : this.starts[this.count]!;
    // The space before it, if there is one.
    this.length = at > 0 && this.bytes[at - 1] === SPACE ? at - 1 : at;
  }

  /** The text has ended; with `isCut`, before its end: a list that has begun is left out, and "..." says so. */
  end(isCut: boolean): string {
    if (isCut || this.isFull) {
      this.isFull = false;
      while (this.depth > 0 && this.isList(this.open[this.depth - 1]!)) {
        this.take(this.count - this.open[--this.depth]!);
        if (this.last() === COMMA) this.take(1);
      }
      if (this.count > 0) this.bytes[this.length++] = SPACE;
      this.bytes.set(CUT_TEXT, this.length);
      this.length += CUT_TEXT.length;
    } else if (this.last() === END) this.take(1);
    return Buffer.from(this.bytes.buffer, 0, this.length).toString();
  }

  /** Whether there are only literals behind a token. */
  private isList(opening: number): boolean {
    for (let at = opening + 1; at < this.count; at++) {
      const kind = this.kinds[at]!;
      if (kind !== VALUE && kind !== VALUES && kind !== COMMA && kind !== SIGN) return false;
    }
    return true;
  }
}

/** Whether a sign behind a token of this kind is an operator. */
function hasValue(kind: number): boolean {
  return (
    kind === WORD || kind === OPERAND || kind === CLOSE || kind === VALUE || kind === VALUES || kind === MORE
  );
}
