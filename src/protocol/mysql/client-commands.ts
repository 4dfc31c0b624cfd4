/** Splits what the client sends into its login and commands, and queues the commands that are for the target. */
import type { Outlet } from "../module.ts";
import { kindOf, type Reason } from "./account.ts";
import { type Admission, admit, LongAdmission } from "./admission.ts";
import type { Common } from "./common.ts";
import type { Comparison } from "./comparison.ts";
import type { Gate } from "./gate.ts";
import { ClientPackets, type ClientSink } from "./packets/client-packets.ts";
import { type Algorithm, algorithmOf, Inflater, recognizeFrames } from "./packets/compression.ts";
import { COM_CHANGE_USER, COM_QUERY, isKnown, isOfStatement, LOCAL_DATA } from "./packets/constants.ts";
import { asksForTls, readChangeUser, readLogin } from "./packets/login.ts";
import { HEADER } from "./packets/packets.ts";
import { Malformed } from "./packets/reader.ts";
import { UNKNOWN } from "./pairs/naming.ts";
import type { SessionPairs } from "./pairs/session-pairs.ts";
import type { Production } from "./production.ts";
import type { SessionState } from "./state.ts";

/** Content type and major version of a TLS data record, by which TLS is recognized in a session older than xcopy. */
const TLS_DATA = 0x17;
const TLS_MAJOR = 3;

/** Payload bytes of a login: of the shortest (which asks for TLS), and more than of any with its attributes (64 KB at the most). */
const LEAST_LOGIN = 32;
const MOST_LOGIN = 1 << 17;

const NOTHING: Uint8Array = new Uint8Array(0);

export class ClientCommands implements ClientSink {
  private readonly client = new ClientPackets(this);
  /** Decompresses what the client sends; null: it does not compress, or its login is not over. */
  private inflater: Inflater | null = null;
  /** The client's compression after its login; null: none. */
  private algorithm: Algorithm | null = null;
  /** The first bytes of a packet or frame, too few to know which of them it is. */
  private opening = NOTHING;
  /** Sequence number of the next packet of the client's file, where it is compressed. */
  private fileNumber = 0;
  /** Neither a login nor a command was captured yet. */
  private isNew = true;
  /** The next packet is the first of the session, or bytes before it are missing. */
  private isAtStart = true;
  /** The client's bytes were not understood: they are ignored until the next turn. */
  private isLost = false;
  /** The rest of the current packet is queued. */
  private isSending = false;
  /** The name of the text that was captured last; only where pairs are made. */
  private lastName = "";
  /** The client's file is being captured. */
  private isInData = false;
  private lastCommand = 0;
  private time = 0;
  private ack = 0;
  /** The command that is being captured, if its text is too long to be judged at once. */
  private long: LongAdmission | null = null;
  /** By number: commands of the queue that are left out because of the end of their text. */
  private readonly refused = new Map<number, Reason>();

  /** Number of the byte after the client's login, if that is the first of its stream. */
  private loginEnd = 0;

  /** `onUser`: called when it is known as which user the session logs in. */
  constructor(
    private readonly common: Common,
    private readonly outlet: Outlet,
    private readonly state: SessionState,
    private readonly comparison: Comparison,
    private readonly production: Production,
    private readonly gate: Gate,
    private readonly pairs: SessionPairs | null,
    private readonly onUser: () => void,
  ) {}

  /** The compression between client and production now; null: none. */
  get compression(): Algorithm | null {
    return this.inflater?.algorithm ?? null;
  }

  /** The sequence number of the first packet of production's next answer, or of its first frame. */
  get answerNumber(): number {
    return ((this.inflater ?? this.client).number + 1) & 0xff;
  }

  /** Whether the command captured last must wait, because its text is not judged to its end yet. */
  get isJudging(): boolean {
    return this.long !== null;
  }

  /** Why a command of the queue is left out because of the end of its text, or null. The reason is removed. */
  refusalOf(number: number): Reason | null {
    const reason = this.refused.get(number) ?? null;
    if (reason !== null) this.refused.delete(number);
    return reason;
  }

  /** As `ProtocolSession.request`. */
  take(
    bytes: Uint8Array,
    from: number,
    to: number,
    isFresh: boolean,
    isTurn: boolean,
    time: number,
    seq: number,
    ack: number,
  ): void {
    if (isFresh && this.isNew) this.loginEnd = seq;
    if (isFresh || (this.isLost && isTurn)) {
      if (!this.isNew) {
        this.gate.lose();
        this.pairs?.online.lose();
      }
      if (isFresh) {
        // With the bytes the queue is gone, and what there was no memory for was never in it.
        this.comparison.forgetWaiting();
        this.refused.clear();
        this.pairs?.pairing.dropUnsent();
      }
      this.endText("not_judged");
      this.client.reset();
      this.inflater?.reset();
      this.opening = NOTHING;
      this.isAtStart = true;
      this.isLost = false;
      this.isInData = false;
    }
    if (this.isLost) return;
    this.time = time;
    this.ack = ack;
    if (isFresh && this.state.login === null) this.recognizeFrames(bytes, from, to);
    if (this.algorithm && !this.inflater && this.client.isBetween) {
      bytes = Buffer.concat([this.opening, bytes.subarray(from, to)]);
      this.opening = bytes.length < HEADER ? bytes : NOTHING;
      if (bytes.length < HEADER) return;
      [from, to] = [0, bytes.length];
      // Compression begins with the first command, whose number is 0; packets of the login have other numbers.
      if (bytes[3] === 0) this.inflater = new Inflater(this.algorithm);
    }
    if (this.inflater) this.inflater.take(bytes, from, to, (part) => this.client.take(part, 0, part.length));
    else this.client.take(bytes, from, to);
  }

  /** The session is older than xcopy: its compression is recognized from the client's bytes. */
  private recognizeFrames(bytes: Uint8Array, from: number, to: number): void {
    this.algorithm = recognizeFrames(bytes, from, to);
    if (this.algorithm) this.inflater = new Inflater(this.algorithm);
  }

  /** The first packet is a login or, in the middle of a session, a command: others are not waited for to their ends. */
  mayBegin(length: number, sequence: number): boolean {
    if (this.isLost) return false;
    if (!this.isAtStart || sequence === 0) return true;
    const isFirst = this.isNew && this.state.login === null;
    if (isFirst && sequence === 1 && length >= LEAST_LOGIN && length <= MOST_LOGIN) return true;
    this.isAtStart = false;
    if (isFirst) this.noteForeign();
    this.lose();
    return false;
  }

  packet(bytes: Uint8Array, at: number, known: number, length: number, sequence: number): void {
    if (this.isLost) return;
    const isAtStart = this.isAtStart;
    this.isAtStart = false;
    if (sequence === 0) {
      this.isInData = false;
      this.takeCommand(bytes, at, known, length, isAtStart);
    } else if (this.isNew && this.state.login === null) {
      this.takeLogin(bytes, at, known, length);
    } else if (isAtStart) {
      this.lose();
    } else if (this.lastCommand === COM_QUERY) {
      this.takeData(bytes, at, known, length);
    }
    // Other packets are the client's answers to production's authentication challenges.
  }

  rest(bytes: Uint8Array, from: number, to: number, payload: number, isEnd: boolean): void {
    this.long?.take(bytes, payload, to);
    if (this.isSending) this.outlet.write(bytes, from, to);
    if (isEnd && this.long) this.endText(this.long.end(this.state, this.common.config));
  }

  /** A long text has ended; `reason`: why it is left out, or null. */
  private endText(reason: Reason | null): void {
    const { long } = this;
    if (long === null) return;
    this.long = null;
    // The command may have been dropped for another reason before.
    if (reason !== null && this.comparison.waiting > 0) this.refused.set(long.number, reason);
    this.outlet.wake();
  }

  /** The client's bytes cannot be understood. */
  private lose(): void {
    this.isLost = true;
    this.isSending = false;
    this.gate.lose();
    this.pairs?.online.lose();
    this.common.account.count("notUnderstood");
    this.outlet.leaveOut();
  }

  private noteForeign(): void {
    this.common.account.note(
      "foreign",
      "the first packet of a client can be no MySQL login: connections like this are not copied. If they are not of MySQL, give --protocol PORT=none.",
    );
  }

  private takeLogin(bytes: Uint8Array, at: number, known: number, length: number): void {
    const [from, to] = [at + HEADER, at + HEADER + known];
    try {
      if (asksForTls(bytes, from, to)) {
        this.refuseTls();
        return;
      }
      this.state.login = readLogin(bytes, from, to);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      this.noteForeign();
      this.lose();
      return;
    }
    const { login } = this.state;
    this.isNew = false;
    this.isSending = false;
    this.state.database = login.database;
    this.state.captureDatabase(login.database);
    this.algorithm = algorithmOf(login.capabilities);
    this.pairs?.naming.takeCollation(login.charset);
    this.gate.takeLogin(login, (this.loginEnd + HEADER + length) | 0);
    this.onUser();
  }

  private refuseTls(): void {
    this.common.account.count("tls");
    this.common.account.note(
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
    if (this.state.login === null) this.beginInTheMiddle();
    this.isNew = false;
    this.lastCommand = command;
    const [from, to] = [at + HEADER, at + HEADER + known];
    const whole = known === length;
    const admission = this.admit(bytes, from, to, whole);
    if (admission === null) {
      this.lose();
      return;
    }
    const { reason, slot, prepared, text } = admission;
    if (command === COM_CHANGE_USER) {
      const { user, charset } = readChangeUser(bytes, from, to, this.state.login!.capabilities);
      this.gate.expectUser(user, slot);
      this.pairs?.naming.takeCollation(charset);
    } else this.gate.expect(command);
    const name = this.pairs === null ? "" : this.name(command, admission, bytes, to, whole);
    this.isSending = reason === null;
    if (reason !== null) {
      this.production.expect(command, -1, prepared, this.time);
      this.pair(command, -1, name);
      this.common.account.leftOut(reason);
      this.outlet.leaveOut();
      return;
    }
    const number = this.comparison.capture();
    if (!whole && text >= 0) {
      this.long = new LongAdmission(number, prepared);
      this.long.take(bytes, text, to);
    }
    this.production.expect(command, number, prepared, this.time);
    this.pair(command, number, name);
    this.outlet.begin(command | (slot << 8));
    this.outlet.write(bytes, at, to);
  }

  /** The name of a command in its pair. */
  private name(
    command: number,
    { reason, slot, prepared, text }: Admission,
    bytes: Uint8Array,
    to: number,
    whole: boolean,
  ): string {
    const { naming } = this.pairs!;
    if (text >= 0) {
      const name = naming.ofText(bytes, text, to, whole);
      if (prepared) prepared.name = name;
      this.lastName = name;
      return name;
    }
    if (!isOfStatement(command)) return naming.ofCommand(command);
    return reason === "unknown_statement" ? UNKNOWN : (this.state.statements.at(slot)?.name ?? UNKNOWN);
  }

  private pair(command: number, number: number, name: string): void {
    const { pairs, time, ack, compression } = this;
    pairs?.captured(command, number, kindOf(command), name, time, ack, compression);
  }

  /** As `admit`; null if the command is malformed. */
  private admit(bytes: Uint8Array, from: number, to: number, whole: boolean): Admission | null {
    try {
      return admit(this.state, this.common.config, bytes, from, to, whole);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      return null;
    }
  }

  /** The session is older than xcopy: it logs in as the user of the last captured login, else as the first configured user. */
  private beginInTheMiddle(): void {
    const { users, database } = this.common.config;
    const last = this.common.lastLogin;
    const user = last?.user ?? users[0]?.name ?? "";
    this.pairs?.naming.takeCollation(null);
    const own = database === "" ? (last?.database ?? new Uint8Array(0)) : new TextEncoder().encode(database);
    this.state.beginInTheMiddle(user, own);
    this.onUser();
  }

  /** Takes a packet of the client's file for LOAD DATA LOCAL INFILE; an empty packet is its end. */
  private takeData(bytes: Uint8Array, at: number, known: number, length: number): void {
    if (!this.isInData) {
      this.isInData = true;
      this.isSending = true;
      // 0 was the command, 1 the server's answer.
      this.fileNumber = 2;
      const number = this.comparison.capture();
      this.production.expect(LOCAL_DATA, number, undefined, this.time);
      this.pair(LOCAL_DATA, number, this.lastName);
      this.outlet.begin(LOCAL_DATA);
    }
    if (this.inflater) bytes[at + 3] = this.fileNumber++ & 0xff;
    this.outlet.write(bytes, at, at + HEADER + known);
    if (length === 0) this.isInData = false;
  }
}
