/**
 * Prepared statements of a session: those that production's server has numbered, and their numbers at the target. They are
 * kept until the client closes them, to be prepared again on another connection.
 */
import type { Reason } from "./account.ts";

export class Statement {
  /** Production's number; -1 until it is known. */
  online = -1;
  /** The target's; 0 while it has none. */
  target = 0;
  parameters = 0;
  /** Types of the parameters, as an execution has sent them last. */
  types: Uint8Array | null = null;
  /** The target has not got the types since it prepared the statement. */
  needsTypes = false;
  /** PREPARE was sent, or would have been. */
  isPrepared = false;
  /** The whole text is known. */
  isWhole = true;
  /** Why it is not for the target. */
  leftOut: Reason | null = null;

  /** `text`: shared with all statements of the same text. `era`: see `Statements.era`; `ordinal`: of the session's. */
  constructor(
    readonly slot: number,
    readonly era: number,
    readonly ordinal: number,
    readonly text: Text,
  ) {}
}

/** A text that several statements have. */
interface Text {
  readonly bytes: Uint8Array;
  readonly key: string;
  users: number;
}

/** Bytes of all texts that are kept. */
const MOST_BYTES = 64 << 20;

/** Texts of prepared statements: those of an application are the same in all its connections. */
export class Texts {
  private readonly known = new Map<string, Text>();
  private bytes = 0;

  /** Null if there is no room for another. */
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

/** Slots fit into a tag; more statements than that are none that we know. */
const MOST = 0xffff;
/** MariaDB: the statement that was prepared last. */
const LAST = 0xffffffff;

export class Statements {
  private readonly slots: (Statement | undefined)[] = [];
  private readonly free: number[] = [];
  private readonly byOnline = new Map<number, Statement>();
  /** How often the client has given up all its statements at once (COM_RESET_CONNECTION, COM_CHANGE_USER). */
  era = 0;
  private last: Statement | undefined;
  /** Statements that production's server has counted since the session is seen. */
  private count = 0;
  /**
   * What it had counted before: servers may go on where another session ended (MariaDB's thread cache). NaN until it is
   * known, from an answer of production's or from a session that has prepared one statement only and executes one.
   */
  private base = Number.NaN;
  private isWhole = true;

  constructor(private readonly texts: Texts) {}

  /** The session began before we did: it may execute statements that we have not seen. */
  beginInTheMiddle(): void {
    this.isWhole = false;
  }

  /** The client prepares a text. Undefined if there are too many. */
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

  /** The server counts one that is not in the protocol (PREPARE in SQL). */
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

  /** The client has closed it: the number is free, the statement is kept until the target is told. */
  closed(statement: Statement): void {
    if (this.byOnline.get(statement.online) === statement) this.byOnline.delete(statement.online);
  }

  /** The client has given up all statements at once. */
  closedAll(): void {
    this.era++;
    this.byOnline.clear();
    this.last = undefined;
  }

  /** The target has been told so: those from before `era` are forgotten. */
  forgetBefore(era: number): void {
    for (const statement of this.slots) if (statement && statement.era < era) this.forget(statement);
  }

  /** Nobody asks for it any more. */
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

  /** The connection to the target is gone, and all that was prepared on it. */
  lose(): void {
    for (const statement of this.slots) {
      if (!statement) continue;
      statement.target = 0;
      statement.needsTypes = true;
    }
  }

  /** Those that are to be prepared again. */
  *prepared(): Iterable<Statement> {
    for (const statement of this.slots) if (statement?.isPrepared && statement.isWhole) yield statement;
  }
}
