/**
 * One MySQL session: the client's commands are judged and queued as they are captured, and sent to the target one after the
 * other, with the target's numbers of prepared statements.
 */
import { randomBytes } from "node:crypto";
import {
  ADMITTED,
  DROP,
  GO,
  type Login,
  type Outlet,
  type ProtocolSession,
  REFUSED,
  UNDECIDED,
  type Verdict,
} from "../module.ts";
import { ClientCommands } from "./client-commands.ts";
import type { Common } from "./common.ts";
import { Comparison } from "./comparison.ts";
import { Gate } from "./gate.ts";
import { type Algorithm, frame, unframe } from "./packets/compression.ts";
import {
  CLIENT_DEPRECATE_EOF,
  CLIENT_SESSION_TRACK,
  COM_CHANGE_USER,
  COM_STMT_PREPARE,
  hasNoAnswer,
  LOCAL_DATA,
  MARIADB_PROGRESS,
} from "./packets/constants.ts";
import { HEADER } from "./packets/packets.ts";
import { integer24 } from "./packets/reader.ts";
import { SessionPairs } from "./pairs/session-pairs.ts";
import { Production } from "./production.ts";
import { Rewriting } from "./rewriting.ts";
import { SessionState } from "./state.ts";
import type { Statement } from "./statements.ts";
import {
  AWAITS_GREETING,
  AWAY,
  GREETED,
  LOGGING_IN,
  READY,
  RESTORING,
  TargetConnection,
  type TargetHandlers,
} from "./target.ts";

/** Capabilities that change how long an answer is. */
const SHAPES_ANSWERS = CLIENT_DEPRECATE_EOF | CLIENT_SESSION_TRACK;

export class MysqlSession implements ProtocolSession, TargetHandlers {
  private readonly target: TargetConnection;
  private readonly state: SessionState;
  private readonly commands: ClientCommands;
  private readonly rewriting: Rewriting;
  private readonly comparison: Comparison;
  private readonly online: Production;
  private readonly gate: Gate;
  /** Null: no pairs are made. */
  private readonly pairs: SessionPairs | null;
  /** The login at the target is one that fails, as in production. */
  private isWrong = false;
  private logins = 0;
  private sentAt = 0;
  private answeredAt = 0;
  /** Number of the command that waits for the target's answer, and the statement that it prepares. */
  private openNumber = -1;
  private openStatement: Statement | undefined;
  /** The compression of the begun commands in the queue, and the number of the next frame of the last one. */
  private framedBy: Algorithm | null = null;
  private nextFrame = 0;

  constructor(
    private readonly common: Common,
    private readonly outlet: Outlet,
  ) {
    this.target = new TargetConnection(common.account, this, common.pairs !== null);
    this.state = new SessionState(common.texts);
    this.rewriting = new Rewriting(common, this.state, this.target);
    this.comparison = new Comparison(common.account);
    this.online = new Production(common.account, this.comparison, this.state.statements);
    this.gate = new Gate(common.account, common.config.trustLogins, () => this.takeDecision());
    this.pairs =
      common.pairs &&
      new SessionPairs(
        common.pairs,
        outlet,
        common.escapes,
        () => this.gate.agreed,
        () => this.isFramedAlike(),
      );
    const { state, comparison, online, gate, pairs } = this;
    this.commands = new ClientCommands(common, outlet, state, comparison, online, gate, pairs, () =>
      this.takeUser(),
    );
    common.account.count("sessions");
  }

  request(
    bytes: Uint8Array,
    from: number,
    to: number,
    isFresh: boolean,
    isTurn: boolean,
    time: number,
    seq: number,
    ack: number,
  ): void {
    this.commands.take(bytes, from, to, isFresh, isTurn, time, seq, ack);
    this.gate.request((seq + to - from) | 0, ack);
  }

  productionOpened(seq: number): void {
    this.gate.begin(seq);
  }

  production(
    bytes: Uint8Array,
    from: number,
    to: number,
    missing: number,
    seq: number,
    ack: number,
    time: number,
  ): void {
    const { answerNumber, compression } = this.commands;
    this.gate.take(bytes, from, to, missing, seq, ack, answerNumber, compression);
    this.online.take(bytes, from, to, answerNumber, compression, time);
    this.pairs?.online.take(bytes, from, to, missing, seq, time);
  }

  productionEnded(seq: number, isReset: boolean): void {
    this.gate.endAt(seq);
    this.pairs?.online.endAt(seq, isReset);
  }

  /** Whether production and target frame the same answer alike, so that their sizes can be compared. */
  private isFramedAlike(): boolean {
    const { agreed } = this.gate;
    if (agreed === null) return false;
    const { capabilities, mariadb } = this.target;
    const isAlike = ((agreed.capabilities ^ capabilities) & SHAPES_ANSWERS) === 0;
    return isAlike && (agreed.mariadb & ~MARIADB_PROGRESS) === mariadb;
  }

  login(tag: number): Login {
    return this.gate.of(tag & 0xff, tag >>> 8);
  }

  undecided(): void {
    this.gate.giveUp();
    // Nothing later may be sent as the user before, whom the client may not be any more.
    if (this.gate.state === ADMITTED) this.outlet.refuse();
  }

  mayConnect(): boolean {
    const { state, hasGreeted } = this.gate;
    if (state === REFUSED) return hasGreeted && this.mayFail;
    return state === ADMITTED || hasGreeted;
  }

  /** Whether a refused login can be copied as one: not where there was none, nor to a target that takes any. */
  private get mayFail(): boolean {
    const { login, hasOwnLogin } = this.state;
    return login !== null && !hasOwnLogin && !this.common.config.skipGrant;
  }

  /** Something is known of what production said. */
  private takeDecision(): void {
    this.takeUser();
    this.outlet.wake();
  }

  // The connection to the target.

  /** It is known as which user the session logs in, or that it may. */
  private takeUser(): void {
    const { login, hasOwnLogin } = this.state;
    if (this.gate.state === ADMITTED && this.logins === 0 && !hasOwnLogin && login) {
      this.common.lastLogin = login;
    }
    this.logIn();
  }

  private logIn(): void {
    const { login, database } = this.state;
    if (this.target.state !== GREETED || login === null || this.gate.state === UNDECIDED) return;
    const { config } = this.common;
    if (this.gate.state === REFUSED) {
      this.fail();
      return;
    }
    const credentials = this.common.credentials(login.user, login.hasNoPassword);
    if (!credentials) {
      this.outlet.refuse();
      return;
    }
    const { target, password } = credentials;
    const restores = this.logins > 0 ? this.state.restores() : [];
    this.target.logIn(login, target, password, config.skipGrant, database, restores);
  }

  /** Production has refused the login: the target gets one that cannot be right, for the same user. */
  private fail(): void {
    if (!this.mayFail || this.isWrong) {
      this.outlet.refuse();
      return;
    }
    this.isWrong = true;
    const login = this.state.login!;
    const { target } = this.common.config.users.find(({ name }) => name === login.user) ?? {
      target: login.user,
    };
    this.target.logIn(login, target, randomBytes(24).toString("hex"), false, login.database, []);
  }

  connected(): void {
    this.target.connected();
  }

  disconnected(): void {
    const { state } = this.target;
    this.target.disconnected();
    this.state.statements.lose();
    // A session that cannot log in would open connections without end.
    if (state !== AWAY && state !== READY) this.outlet.giveUp();
  }

  response(bytes: Uint8Array, from: number, to: number, missing: number, time: number): void {
    if (this.target.take(bytes, from, to, missing, time)) return;
    this.common.account.count("notUnderstood");
    this.common.account.note(
      "incomplete",
      "the responses of the MySQL target arrive incomplete: its sessions are not copied. Run xcopy intercept of this version, or leave -s out.",
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
    if (this.isWrong) {
      const who = this.state.login?.user;
      const text = `the target lets the MySQL user "${who}" in with a wrong password: nothing else is sent there`;
      this.common.account.note(`open ${who}`, text);
      this.outlet.refuse();
      return;
    }
    this.common.account.count("logins");
    if (this.logins++ > 0) this.common.account.count("reconnected");
  }

  onRefused(text: string, code: number, isLogin: boolean): void {
    const { account } = this.common;
    if (this.isWrong) {
      account.count("refusedCopied");
      this.outlet.refuse();
      return;
    }
    const user = isLogin ? this.state.login?.user : "";
    account.count("loginsRefused");
    const who = isLogin ? `the login of the MySQL user "${user}"` : "a MySQL connection";
    account.note(`refused ${code} ${user}`, `the target refuses ${who}: ${code ? `${code} ` : ""}${text}`);
    if (isLogin) this.outlet.refuse();
    else this.outlet.giveUp();
  }

  onReady(): void {
    this.outlet.wake();
  }

  onStatus(flags: number): void {
    this.common.escapes.see(flags);
  }

  onAnswer(time: number): void {
    this.common.account.latency("target", time - this.sentAt);
    this.pairs?.pairing.begun(this.openNumber, time);
  }

  onProgress(time: number): void {
    const { answer } = this.target;
    this.answeredAt = time;
    if (!answer.isOpen) {
      if (this.pairs) this.takePair(this.pairs);
      this.common.account.answered(answer.command);
      if (this.comparison.answeredAtTarget(this.openNumber, answer.isError)) {
        const { code } = answer;
        this.common.account.note(
          `error ${code}`,
          `the target answers commands with the MySQL error ${code} that production answers without one`,
        );
      }
      const statement = this.openStatement;
      if (answer.command === COM_STMT_PREPARE && statement && !answer.isError) {
        statement.target = answer.statement;
        statement.parameters = answer.parameters;
        statement.needsTypes = false;
      }
    }
    this.outlet.wake();
  }

  /** The target's answer has ended, or as much of it as comes before the client's file. */
  private takePair(pairs: SessionPairs): void {
    const { answer, answerSize, message, isMessageWhole } = this.target;
    if (!answer.isError && answer.flags !== 0) this.common.escapes.see(answer.flags);
    pairs.pairing.answered(this.openNumber, {
      status: answer.code,
      end: "complete",
      bytes: answer.command === COM_CHANGE_USER ? -1 : answerSize,
      count: answer.isError ? -1 : answer.count,
      firstAt: this.answeredAt,
      lastAt: this.answeredAt,
      message,
      isMessageWhole,
    });
  }

  // The requests.

  mayBegin(tag: number): boolean {
    if (this.target.state !== READY) return false;
    if (this.commands.isJudging && this.comparison.waiting === 1) return false;
    const { answer } = this.target;
    if (!answer.isOpen) return true;
    if (!answer.wantsData) return false;
    if ((tag & 0xff) === LOCAL_DATA) return true;
    // The target asks for a file that production's server did not ask for: it gets an empty one.
    this.target.endData();
    return false;
  }

  isAnswered(): boolean {
    const { state, answer } = this.target;
    if (state === LOGGING_IN || state === RESTORING) return false;
    // A login that production has refused is still to be copied.
    const isGreeting = state === AWAITS_GREETING || state === GREETED;
    if (this.gate.state === REFUSED && isGreeting) return !this.mayFail;
    return !answer.isOpen || answer.wantsData;
  }

  begin(tag: number, bytes: Uint8Array, from: number, to: number, again: boolean, now: number): Verdict {
    const number = again ? this.openNumber : this.comparison.begin();
    const verdict = this.go(tag, number, bytes, from, to, again, now);
    if (verdict === DROP) this.pairs?.pairing.dropped(number);
    return verdict;
  }

  private go(
    tag: number,
    number: number,
    bytes: Uint8Array,
    from: number,
    to: number,
    again: boolean,
    now: number,
  ): Verdict {
    const [command, slot] = [tag & 0xff, tag >>> 8];
    const refusal = this.commands.refusalOf(number);
    if (refusal !== null) {
      this.common.account.leftOut(refusal);
      return DROP;
    }
    const { compression } = this.target;
    const framed = again && this.framedBy ? unframe(this.framedBy, bytes, from, to) : null;
    if (framed) [bytes, from, to] = [framed, 0, framed.length];
    const isPartialAgain = again && from + HEADER + integer24(bytes, from) > to;
    // The rest of the command in the queue is framed for the compression of the connection before.
    if (isPartialAgain && compression !== this.framedBy) return DROP;
    if (command === COM_STMT_PREPARE) this.openStatement = this.state.statements.at(slot);
    const rewritten = this.rewriting.rewrite(command, slot, bytes, from, to, again);
    if (typeof rewritten === "string") {
      if (!again) this.common.account.leftOut(rewritten);
      // Later commands must not be executed as the user before.
      if (rewritten === "no_password") this.outlet.refuse();
      return DROP;
    }
    this.state.follow(command, slot, bytes, from, to);
    const packet = rewritten ?? bytes.subarray(from, to);
    if (compression) {
      const number = command === LOCAL_DATA ? this.target.answerNumber : 0;
      this.outlet.replace(frame(compression, packet, 0, packet.length, number));
      if (!isPartialAgain) this.nextFrame = number + 1;
    } else if (rewritten || framed) this.outlet.replace(packet);
    this.framedBy = compression;
    if (!again) this.common.account.sent(command);
    if (command === COM_CHANGE_USER) this.gate.forget(slot);
    this.sentAt = now;
    if (hasNoAnswer(command)) return GO;
    if (command === LOCAL_DATA) {
      // That of its statement ends with the wish for the file.
      if (this.pairs) this.takePair(this.pairs);
      this.target.takeFile();
    } else this.target.begin(command);
    this.openNumber = number;
    this.pairs?.pairing.sent(number, now);
    return GO;
  }

  more(bytes: Uint8Array, from: number, to: number): void {
    const { compression } = this.target;
    if (compression) this.outlet.replace(frame(compression, bytes, from, to, this.nextFrame++));
  }

  skipped(tag: number, bytes: Uint8Array, from: number, to: number, again: boolean): void {
    if (again) {
      this.pairs?.pairing.dropped(this.openNumber);
      return;
    }
    const number = this.comparison.begin();
    this.pairs?.pairing.dropped(number);
    this.commands.refusalOf(number);
    if ((tag & 0xff) === COM_CHANGE_USER && !this.gate.forget(tag >>> 8)) {
      this.state.reset(tag >>> 8);
      return;
    }
    this.state.follow(tag & 0xff, tag >>> 8, bytes, from, to);
  }

  close(): void {
    this.pairs?.close();
    this.gate.close();
    this.state.statements.clear();
  }
}
