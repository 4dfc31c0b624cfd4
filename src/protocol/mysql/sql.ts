/**
 * What a text of SQL would do, as far as its words tell: a lexer of MySQL's and MariaDB's language (comments, executable
 * comments, hints, strings, quoted names), and a judgement that is on the safe side. A stored function that writes cannot be
 * seen from outside.
 */

// What a text does; several may be.
export const WRITES = 1;
export const DEFINES = 2;
/** Users, roles, privileges, passwords. */
export const ACCOUNTS = 4;
/** The server itself: KILL, SHUTDOWN, replication, plugins. */
export const ADMINISTERS = 8;

/** What is known of a text. */
export interface Judgement {
  /** WRITES and so on. */
  effects: number;
  /** It is one SET whose effect lasts as long as the session. */
  setsVariables: boolean;
  /** It is one USE. */
  usesDatabase: boolean;
  /** The server counts that many prepared statements more (PREPARE, EXECUTE IMMEDIATE). */
  prepares: number;
}

const KEYWORDS = [
  "ADMIN ALTER ANALYZE AS BEGIN BINARY BINLOG CALL CHANGE CHECK CHECKSUM CLONE COMMIT COMPONENT CREATE DEALLOCATE DEFAULT DELETE DESC",
  "DESCRIBE DO DROP EXECUTE EXPLAIN FLUSH FOR FORMAT GET GLOBAL GRANT GROUP_REPLICATION HANDLER HELP IMMEDIATE IMPORT INSERT",
  "INSTALL INSTANCE INTO KILL LOAD LOCAL LOCK LOGS MASTER MERGE NEXT NEXTVAL NOT OPTIMIZE PARTITION PASSWORD PERSIST PERSIST_ONLY",
  "PREPARE PRIVILEGES PURGE RELEASE RENAME REPAIR REPLACE REPLICA REPLICATION RESET RESOURCE RESTART REVOKE ROLE ROLLBACK",
  "SAVEPOINT SELECT SERVER SESSION SET SETVAL SHARE SHOW SHUTDOWN SLAVE SONAME START STATEMENT STOP TABLE TEMPORARY",
  "TRANSACTION TRUNCATE UNINSTALL UNLOCK UPDATE USE USER VALUE VALUES WITH XA LASTVAL OR ALL",
]
  .join(" ")
  .split(" ");
type Word = number;

/** FNV-1a over letters in upper case: whatever collides with a keyword is taken for it, which is the safe side. */
function hashOf(word: string): number {
  let hash = 0x811c9dc5 | 0;
  for (let i = 0; i < word.length; i++) hash = Math.imul(hash ^ word.charCodeAt(i), 0x01000193);
  return hash;
}

const WORDS = new Map<number, Word>(KEYWORDS.map((word, index) => [hashOf(word), index + 1]));
const W = Object.fromEntries(KEYWORDS.map((word, index) => [word, index + 1])) as Record<string, Word>;
const is = (...words: string[]): Set<Word> => new Set(words.map((word) => W[word]!));

const READS = is(
  "SELECT",
  "SHOW",
  "DESC",
  "DESCRIBE",
  "HELP",
  "CHECKSUM",
  "TABLE",
  "VALUES",
  "HANDLER",
  "USE",
  "SET",
);
const TRANSACTIONS = is("BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "UNLOCK");
const VERBS = is(
  "INSERT",
  "UPDATE",
  "DELETE",
  "REPLACE",
  "LOAD",
  "TRUNCATE",
  "ALTER",
  "CREATE",
  "DROP",
  "RENAME",
  "CALL",
);
const DEFINITIONS = is("CREATE", "ALTER", "DROP", "TRUNCATE", "RENAME");
const ADMINISTRATION = is(
  "KILL",
  "SHUTDOWN",
  "RESTART",
  "CHANGE",
  "STOP",
  "RESET",
  "PURGE",
  "INSTALL",
  "UNINSTALL",
  "CLONE",
  "BINLOG",
);
const SEQUENCES = is("NEXTVAL", "SETVAL");
/** Of one SET these are not of the session, or not for long. */
const BEYOND_SESSION = is("GLOBAL", "PERSIST", "PERSIST_ONLY");

const SPACE = 0x20;
const QUOTE = 0x27;
const DOUBLE_QUOTE = 0x22;
const BACKTICK = 0x60;
const BACKSLASH = 0x5c;
const LF = 10;

/** What is collected of one statement of the text. */
class Statement {
  count = 0;
  private readonly first = new Uint8Array(8);
  private hasInto = false;
  private hasLocks = false;
  private hasVerb = false;
  private takesSequence = false;
  private isBeyondSession = false;
  private hasRole = false;
  private hasPassword = false;
  private before = 0;

  begin(): void {
    this.count = 0;
    this.first.fill(0);
    this.hasInto = false;
    this.hasLocks = false;
    this.hasVerb = false;
    this.takesSequence = false;
    this.isBeyondSession = false;
    this.hasRole = false;
    this.hasPassword = false;
    this.before = 0;
  }

  /** Takes a word: a keyword, or 0 for any other. */
  add(word: Word): void {
    if (this.count < this.first.length) this.first[this.count] = word;
    this.count++;
    if (word === 0) {
      this.before = 0;
      return;
    }
    if (word === W.INTO) this.hasInto = true;
    if ((word === W.UPDATE || word === W.SHARE) && this.before === W.FOR) this.hasLocks = true;
    else if (VERBS.has(word)) this.hasVerb = true;
    if (word === W.LOCK) this.hasLocks = true;
    if (SEQUENCES.has(word) || (word === W.VALUE && this.before === W.NEXT)) this.takesSequence = true;
    if (BEYOND_SESSION.has(word)) this.isBeyondSession = true;
    if (word === W.ROLE) this.hasRole = true;
    if (word === W.PASSWORD) this.hasPassword = true;
    this.before = word;
  }

  judge(into: Judgement): void {
    if (this.count === 0) return;
    const first = this.first[0]!;
    into.effects |= this.effectsOf(first);
    if (first === W.PREPARE || (first === W.EXECUTE && this.first[1] === W.IMMEDIATE)) into.prepares++;
    into.setsVariables =
      first === W.SET && !this.isBeyondSession && !this.hasPassword && this.first[1] !== W.TRANSACTION;
    if (this.first[1] === W.STATEMENT) into.setsVariables = false;
    into.usesDatabase = first === W.USE;
  }

  private effectsOf(first: Word): number {
    if (first === W.SET) return this.effectsOfSet();
    if (READS.has(first)) return this.effectsOfRead();
    if (first === W.WITH || first === W.EXPLAIN) return this.effectsOfRead() | (this.hasVerb ? WRITES : 0);
    if (first === W.START && this.first[1] !== W.TRANSACTION) return ADMINISTERS;
    if (TRANSACTIONS.has(first)) return first === W.BEGIN && this.first[1] === W.NOT ? WRITES : 0;
    if (first === W.GRANT || first === W.REVOKE) return ACCOUNTS | WRITES;
    if (ADMINISTRATION.has(first)) return ADMINISTERS | WRITES;
    if (first === W.ALTER && this.first[1] === W.INSTANCE) return ADMINISTERS | WRITES;
    if (first === W.FLUSH) return WRITES | (this.first.includes(W.PRIVILEGES!) ? ACCOUNTS : 0);
    if (DEFINITIONS.has(first)) return this.effectsOfDefinition(first);
    if (first === W.DEALLOCATE) return 0;
    return WRITES;
  }

  private effectsOfRead(): number {
    return this.hasInto || this.hasLocks || this.takesSequence ? WRITES : 0;
  }

  private effectsOfSet(): number {
    if (this.first[1] === W.PASSWORD || (this.first[1] === W.DEFAULT && this.hasRole))
      return ACCOUNTS | WRITES;
    // SET STATEMENT variable = value FOR statement
    if (this.first[1] === W.STATEMENT) return this.hasVerb || this.effectsOfRead() ? WRITES : 0;
    return this.isBeyondSession || this.hasVerb ? WRITES : 0;
  }

  private effectsOfDefinition(first: Word): number {
    // CREATE [OR REPLACE] USER, ALTER USER, DROP ROLE, RENAME USER; TEMPORARY tables go with their session.
    const at = this.first[1] === W.OR ? 3 : 1;
    const what = this.first[at];
    if (what === W.USER || what === W.ROLE) return ACCOUNTS | WRITES;
    if (what === W.SERVER && first !== W.RENAME) return DEFINES | ADMINISTERS | WRITES;
    if (what === W.TEMPORARY) return WRITES;
    return DEFINES | WRITES;
  }
}

const statement = new Statement();

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
  let hash = 0x811c9dc5 | 0;
  for (; at < to; at++) {
    let byte = bytes[at]!;
    if (!isWordByte(byte)) break;
    if (byte >= 0x61 && byte <= 0x7a) byte -= 0x20;
    // Variables: @@GLOBAL.x is GLOBAL.
    if (byte === 0x40) continue;
    hash = Math.imul(hash ^ byte, 0x01000193);
  }
  statement.add(WORDS.get(hash) ?? 0);
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
