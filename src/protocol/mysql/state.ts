/** The state of a session that outlives a connection to the target: login, database, variables, prepared statements. */
import {
  CLIENT_MULTI_STATEMENTS,
  CLIENT_QUERY_ATTRIBUTES,
  COM_CHANGE_USER,
  COM_INIT_DB,
  COM_QUERY,
  COM_RESET_CONNECTION,
  COM_SET_OPTION,
  COM_STMT_CLOSE,
  COM_STMT_PREPARE,
} from "./packets/constants.ts";
import { type Login, ownLogin, readChangeUser } from "./packets/login.ts";
import { HEADER } from "./packets/packets.ts";
import { text } from "./packets/reader.ts";
import { Statements, type Texts } from "./statements.ts";
import type { Restored } from "./target.ts";
import { Variables } from "./variables.ts";

// What a COM_QUERY does to the session; in its tag instead of a statement's slot.
export const SETS_VARIABLES = 1;
export const USES_DATABASE = 2;

export class SessionState {
  /** The client's login, or one of our own; null: none is known yet. */
  login: Login | null = null;
  /** The login is our own, because the session is older than xcopy. */
  hasOwnLogin = false;
  /** The session's database, as of the last command sent or skipped; empty: none. */
  database: Uint8Array = new Uint8Array(0);
  /** Whether the session's database, as of the last captured command, is `mysql`, in which accounts are kept. */
  isInSystem = false;
  readonly statements: Statements;
  private readonly variables = new Variables();

  constructor(texts: Texts) {
    this.statements = new Statements(texts);
  }

  /** The session is older than xcopy: it gets a login of our own. */
  beginInTheMiddle(user: string, database: Uint8Array): void {
    this.login = ownLogin(user, database);
    this.hasOwnLogin = true;
    this.database = database;
    this.captureDatabase(database);
    this.statements.beginInTheMiddle();
  }

  /** A captured login or command has named another database. */
  captureDatabase(name: Uint8Array): void {
    this.isInSystem = text(name).toLowerCase() === "mysql";
  }

  /** What a new connection must send after the login. */
  restores(): Restored[] {
    return [...this.variables.texts(), ...this.statements.prepared()];
  }

  /** Bytes of the empty list of query attributes (MySQL 8.0.23 and later) before the text of a COM_QUERY; 0 without a list. */
  attributesOf(bytes: Uint8Array, from: number, to: number): number {
    const isOwn = this.login === null || this.hasOwnLogin;
    const mayHave = isOwn || (this.login!.capabilities & CLIENT_QUERY_ATTRIBUTES) !== 0;
    return mayHave && to - from > 3 && bytes[from + 1] === 0 && bytes[from + 2] === 1 ? 2 : 0;
  }

  /** Notes what a command (the packet `bytes` from `from` to `to`) does to the session, whether it was sent or skipped. */
  follow(command: number, slot: number, bytes: Uint8Array, from: number, to: number): void {
    const { statements, variables } = this;
    switch (command) {
      case COM_QUERY: {
        if (slot === 0) return;
        const text = from + HEADER + 1 + this.attributesOf(bytes, from + HEADER, to);
        variables.set(bytes.slice(text, to), slot === USES_DATABASE);
        return;
      }
      case COM_INIT_DB:
        this.database = bytes.slice(from + HEADER + 1, to);
        variables.forgetDatabase();
        return;
      case COM_CHANGE_USER:
        this.changeUser(bytes, from, to);
        this.reset(slot);
        return;
      case COM_RESET_CONNECTION:
        this.reset(slot);
        return;
      case COM_SET_OPTION:
        this.setOption(bytes[from + HEADER + 1]);
        return;
      case COM_STMT_PREPARE: {
        const statement = statements.at(slot);
        if (statement) statement.isPrepared = true;
        return;
      }
      case COM_STMT_CLOSE: {
        const statement = statements.at(slot);
        if (statement) statements.forget(statement);
      }
    }
  }

  private changeUser(bytes: Uint8Array, from: number, to: number): void {
    const { capabilities } = this.login!;
    const { user, hasNoPassword, database } = readChangeUser(bytes, from + HEADER, to, capabilities);
    this.login = { ...this.login!, user, hasNoPassword };
    this.database = database;
    this.variables.forgetDatabase();
  }

  /** The session is reset to its state after the login; `slot`: the era that begins, low 16 bits. */
  reset(slot: number): void {
    const { statements } = this;
    this.variables.clear();
    statements.forgetBefore(statements.era - ((statements.era - slot) & 0xffff));
  }

  /** The low byte of what COM_SET_OPTION sets: 0 allows several statements in a text, 1 does not. */
  private setOption(option: number | undefined): void {
    const others = this.login!.capabilities & ~CLIENT_MULTI_STATEMENTS;
    const capabilities = (option === 0 ? others | CLIENT_MULTI_STATEMENTS : others) >>> 0;
    this.login = { ...this.login!, capabilities };
  }
}
