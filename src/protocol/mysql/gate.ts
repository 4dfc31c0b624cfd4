/**
 * Whom production let in: what its server answered to the login of a session, and to each COM_CHANGE_USER. Only that counts, and
 * only where it stands in the server's stream: rows of a result, or the user's name in an error, may look like any packet.
 *
 *   the login           the server's stream from its first byte: greeting, exchange, OK or ERR
 *   COM_CHANGE_USER     the same stream, as long as each answer before was captured whole (online-answers.ts)
 *   an older session    an answer to one of its commands: it begins where the client had read to, and acknowledges the command
 */
import { ADMITTED, type Login, REFUSED, UNDECIDED } from "../module.ts";
import { ServerStream } from "../server-stream.ts";
import type { Account } from "./account.ts";
import { OnlineAnswers } from "./online-answers.ts";
import { type Algorithm, beginningOf } from "./packets/compression.ts";
import { COM_CHANGE_USER, ERR, OK } from "./packets/constants.ts";
import { type Greeting, readGreeting } from "./packets/greeting.ts";
import type { Login as ClientLogin } from "./packets/login.ts";
import { HEADER, PacketStream } from "./packets/packets.ts";
import { integer24, Malformed } from "./packets/reader.ts";

/** Payload bytes that are read of the greeting, which has about 100, and of each packet after it. */
const MOST_OF_GREETING = 512;
const MOST_READ = 64;
const VERSION_10 = 10;
/** Most COM_CHANGE_USER in the queue of a session. */
const MOST_CHANGES = 256;

export class Gate {
  /** What production said to the session's login. */
  state: Login = UNDECIDED;
  /** Production's server has greeted: the client has a connection. */
  hasGreeted = false;
  private readonly stream = new ServerStream(
    (bytes, from, to, missing, ack) => this.takeStream(bytes, from, to, missing, ack),
    () => this.takeEnd(),
  );
  private readonly packets = new PacketStream(MOST_OF_GREETING, (bytes, from, to, length, sequence) =>
    this.takePacket(bytes, from, to, length, sequence),
  );
  private greeting: Greeting | null = null;
  /** Sequence number of the server's last packet of the login, and the acknowledgement number of the segment being read. */
  private sequence = 0;
  private ack = 0;
  /** What the server's OK acknowledges; null: there was none. */
  private okAck: number | null = null;
  /** The client's login, and the number of the byte after it. */
  private login: ClientLogin | null = null;
  private loginEnd = 0;
  /** What the client sent last, and what it had read to; the last segment that may be an answer: see `mayAnswer`. */
  private asked: { end: number; ack: number } | null = null;
  private candidate: { seq: number; ack: number } | null = null;
  /** The users that production let this client be. */
  private readonly users = new Set<string>();
  /** By the era that it begins: what production said to a COM_CHANGE_USER that is in the queue. */
  private readonly changes = new Map<number, Login>();
  /** The answers to commands, from the OK of the login on; null: they cannot be followed. */
  private answers: OnlineAnswers | null;
  private isCounted = false;

  /** `isTrusted`: every login is believed. `onDecided`: called when `state`, `hasGreeted` or what `of` says has changed. */
  constructor(
    private readonly account: Account,
    private readonly isTrusted: boolean,
    private readonly onDecided: () => void,
  ) {
    if (isTrusted) this.state = ADMITTED;
    this.answers = isTrusted
      ? null
      : new OnlineAnswers((slot, user, isAdmitted) => this.takeChange(slot, user, isAdmitted));
  }

  /** What client and server both can; null: login or greeting were not captured. */
  get agreed(): { capabilities: number; mariadb: number } | null {
    const { login, greeting } = this;
    return (
      login &&
      greeting && {
        capabilities: login.capabilities & greeting.capabilities,
        mariadb: login.mariadb & greeting.mariadb,
      }
    );
  }

  /** As `ProtocolSession.login`. */
  of(command: number, slot: number): Login {
    if (command !== COM_CHANGE_USER || this.state !== ADMITTED || this.isTrusted) return this.state;
    return this.changes.get(slot) ?? UNDECIDED;
  }

  /** A COM_CHANGE_USER has left the queue; returns whether production had let the client become that user. */
  forget(slot: number): boolean {
    const state = this.changes.get(slot);
    this.changes.delete(slot);
    return this.isTrusted || state === ADMITTED;
  }

  // The client.

  /** Its login was captured; `end`: the number of the byte after it. */
  takeLogin(login: ClientLogin, end: number): void {
    this.login = login;
    this.loginEnd = end;
    this.takeOk();
  }

  /** Bytes of the client were captured, up to that before `end`; `ack`: their acknowledgement number. */
  request(end: number, ack: number): void {
    if (this.state !== UNDECIDED) return;
    this.asked = { end, ack };
    this.lookForAnswer();
  }

  /** A command was captured. */
  expect(command: number): void {
    this.answers?.expect(command);
  }

  /** The same of COM_CHANGE_USER. `slot`: the era that it begins. */
  expectUser(user: string, slot: number): void {
    if (this.isTrusted) return;
    if (this.changes.size === MOST_CHANGES) this.lose();
    if (this.changes.size < MOST_CHANGES) this.changes.set(slot, this.users.has(user) ? ADMITTED : UNDECIDED);
    this.answers?.expect(COM_CHANGE_USER, slot, user);
  }

  /** Bytes of either side are missing, or not understood: which answer is whose cannot be told any more. */
  lose(): void {
    this.answers = null;
    if (this.okAck !== null) this.stream.stop();
  }

  // The server.

  /** The number of its first byte is known. */
  begin(seq: number): void {
    if (!this.isTrusted) this.stream.begin(seq);
  }

  /** As `ProtocolSession.production`. `number`: of the first packet, or frame, of an answer; `algorithm`: of the session. */
  take(
    bytes: Uint8Array,
    from: number,
    to: number,
    missing: number,
    seq: number,
    ack: number,
    number: number,
    algorithm: Algorithm | null,
  ): void {
    if (this.isTrusted) return;
    this.stream.take(bytes, from, to, missing, seq, ack);
    if (this.state !== UNDECIDED || !mayAnswer(bytes, from, to, missing, number, algorithm)) return;
    this.candidate = { seq, ack };
    this.lookForAnswer();
  }

  endAt(seq: number): void {
    if (!this.isTrusted) this.stream.endAt(seq);
  }

  private takeEnd(): void {
    if (this.state === UNDECIDED && this.okAck === null) this.decide(REFUSED);
  }

  private takeStream(bytes: Uint8Array, from: number, to: number, missing: number, ack: number): void {
    this.ack = ack;
    if (this.okAck !== null) {
      if (!this.answers?.take(bytes, from, to, missing)) this.lose();
      return;
    }
    this.packets.take(bytes, from, to);
    if (!this.packets.pass(missing)) this.stream.stop();
    // Where the answers begin is known only if the OK of the login ends its segment.
    if (this.okAck !== null && (!this.packets.isBetween || missing > 0)) this.lose();
  }

  private takePacket(bytes: Uint8Array, from: number, to: number, length: number, sequence: number): void {
    if (this.okAck !== null) this.lose();
    if (this.okAck !== null || this.state === REFUSED) return;
    const first = length === 0 ? -1 : bytes[from]!;
    const step = (sequence - this.sequence) & 0xff;
    this.sequence = sequence;
    if (first === ERR) {
      this.decide(REFUSED);
      return;
    }
    if (!this.hasGreeted) {
      if (first !== VERSION_10 || sequence !== 0) {
        this.stream.stop();
        return;
      }
      this.takeGreeting(bytes, from, to);
      return;
    }
    // The numbers run through the packets of both sides, which take turns; the server may send two in a row.
    if (step !== 1 && step !== 2) {
      this.stream.stop();
      return;
    }
    if (first !== OK) return;
    this.okAck = this.ack;
    this.takeOk();
  }

  private takeGreeting(bytes: Uint8Array, from: number, to: number): void {
    this.hasGreeted = true;
    // That of the client's login.
    this.sequence = 1;
    this.packets.most = MOST_READ;
    try {
      this.greeting = readGreeting(bytes, from, to);
    } catch (error) {
      // It decides nothing.
      if (!(error instanceof Malformed)) throw error;
    }
    this.onDecided();
  }

  /** Production's OK admits the login that it acknowledges. */
  private takeOk(): void {
    if (this.login === null || this.okAck === null || this.state !== UNDECIDED) return;
    if (((this.okAck - this.loginEnd) | 0) < 0) return;
    this.users.add(this.login.user);
    if (!this.greeting || !this.answers?.begin(this.login, this.greeting)) this.lose();
    this.decide(ADMITTED);
  }

  private takeChange(slot: number, user: string, isAdmitted: boolean): void {
    if (isAdmitted) this.users.add(user);
    if (this.changes.has(slot)) this.changes.set(slot, isAdmitted ? ADMITTED : REFUSED);
    this.account.count(isAdmitted ? "admitted" : "refusedOnline");
    this.onDecided();
  }

  /**
   * For sessions of which the server's stream is not known from its first byte, or has a gap: its answer to a command tells that the
   * client is let in.
   */
  private lookForAnswer(): void {
    const { asked, candidate } = this;
    if (!asked || !candidate || this.state !== UNDECIDED) return;
    if (this.stream.isBegun && !this.stream.hasGap) return;
    if (candidate.seq !== asked.ack || ((candidate.ack - asked.end) | 0) < 0) return;
    this.stream.stop();
    this.decide(ADMITTED);
  }

  private decide(state: Login): void {
    this.state = state;
    if (state === REFUSED) this.stream.stop();
    if (!this.isCounted) this.account.count(state === ADMITTED ? "admitted" : "refusedOnline");
    this.isCounted = true;
    this.onDecided();
  }

  /** What production said is not known, and will not be waited for: counts that once. */
  giveUp(): void {
    if (this.state === ADMITTED) {
      this.account.count("undecided");
      this.account.note(
        "undecided change",
        "whether production let a MySQL client become another user (COM_CHANGE_USER) is not known, because not all that it sent before was captured (of large results only the beginning is): the session is not copied on. Give --trust-logins to let everybody in.",
      );
      return;
    }
    if (this.isCounted) return;
    this.isCounted = true;
    this.account.count("undecided");
    this.account.note(
      "undecided",
      "whether production let a MySQL client in is not known, because its response was not captured: what the client sent is left out. Capture the interfaces by which the responses leave too (-i), record them too (xcopy record --both), or give --trust-logins to let everybody in.",
    );
  }

  /** The session is over. */
  close(): void {
    if (this.state === UNDECIDED && this.login !== null) this.giveUp();
  }
}

/**
 * Whether a segment may begin the answer to a command of a client that is let in. A server tells others only greetings and errors,
 * of which the client can make a segment begin anywhere, and an error names the user: so what would be packets there must follow
 * each other to the end of the segment, the third byte of the first length is 0, and its number is that of an answer.
 */
function mayAnswer(
  bytes: Uint8Array,
  from: number,
  to: number,
  missing: number,
  number: number,
  algorithm: Algorithm | null,
): boolean {
  if (to - from <= HEADER || bytes[from + 3] !== number || number === 0) return false;
  if (algorithm === null) return arePackets(bytes, from, to, to + missing, number);
  const content = beginningOf(algorithm, bytes, from, to);
  return content !== null && arePackets(content, 0, content.length, Number.POSITIVE_INFINITY, 1);
}

/** `to`: the end of what was captured, `end`: of what there was. */
function arePackets(bytes: Uint8Array, from: number, to: number, end: number, number: number): boolean {
  if (to - from <= HEADER || bytes[from + 2] !== 0 || bytes[from + HEADER] === ERR) return false;
  let at = from + HEADER + integer24(bytes, from);
  if (at > end) return false;
  for (let next = number + 1; at + HEADER <= to; next++) {
    if (bytes[at + 3] !== (next & 0xff)) return false;
    at += HEADER + integer24(bytes, at);
  }
  return at >= to || end > to;
}
