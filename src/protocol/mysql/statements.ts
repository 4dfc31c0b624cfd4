/**
 * The prepared statements of a session: production's number and the target's number of each. They are kept until the client
 * closes them, to be prepared again on another connection.
 */
import type { Reason } from "./account.ts";

export class Statement {
  /** Production's number; -1 until it is known. */
  online = -1;
  /** The target's number; 0 while it has none. */
  target = 0;
  /** Number of parameters, as the target says. */
  parameters = 0;
  /** Types of the parameters, as the last execution that had them. */
  types: Uint8Array | null = null;
  /** The target prepared the statement again, and has not received the types since. */
  needsTypes = false;
  /** Its PREPARE was sent, or skipped by the engine: a new connection prepares it. */
  isPrepared = false;
  /** The whole text is known. */
  isWhole = true;
  /** Its name in pairs, if any are made. */
  name = "";
  /** Why it is not sent to the target; null: it is sent. */
  leftOut: Reason | null = null;

  /**
   * `slot`: its index in `Statements`. `era`: see `Statements.era`. `ordinal`: how many the server had counted in this session,
   * with this one. `text`: shared by all statements with the same text.
   */
  constructor(
    readonly slot: number,
    readonly era: number,
    readonly ordinal: number,
    readonly text: Text,
  ) {}
}

/** The text of one or more statements. */
interface Text {
  readonly bytes: Uint8Array;
  readonly key: string;
  users: number;
}

/** Most bytes of all texts together. */
const MOST_BYTES = 64 << 20;

/** The texts of prepared statements, each kept once: an application uses the same texts on all its connections. */
export class Texts {
  private readonly known = new Map<string, Text>();
  private bytes = 0;

  /** Keeps a text, or counts one more user of it; null if there is no room. */
  hold(bytes: Uint8Array, from: number, to: number): Text | null {
    const own = Buffer.from(bytes.subarray(from, to));
    const key = own.toString("latin1");
    let text = this.known.get(key);
    if (!text) {
      if (this.bytes + own.length > MOST_BYTES) return null;
      this.bytes += own.length;
      text = { bytes: own, key, users: 0 };
      this.known.set(key, text);
    }
    text.users++;
    return text;
  }

  release(text: Text): void {
    if (--text.users > 0) return;
    this.known.delete(text.key);
    this.bytes -= text.bytes.length;
  }
}

/** Most statements of a session: a slot must fit into a tag. */
const MOST = 0xffff;
/** MariaDB's number for the statement that was prepared last. */
const LAST = 0xffffffff;

export class Statements {
  private readonly slots: (Statement | undefined)[] = [];
  private readonly free: number[] = [];
  private readonly byOnline = new Map<number, Statement>();
  /** How often the client has given up all its statements at once (COM_RESET_CONNECTION, COM_CHANGE_USER). */
  era = 0;
  private last: Statement | undefined;
  /** Statements that production's server has counted since the first captured packet of the session. */
  private count = 0;
  /**
   * What the server had counted before: it may continue the count of another session (MariaDB's thread cache). NaN until it is
   * known: from a captured answer, or when a session that has prepared only one statement executes one.
   */
  private base = Number.NaN;
  private isWhole = true;

  constructor(private readonly texts: Texts) {}

  /** The session is older than xcopy: it may execute statements whose PREPARE was not captured. */
  beginInTheMiddle(): void {
    this.isWhole = false;
  }

  /** The client prepares a text. Undefined if there are too many statements, or no room for the text. */
  add(bytes: Uint8Array, from: number, to: number): Statement | undefined {
    this.count++;
    const slot = this.free.pop() ?? this.slots.length;
    const text = slot < MOST ? this.texts.hold(bytes, from, to) : null;
    if (!text) {
      if (slot < this.slots.length) this.free.push(slot);
      return undefined;
    }
    const statement = new Statement(slot, this.era, this.count, text);
    this.slots[slot] = statement;
    this.last = statement;
    if (!Number.isNaN(this.base)) this.give(statement, this.base + this.count);
    return statement;
  }

  /** The server counts statements that were not prepared by COM_STMT_PREPARE (PREPARE in SQL). */
  countOther(count: number): void {
    this.count += count;
  }

  /** Production's server has answered the PREPARE of a statement: with a number, or 0 for an error. */
  number(statement: Statement, online: number): void {
    if (statement.era !== this.era || this.slots[statement.slot] !== statement) return;
    this.closed(statement);
    if (online === 0) return;
    this.base = online - statement.ordinal;
    this.give(statement, online);
  }

  private give(statement: Statement, online: number): void {
    statement.online = online;
    this.byOnline.set(online, statement);
  }

  /** The statement that production has given this number. */
  find(online: number): Statement | undefined {
    if (online === LAST) return this.last;
    if (Number.isNaN(this.base) && this.isWhole && this.count === 1 && this.last) {
      this.base = online - 1;
      this.give(this.last, online);
    }
    return this.byOnline.get(online);
  }

  at(slot: number): Statement | undefined {
    return this.slots[slot];
  }

  /** The client has closed the statement: its number is free. The statement is kept until the target has closed it too. */
  closed(statement: Statement): void {
    if (this.byOnline.get(statement.online) === statement) this.byOnline.delete(statement.online);
  }

  /** The client has given up all statements at once. */
  closedAll(): void {
    this.era++;
    this.byOnline.clear();
    this.last = undefined;
  }

  /** The target has given them up too: removes the statements from before `era`. */
  forgetBefore(era: number): void {
    for (const statement of this.slots) if (statement && statement.era < era) this.forget(statement);
  }

  /** Removes a statement: its slot is free again. */
  forget(statement: Statement): void {
    if (this.slots[statement.slot] !== statement) return;
    this.slots[statement.slot] = undefined;
    this.free.push(statement.slot);
    this.texts.release(statement.text);
  }

  /** The session is over. */
  clear(): void {
    this.closedAll();
    this.forgetBefore(this.era);
  }

  /** The connection to the target is gone: no statement is prepared there any more. */
  lose(): void {
    for (const statement of this.slots) {
      if (!statement) continue;
      statement.target = 0;
      statement.needsTypes = true;
    }
  }

  /** The statements that a new connection must prepare again. */
  *prepared(): Iterable<Statement> {
    for (const statement of this.slots) if (statement?.isPrepared && statement.isWhole) yield statement;
  }
}
