/** What a session is beyond its connection: what has to be said again on another one. */
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

// What a COM_QUERY does to the session: its slot in a tag, where another command has that of its statement.
export const SETS_VARIABLES = 1;
export const USES_DATABASE = 2;

export class SessionState {
  /** The client's, or our own; null: none was seen yet. */
  login: Login | null = null;
  /** Ours: the session began before we did. */
  hasOwnLogin = false;
  database: Uint8Array = new Uint8Array(0);
  /** Whether what was captured last is about the database in which accounts are kept, where it names none. */
  isInSystem = false;
  readonly statements: Statements;
  private readonly variables = new Variables();

  constructor(texts: Texts) {
    this.statements = new Statements(texts);
  }

  /** The session began before we did: it logs in with what is known. */
  beginInTheMiddle(user: string, database: Uint8Array): void {
    this.login = ownLogin(user, database);
    this.hasOwnLogin = true;
    this.database = database;
    this.captureDatabase(database);
    this.statements.beginInTheMiddle();
  }

  /** The client has named another database, as captured. */
  captureDatabase(name: Uint8Array): void {
    this.isInSystem = text(name).toLowerCase() === "mysql";
  }

  /** What a new connection has to be told behind the login. */
  restores(): Restored[] {
    return [...this.variables.texts(), ...this.statements.prepared()];
  }

  /** Bytes of attributes before the text of a COM_QUERY (of MySQL since 8.0.23), where there are none of them. */
  attributesOf(bytes: Uint8Array, from: number, to: number): number {
    const isOwn = this.login === null || this.hasOwnLogin;
    const mayHave = isOwn || (this.login!.capabilities & CLIENT_QUERY_ATTRIBUTES) !== 0;
    return mayHave && to - from > 3 && bytes[from + 1] === 0 && bytes[from + 2] === 1 ? 2 : 0;
  }

  /** Remembers what a command (a packet, `bytes` from `from` to `to`) does to the session, whether or not it was sent. */
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

  /** The session is as it was behind its login; `slot`: the era that begins. */
  private reset(slot: number): void {
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
