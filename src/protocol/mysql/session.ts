/**
 * One MySQL session: the client's commands are judged and queued as they come, and sent to the target one after the other,
 * with the target's numbers of prepared statements in them.
 */
import { DROP, GO, type Outlet, type ProtocolSession, type Verdict } from "../module.ts";
import type { Reason } from "./account.ts";
import { ClientPackets, type ClientSink } from "./client-packets.ts";
import { Comparison } from "./comparison.ts";
import { Inflater } from "./compression.ts";
import {
  CLIENT_COMPRESS,
  CLIENT_QUERY_ATTRIBUTES,
  CLIENT_ZSTD,
  COM_BINLOG_DUMP,
  COM_BINLOG_DUMP_GTID,
  COM_CHANGE_USER,
  COM_CREATE_DB,
  COM_DEBUG,
  COM_DROP_DB,
  COM_INIT_DB,
  COM_PROCESS_KILL,
  COM_QUERY,
  COM_REFRESH,
  COM_REGISTER_SLAVE,
  COM_RESET_CONNECTION,
  COM_SHUTDOWN,
  COM_STMT_BULK_EXECUTE,
  COM_STMT_CLOSE,
  COM_STMT_EXECUTE,
  COM_STMT_FETCH,
  COM_STMT_PREPARE,
  COM_STMT_RESET,
  COM_STMT_SEND_LONG_DATA,
  COM_TABLE_DUMP,
  ERR,
  hasNoAnswer,
  isKnown,
  LOCAL_DATA,
  OK,
} from "./constants.ts";
import { asksForTls, type Login, ownLogin, readChangeUser, readLogin, writeChangeUser } from "./login.ts";
import type { Mysql } from "./mysql.ts";
import { Malformed } from "./reader.ts";
import { ACCOUNTS, ADMINISTERS, DEFINES, judge, WRITES } from "./sql.ts";
import { type Statement, Statements } from "./statements.ts";
import {
  AWAY,
  GREETED,
  LOGGING_IN,
  READY,
  RESTORING,
  type Restored,
  TargetConnection,
  type TargetHandlers,
} from "./target.ts";
import { Variables } from "./variables.ts";
import { Writer } from "./writer.ts";

const HEADER = 4;
// Behind the command in a tag: what a COM_QUERY does to the session.
const SETS_VARIABLES = 1;
const USES_DATABASE = 2;
/** TLS records of data and their versions, where a session is seen from its middle. */
const TLS_DATA = 0x17;
const TLS_MAJOR = 3;

export class MysqlSession implements ProtocolSession, ClientSink, TargetHandlers {
  private readonly client = new ClientPackets(this);
  private readonly target: TargetConnection;
  private readonly statements: Statements;
  private readonly variables = new Variables();
  private readonly comparison: Comparison;
  private inflater: Inflater | null = null;
  /** The client's, or our own; null: none was seen yet. */
  private login: Login | null = null;
  private database: Uint8Array = new Uint8Array(0);
  private logins = 0;
  /** The first packet of the session is still to come. */
  private isNew = true;
  /** Something before the next packet is missing. */
  private isAtStart = true;
  /** What the client sends is not understood until it has heard from the server again. */
  private isLost = false;
  /** The rest of the packet belongs to a command that is sent. */
  private isSending = false;
  /** The client's file is being captured. */
  private isInData = false;
  private lastCommand = 0;
  private time = 0;
  /** Commands that were captured to be sent, and those of them whose turn has come. */
  private captured = 0;
  private begun = 0;
  private sentAt = 0;
  /** The command that production has not answered yet: its number, 0 to none; what it is, and when it was captured. */
  private onlineNumber = -1;
  private onlineCommand = 0;
  private onlineStatement: Statement | undefined;
  private onlineAt = 0;
  /** The command whose answer the target owes. */
  private openNumber = -1;
  private openStatement: Statement | undefined;

  constructor(
    private readonly mysql: Mysql,
    private readonly outlet: Outlet,
  ) {
    this.target = new TargetConnection(mysql.account, this);
    this.statements = new Statements(mysql.texts);
    this.comparison = new Comparison(mysql.account);
    mysql.account.count("sessions");
  }

  // What the client sends.

  request(
    bytes: Uint8Array,
    from: number,
    to: number,
    isFresh: boolean,
    isTurn: boolean,
    time: number,
  ): void {
    if (isFresh || (this.isLost && isTurn)) {
      this.client.reset();
      this.inflater?.reset();
      this.isAtStart = true;
      this.isLost = false;
      this.isInData = false;
    }
    if (this.isLost) return;
    this.time = time;
    // Compression begins with the first command; what belongs to the login has other sequence numbers.
    if (this.inflater?.isOn || this.inflater?.mayBegin(bytes, from, to)) {
      this.inflater.take(bytes, from, to, (whole) => this.client.take(whole, 0, whole.length));
      return;
    }
    this.client.take(bytes, from, to);
  }

  packet(bytes: Uint8Array, at: number, known: number, length: number, sequence: number): void {
    if (this.isLost) return;
    const isAtStart = this.isAtStart;
    this.isAtStart = false;
    if (sequence === 0) {
      this.isInData = false;
      this.takeCommand(bytes, at, known, length, isAtStart);
    } else if (this.isNew && this.login === null) {
      this.takeLogin(bytes, at, known);
    } else if (isAtStart) {
      this.lose();
    } else if (this.lastCommand === COM_QUERY) {
      this.takeData(bytes, at, known, length);
    }
    // All else is what the client answers to production's challenge.
  }

  rest(bytes: Uint8Array, from: number, to: number): void {
    if (this.isSending) this.outlet.write(bytes, from, to);
  }

  private lose(): void {
    this.isLost = true;
    this.isSending = false;
    this.mysql.account.count("notUnderstood");
    this.outlet.leaveOut();
  }

  private takeLogin(bytes: Uint8Array, at: number, known: number): void {
    const [from, to] = [at + HEADER, at + HEADER + known];
    try {
      if (asksForTls(bytes, from, to)) {
        this.refuseTls();
        return;
      }
      this.login = readLogin(bytes, from, to);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      this.lose();
      return;
    }
    this.isNew = false;
    this.isSending = false;
    this.database = this.login.database;
    this.mysql.lastLogin = this.login;
    if (this.login.capabilities & (CLIENT_COMPRESS | CLIENT_ZSTD)) {
      this.inflater = new Inflater((this.login.capabilities & CLIENT_COMPRESS) === 0);
    }
    this.logIn();
  }

  private refuseTls(): void {
    this.mysql.account.count("tls");
    this.mysql.account.note(
      "tls",
      "a MySQL client asks for TLS: what follows cannot be read, and sessions like this are not copied. Let clients connect without TLS, or capture where there is none (behind a proxy).",
    );
    this.outlet.refuse();
  }

  private takeCommand(
    bytes: Uint8Array,
    at: number,
    known: number,
    length: number,
    isAtStart: boolean,
  ): void {
    const command = known > 0 ? bytes[at + HEADER]! : 0;
    if (isAtStart && bytes[at] === TLS_DATA && bytes[at + 1] === TLS_MAJOR) {
      this.refuseTls();
      return;
    }
    if (!isKnown(command)) {
      this.lose();
      return;
    }
    if (this.login === null) this.beginInTheMiddle();
    this.isNew = false;
    this.lastCommand = command;
    const whole = known === length;
    let slot = 0;
    let reason: Reason | null = null;
    const [from, to] = [at + HEADER, at + HEADER + known];
    switch (command) {
      case COM_QUERY: {
        const text = from + 1 + this.attributesOf(bytes, from, to);
        reason = this.judgeText(bytes, text, to, whole);
        slot = this.lastSlot;
        break;
      }
      case COM_STMT_PREPARE: {
        reason = this.judgeText(bytes, from + 1, to, whole);
        const statement = this.statements.add(bytes, from + 1, to);
        if (statement) {
          statement.leftOut = reason;
          statement.isWhole = whole;
        } else reason ??= "unknown_statement";
        slot = statement?.slot ?? 0;
        this.expect(command, statement);
        break;
      }
      case COM_STMT_EXECUTE:
      case COM_STMT_BULK_EXECUTE:
      case COM_STMT_FETCH:
      case COM_STMT_SEND_LONG_DATA:
      case COM_STMT_RESET:
      case COM_STMT_CLOSE: {
        const statement = known >= 5 ? this.statements.find(number(bytes, from + 1)) : undefined;
        reason = statement ? statement.leftOut : "unknown_statement";
        slot = statement?.slot ?? 0;
        if (statement && command === COM_STMT_CLOSE) {
          this.statements.closed(statement);
          if (statement.leftOut) this.statements.forget(statement);
        }
        break;
      }
      case COM_CHANGE_USER:
      case COM_RESET_CONNECTION:
        this.statements.closedAll();
        slot = this.statements.era & 0xffff;
        break;
      case COM_CREATE_DB:
      case COM_DROP_DB:
        reason = this.judgeEffects(DEFINES | WRITES);
        break;
      case COM_BINLOG_DUMP:
      case COM_BINLOG_DUMP_GTID:
      case COM_TABLE_DUMP:
      case COM_REGISTER_SLAVE:
        reason = "replication";
        break;
      case COM_SHUTDOWN:
      case COM_PROCESS_KILL:
      case COM_DEBUG:
      case COM_REFRESH:
        reason = this.judgeEffects(ADMINISTERS | WRITES);
    }
    if (command !== COM_STMT_PREPARE) this.expect(command, undefined);
    this.isSending = reason === null;
    if (reason !== null) {
      this.mysql.account.leftOut(reason);
      this.onlineNumber = -1;
      this.outlet.leaveOut();
      return;
    }
    this.comparison.begin(this.captured++ - this.begun);
    this.outlet.begin(command | (slot << 8));
    this.outlet.write(bytes, at, at + HEADER + known);
  }

  private lastSlot = 0;

  private judgeText(bytes: Uint8Array, from: number, to: number, whole: boolean): Reason | null {
    const judgement = judge(bytes, from, to);
    this.lastSlot =
      (judgement.setsVariables ? SETS_VARIABLES : 0) | (judgement.usesDatabase ? USES_DATABASE : 0);
    if (judgement.prepares > 0) this.statements.countOther(judgement.prepares);
    if (!whole) {
      this.lastSlot = 0;
      if (this.mysql.config.readOnly && !(judgement.effects & WRITES)) return "not_judged";
    }
    return this.judgeEffects(judgement.effects);
  }

  private judgeEffects(effects: number): Reason | null {
    const { accounts, skipDdl, readOnly } = this.mysql.config;
    if (!accounts && effects & ACCOUNTS) return "account";
    if (!accounts && effects & ADMINISTERS) return "administration";
    if (skipDdl && effects & DEFINES) return "ddl";
    if (readOnly && effects & (WRITES | DEFINES | ACCOUNTS | ADMINISTERS)) return "write";
    return null;
  }

  /** Bytes of attributes before the text of a COM_QUERY (of MySQL since 8.0.23), where there are none of them. */
  private attributesOf(bytes: Uint8Array, from: number, to: number): number {
    const isOwn = this.logins === 0 || this.hasOwnLogin;
    const mayHave = isOwn || (this.login!.capabilities & CLIENT_QUERY_ATTRIBUTES) !== 0;
    return mayHave && to - from > 3 && bytes[from + 1] === 0 && bytes[from + 2] === 1 ? 2 : 0;
  }

  private hasOwnLogin = false;

  /** The session began before we did: it logs in with what is known. */
  private beginInTheMiddle(): void {
    const { users, database } = this.mysql.config;
    const last = this.mysql.lastLogin;
    const user = last?.user ?? users[0]?.name ?? "";
    const own = database === "" ? (last?.database ?? new Uint8Array(0)) : new TextEncoder().encode(database);
    this.login = ownLogin(user, own);
    this.hasOwnLogin = true;
    this.database = own;
    this.statements.beginInTheMiddle();
    this.logIn();
  }

  /** What the client sends for LOAD DATA LOCAL INFILE; an empty packet is its end. */
  private takeData(bytes: Uint8Array, at: number, known: number, length: number): void {
    if (!this.isInData) {
      this.isInData = true;
      this.isSending = true;
      this.comparison.begin(this.captured++ - this.begun);
      this.outlet.begin(LOCAL_DATA);
      this.expect(LOCAL_DATA, undefined);
    }
    this.outlet.write(bytes, at, at + HEADER + known);
    if (length === 0) this.isInData = false;
  }

  // What production answers.

  /** The client has sent a command that production will answer. */
  private expect(command: number, statement: Statement | undefined): void {
    if (hasNoAnswer(command)) return;
    this.onlineNumber = this.captured - (command === LOCAL_DATA ? 1 : 0);
    this.onlineCommand = command;
    this.onlineStatement = statement;
    this.onlineAt = this.time;
  }

  production(
    bytes: Uint8Array,
    from: number,
    to: number,
    _missing: number,
    _seq: number,
    _ack: number,
    time: number,
  ): void {
    const number_ = this.onlineNumber;
    if (this.onlineCommand === 0) return;
    // Of what is compressed only that is seen which was too short for it.
    if (this.inflater?.isOn) from += Inflater.HEADER;
    const isFirst = to - from > HEADER && (bytes[from + 3] === 1 || this.onlineCommand === LOCAL_DATA);
    if (!isFirst) return;
    const first = bytes[from + HEADER]!;
    const command = this.onlineCommand;
    this.onlineCommand = 0;
    this.mysql.account.latency("production", time - this.onlineAt);
    if (command === COM_STMT_PREPARE && this.onlineStatement) {
      const isPrepared = first === OK && to - from >= HEADER + 5;
      this.statements.number(this.onlineStatement, isPrepared ? number(bytes, from + HEADER + 1) : 0);
    }
    if (number_ >= 0) this.comparison.answeredOnline(number_, first === ERR);
  }

  // What the target is sent.

  private logIn(): void {
    if (this.target.state !== GREETED || this.login === null) return;
    const { account, config } = this.mysql;
    const credentials = this.mysql.credentials(this.login.user, this.login.hasNoPassword);
    if (!credentials) {
      account.count("noPassword");
      account.note(
        `user ${this.login.user}`,
        `no password is known for the MySQL user "${this.login.user}": its sessions are not copied. Give it with -u or --mysql-users.`,
      );
      this.outlet.refuse();
      return;
    }
    const restores: Restored[] = [];
    if (this.logins > 0) {
      restores.push(...this.variables.texts());
      for (const statement of this.statements.prepared()) restores.push(statement);
    }
    const { target, password } = credentials;
    this.target.logIn(this.login, target, password, config.skipGrant, this.database, restores);
  }

  connected(): void {
    this.target.connected();
  }

  disconnected(): void {
    const { state } = this.target;
    this.target.disconnected();
    this.statements.lose();
    // What cannot log in would try for ever.
    if (state !== AWAY && state !== READY) this.outlet.giveUp();
  }

  response(bytes: Uint8Array, from: number, to: number, missing: number, time: number): void {
    if (this.target.take(bytes, from, to, missing, time)) return;
    this.mysql.account.count("notUnderstood");
    this.mysql.account.note(
      "incomplete",
      "what a MySQL target answers does not come whole: its sessions are not copied. Run xcopy intercept of this version, or leave -s out.",
    );
    this.outlet.refuse();
  }

  send(packet: Uint8Array): void {
    this.outlet.insert(packet);
  }

  onGreeting(): void {
    this.logIn();
  }

  onLogin(): void {
    this.mysql.account.count("logins");
    if (this.logins++ > 0) this.mysql.account.count("reconnected");
  }

  onRefused(text: string, code: number, isLogin: boolean): void {
    const { account } = this.mysql;
    account.count("loginsRefused");
    const who = isLogin ? `the login of the MySQL user "${this.login?.user}"` : "a MySQL connection";
    account.note(
      `refused ${code} ${isLogin ? this.login?.user : ""}`,
      `the target refuses ${who}: ${code ? `${code} ` : ""}${text}`,
    );
    if (isLogin) this.outlet.refuse();
    else this.outlet.giveUp();
  }

  onReady(): void {
    this.outlet.wake();
  }

  onAnswer(time: number): void {
    this.mysql.account.latency("target", time - this.sentAt);
  }

  onProgress(): void {
    const { answer } = this.target;
    if (!answer.isOpen) {
      this.mysql.account.answered(answer.command);
      this.comparison.answeredAtTarget(this.openNumber, answer.isError);
      const statement = this.openStatement;
      if (answer.command === COM_STMT_PREPARE && statement && !answer.isError) {
        statement.target = answer.statement;
        statement.parameters = answer.parameters;
        statement.needsTypes = false;
      }
    }
    this.outlet.wake();
  }

  mayBegin(tag: number): boolean {
    if (this.target.state !== READY) return false;
    const { answer } = this.target;
    if (!answer.isOpen) return true;
    if (!answer.wantsData) return false;
    if ((tag & 0xff) === LOCAL_DATA) return true;
    // Production's server did not want the client's file: here it is empty.
    answer.endData();
    this.send(new Writer().packet(this.target.sequence + 1));
    return false;
  }

  isAnswered(): boolean {
    const { state, answer } = this.target;
    if (state === LOGGING_IN || state === RESTORING) return false;
    return !answer.isOpen || answer.wantsData;
  }

  begin(tag: number, bytes: Uint8Array, from: number, to: number, again: boolean, now: number): Verdict {
    const command = tag & 0xff;
    const number_ = again ? this.openNumber : this.begun++;
    const reason = this.prepare(command, tag >>> 8, bytes, from, to, again);
    if (reason !== null) {
      if (!again) this.mysql.account.leftOut(reason);
      return DROP;
    }
    this.follow(command, tag >>> 8, bytes, from, to);
    if (!again) this.mysql.account.sent(command);
    this.sentAt = now;
    if (hasNoAnswer(command)) return GO;
    this.openNumber = number_;
    if (command === LOCAL_DATA) this.target.answer.endData();
    else this.target.begin(command);
    return GO;
  }

  /** Makes a command one for the target; why it cannot be one, or null. */
  private prepare(
    command: number,
    slot: number,
    bytes: Uint8Array,
    from: number,
    to: number,
    again: boolean,
  ): Reason | null {
    switch (command) {
      case COM_QUERY:
        this.dropAttributes(bytes, from, to);
        return null;
      case LOCAL_DATA:
        return this.target.answer.wantsData ? null : "no_data_wanted";
      case COM_STMT_PREPARE:
        this.openStatement = this.statements.at(slot);
        return null;
      case COM_CHANGE_USER:
        return again ? "not_judged" : this.changeUser(bytes, from, to);
      case COM_STMT_EXECUTE:
      case COM_STMT_BULK_EXECUTE:
      case COM_STMT_FETCH:
      case COM_STMT_SEND_LONG_DATA:
      case COM_STMT_RESET:
      case COM_STMT_CLOSE:
        return this.numberStatement(command, slot, bytes, from, to);
      default:
        return null;
    }
  }

  /** Puts the target's number of a statement into a command. */
  private numberStatement(
    command: number,
    slot: number,
    bytes: Uint8Array,
    from: number,
    to: number,
  ): Reason | null {
    const statement = this.statements.at(slot);
    if (!statement) return "unknown_statement";
    if (statement.target === 0) {
      if (command === COM_STMT_CLOSE) this.statements.forget(statement);
      return "failed_statement";
    }
    for (let i = 0; i < 4; i++) bytes[from + HEADER + 1 + i] = (statement.target >>> (8 * i)) & 0xff;
    if (command === COM_STMT_EXECUTE && statement.parameters > 0)
      return this.bind(statement, bytes, from, to);
    return null;
  }

  /**
   * Types of parameters are sent with the first execution only: they are kept, and put into an execution that has none where
   * the target has prepared the statement anew.
   */
  private bind(statement: Statement, bytes: Uint8Array, from: number, to: number): Reason | null {
    if (this.login!.capabilities & CLIENT_QUERY_ATTRIBUTES) return null;
    const at = from + HEADER + 10 + ((statement.parameters + 7) >> 3);
    const size = 2 * statement.parameters;
    if (at >= to) return null;
    if (bytes[at] === 1) {
      if (at + 1 + size > to) return null;
      statement.types = bytes.slice(at + 1, at + 1 + size);
      statement.needsTypes = false;
      return null;
    }
    if (!statement.needsTypes) return null;
    const length = bytes[from]! | (bytes[from + 1]! << 8) | (bytes[from + 2]! << 16);
    if (!statement.types || from + HEADER + length !== to) return "no_parameter_types";
    const packet = new Writer()
      .put(bytes.subarray(from + HEADER, at))
      .integer(1, 1)
      .put(statement.types)
      .put(bytes.subarray(at + 1, to))
      .packet(0);
    statement.needsTypes = false;
    this.outlet.replace(packet);
    return null;
  }

  /** The target may be older than production: it does not know that a query can have attributes. */
  private dropAttributes(bytes: Uint8Array, from: number, to: number): void {
    const count = this.attributesOf(bytes, from + HEADER, to);
    if (count === 0 || this.target.capabilities & CLIENT_QUERY_ATTRIBUTES) return;
    const length = bytes[from]! | (bytes[from + 1]! << 8) | (bytes[from + 2]! << 16);
    if (from + HEADER + length !== to) return;
    this.outlet.replace(
      new Writer()
        .integer(COM_QUERY, 1)
        .put(bytes.subarray(from + HEADER + 1 + count, to))
        .packet(0),
    );
  }

  private changeUser(bytes: Uint8Array, from: number, to: number): Reason | null {
    const change = readChangeUser(bytes, from + HEADER, to, this.login!.capabilities);
    const credentials = this.mysql.credentials(change.user, change.hasNoPassword);
    if (!credentials) {
      this.mysql.account.count("noPassword");
      return "not_judged";
    }
    const exchange = this.target.changeUser(credentials.password, this.mysql.config.skipGrant);
    const first = exchange.first();
    const { capabilities } = this.target;
    this.outlet.replace(writeChangeUser(change, capabilities, credentials.target, exchange.plugin, first));
    this.login = { ...this.login!, user: change.user, hasNoPassword: change.hasNoPassword };
    this.database = change.database;
    return null;
  }

  skipped(tag: number, bytes: Uint8Array, from: number, to: number, again: boolean): void {
    if (again) return;
    this.begun++;
    this.follow(tag & 0xff, tag >>> 8, bytes, from, to);
  }

  /** Remembers what a command does to the session: it is restored on another connection. */
  private follow(command: number, slot: number, bytes: Uint8Array, from: number, to: number): void {
    switch (command) {
      case COM_QUERY:
        if (slot === 0) return;
        this.variables.set(
          bytes.slice(from + HEADER + 1 + this.attributesOf(bytes, from + HEADER, to), to),
          slot === USES_DATABASE,
        );
        return;
      case COM_INIT_DB:
        this.database = bytes.slice(from + HEADER + 1, to);
        this.variables.forgetDatabase();
        return;
      case COM_CHANGE_USER:
      case COM_RESET_CONNECTION:
        this.variables.clear();
        this.statements.forgetBefore(this.statements.era - ((this.statements.era - slot) & 0xffff));
        return;
      case COM_STMT_PREPARE: {
        const statement = this.statements.at(slot);
        if (statement) statement.isPrepared = true;
        return;
      }
      case COM_STMT_CLOSE: {
        const statement = this.statements.at(slot);
        if (statement) this.statements.forget(statement);
      }
    }
  }

  close(): void {
    this.statements.clear();
  }
}

function number(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}
