/** The names of a session's commands in pairs: digests of their texts, or what the protocol calls them. */
import * as constants from "../packets/constants.ts";
import { digest } from "../sql/digest.ts";

/** Of a statement that is not known. */
export const UNKNOWN = "?";

/** By number: "COM_PING", ... */
const NAMES = new Map<number, string>();
for (const [name, value] of Object.entries(constants)) {
  if (name.startsWith("COM_") && typeof value === "number") NAMES.set(value, name);
}

/** Collations of character sets in which a backslash or backtick may be the second byte of a character: big5, sjis, gbk, cp932, gb18030. */
const DOUBTFUL_COLLATIONS = new Set([1, 84, 13, 88, 28, 87, 95, 96, 248, 249, 250]);
/** What a SET says that may change whether a backslash escapes. A mode by its number, or of a variable, is one of these as well. */
const DOUBTFUL = /no_backslash|big5|sjis|gbk|cp932|gb18030|sql_mode\s*:?=\s*(?!['"]|concat\()/i;
const SETS = /(^|; )SET /;

/** What is known of the servers: whether a backslash in a string escapes, as their status flags say; null: none has said it. */
export class Escapes {
  private known: boolean | null = null;

  /** `flags`: of an OK or EOF packet. */
  see(flags: number): void {
    if (flags & constants.STATUS_NO_BACKSLASH_ESCAPES) this.known = false;
    else this.known ??= true;
  }

  get areKnown(): boolean {
    return this.known === true;
  }
}

export class Naming {
  /** Whether a backslash escapes is not known of this session. */
  private isInDoubt = false;

  constructor(private readonly escapes: Escapes) {}

  /** The client has named a collation, of its login or of a COM_CHANGE_USER; null: the login was not captured. */
  takeCollation(number: number | null): void {
    if (number === null || DOUBTFUL_COLLATIONS.has(number)) this.isInDoubt = true;
  }

  /** The name of a text, `bytes` from `from` to `to`, of which more may follow if it is not `isWhole`. */
  ofText(bytes: Uint8Array, from: number, to: number, isWhole: boolean): string {
    // Query attributes, which have values in them.
    for (let at = from; at < Math.min(to, from + 4); at++) if (bytes[at]! < 9) return UNKNOWN;
    const escapes = !this.isInDoubt && this.escapes.areKnown;
    const name = digest(bytes, from, to, isWhole, escapes);
    if (this.isInDoubt || !(SETS.test(name) || name.endsWith("..."))) return name;
    this.isInDoubt = DOUBTFUL.test(
      Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString("latin1"),
    );
    return this.isInDoubt ? digest(bytes, from, to, isWhole, false) : name;
  }

  /** The name of a command without a text. */
  ofCommand(command: number): string {
    return NAMES.get(command) ?? UNKNOWN;
  }
}
