/** The texts of a session's SET and USE statements, which are sent again on another connection. */

/** Most texts, and most bytes of texts, that are kept; the oldest ones are dropped. */
const MOST_TEXTS = 64;
const MOST_BYTES = 16384;

export class Variables {
  private kept: { text: Uint8Array; key: string }[] = [];
  private database: Uint8Array | null = null;
  private bytes = 0;

  /** `isDatabase`: the text is a USE. */
  set(text: Uint8Array, isDatabase: boolean): void {
    if (isDatabase) {
      this.database = text;
      return;
    }
    const key = Buffer.from(text).toString("latin1");
    const at = this.kept.findIndex((one) => one.key === key);
    if (at === this.kept.length - 1 && at >= 0) return;
    if (at >= 0) this.bytes -= this.kept.splice(at, 1)[0]!.text.length;
    this.kept.push({ text, key });
    this.bytes += text.length;
    while (this.kept.length > MOST_TEXTS || this.bytes > MOST_BYTES) {
      this.bytes -= this.kept.shift()!.text.length;
    }
  }

  /** COM_INIT_DB or COM_CHANGE_USER has set the database: an earlier USE does not count any more. */
  forgetDatabase(): void {
    this.database = null;
  }

  /** The variables have been reset to their defaults; the database stays. */
  clear(): void {
    this.kept = [];
    this.bytes = 0;
  }

  texts(): Uint8Array[] {
    const texts = this.kept.map(({ text }) => text);
    return this.database ? [this.database, ...texts] : texts;
  }
}
