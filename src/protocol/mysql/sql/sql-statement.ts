/** Judges what one SQL statement would do, by its keywords and their places. */

// The effects of a text; it may have several.
export const WRITES = 1;
export const DEFINES = 2;
/** Users, roles, privileges, passwords. */
export const ACCOUNTS = 4;
/** The server itself: KILL, SHUTDOWN, replication, plugins. */
export const ADMINISTERS = 8;

/** The judgement of a text. */
export interface Judgement {
  /** WRITES, DEFINES, ACCOUNTS, ADMINISTERS. */
  effects: number;
  /** It is a single SET whose effect lasts as long as the session. */
  setsVariables: boolean;
  /** It is a single USE. */
  usesDatabase: boolean;
  /** Whether its last USE names the database `mysql`, in which accounts are kept; null: it has no USE. */
  usesSystem: boolean | null;
  /** Prepared statements that the server counts for it (PREPARE, EXECUTE IMMEDIATE). */
  prepares: number;
}

const KEYWORDS = [
  "ADMIN ALTER ANALYZE AS BEGIN BINARY BINLOG CALL CHANGE CHECK CHECKSUM CLONE COMMIT COMPONENT CREATE DEALLOCATE DEFAULT DELETE DESC",
  "DESCRIBE DO DROP EXECUTE EXPLAIN FLUSH FOR FORMAT GET GLOBAL GRANT GROUP_REPLICATION HANDLER HELP IMMEDIATE IMPORT INSERT",
  "INSTALL INSTANCE INTO KILL LOAD LOCAL LOCK LOGS MASTER MERGE NEXT NEXTVAL NOT OPTIMIZE PARTITION PASSWORD PERSIST PERSIST_ONLY",
  "PREPARE PRIVILEGES PURGE RELEASE RENAME REPAIR REPLACE REPLICA REPLICATION RESET RESOURCE RESTART REVOKE ROLE ROLLBACK",
  "SAVEPOINT SELECT SERVER SESSION SET SETVAL SHARE SHOW SHUTDOWN SLAVE SONAME START STATEMENT STOP TABLE TEMPORARY",
  "TRANSACTION TRUNCATE UNINSTALL UNLOCK UPDATE USE USER VALUE VALUES WITH XA LASTVAL OR ALL MYSQL",
]
  .join(" ")
  .split(" ");
/** A keyword's index in KEYWORDS + 1; 0 is any other word. */
type Word = number;

/** FNV-1a over the upper-case letters. A word whose hash collides with a keyword's is taken for the keyword. */
export const HASH_START = 0x811c9dc5 | 0;

/** The hash of a word with one more character. */
export function hashOn(hash: number, letter: number): number {
  return Math.imul(hash ^ letter, 0x01000193);
}

function hashOf(word: string): number {
  let hash = HASH_START;
  for (let i = 0; i < word.length; i++) hash = hashOn(hash, word.charCodeAt(i));
  return hash;
}

const WORDS = new Map<number, Word>(KEYWORDS.map((word, index) => [hashOf(word), index + 1]));
const W = Object.fromEntries(KEYWORDS.map((word, index) => [word, index + 1])) as Record<string, Word>;
const is = (...words: string[]): Set<Word> => new Set(words.map((word) => W[word]!));

/** The keyword with this hash; 0 for any other word. */
export function wordOf(hash: number): Word {
  return WORDS.get(hash) ?? 0;
}

/** The name of the database in which accounts and privileges are kept. */
export const SYSTEM_DATABASE: Word = W.MYSQL!;

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
/** Keywords of a SET whose effect is not limited to the session. */
const BEYOND_SESSION = is("GLOBAL", "PERSIST", "PERSIST_ONLY");

/** What was read of one statement of a text. */
export class SqlStatement {
  count = 0;
  private readonly first = new Uint8Array(8);
  private hasInto = false;
  private hasLocks = false;
  private hasVerb = false;
  private takesSequence = false;
  private isBeyondSession = false;
  private hasRole = false;
  private hasPassword = false;
  private namesSystem = false;
  /** The word before; 0: not a keyword. */
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
    this.namesSystem = false;
    this.before = 0;
  }

  /** Takes the state of another one. */
  copy(other: SqlStatement): void {
    const { first } = this;
    first.set(other.first);
    Object.assign(this, other, { first });
  }

  /** Takes the next word: a keyword, or 0 for any other. */
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
    if (word === SYSTEM_DATABASE) this.namesSystem = true;
    this.before = word;
  }

  /** Whether the SQL that it prepares or executes is in a string: PREPARE, EXECUTE IMMEDIATE. */
  get isDynamic(): boolean {
    const first = this.first[0];
    return first === W.PREPARE || (first === W.EXECUTE && this.first[1] === W.IMMEDIATE);
  }

  /** Adds the judgement of the statement to that of the text. */
  judge(into: Judgement): void {
    if (this.count === 0) return;
    const first = this.first[0]!;
    const effects = this.effectsOf(first);
    into.effects |= effects;
    if (first === W.USE) into.usesSystem = this.namesSystem;
    if ((this.namesSystem || into.usesSystem) && effects & WRITES) into.effects |= ACCOUNTS;
    if (this.isDynamic) into.prepares++;
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
