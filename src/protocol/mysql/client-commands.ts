/** What the client sends, taken apart into its login and commands; those that are for the target are queued. */
import type { Outlet } from "../module.ts";
import type { Reason } from "./account.ts";
import { type Admission, admit, LongAdmission } from "./admission.ts";
import type { Common } from "./common.ts";
import type { Comparison } from "./comparison.ts";
import { ClientPackets, type ClientSink } from "./packets/client-packets.ts";
import { type Algorithm, algorithmOf, Inflater, recognizeFrames } from "./packets/compression.ts";
import { COM_QUERY, isKnown, LOCAL_DATA } from "./packets/constants.ts";
import { asksForTls, readLogin } from "./packets/login.ts";
import { HEADER } from "./packets/packets.ts";
import { Malformed } from "./packets/reader.ts";
import type { Production } from "./production.ts";
import type { SessionState } from "./state.ts";

/** TLS records of data and their versions, where a session is seen from its middle. */
const TLS_DATA = 0x17;
const TLS_MAJOR = 3;

const NOTHING: Uint8Array = new Uint8Array(0);

export class ClientCommands implements ClientSink {
  private readonly client = new ClientPackets(this);
  /** Null: the client does not compress, or its login is not over. */
  private inflater: Inflater | null = null;
  /** What the client compresses with behind its login. */
  private algorithm: Algorithm | null = null;
  /** The first bytes of a packet of which it is not known yet whether it is compressed. */
  private opening = NOTHING;
  /** Sequence number of the next packet of the client's file, where it is compressed. */
  private fileNumber = 0;
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
  /** The command that is being captured, whose text is judged to its end. */
  private long: LongAdmission | null = null;
  /** Commands of the queue, by their numbers, whose ends have shown that they are not for the target. */
  private readonly refused = new Map<number, Reason>();

  /** `onUser`: it is known now as whom the session logs in. */
  constructor(
    private readonly common: Common,
    private readonly outlet: Outlet,
    private readonly state: SessionState,
    private readonly comparison: Comparison,
    private readonly production: Production,
    private readonly onUser: () => void,
  ) {}

  /** What client and production compress with now. */
  get compression(): Algorithm | null {
    return this.inflater?.algorithm ?? null;
  }

  /** The number that the first packet of production's next answer has, or its first frame. */
  get answerNumber(): number {
    return ((this.inflater ?? this.client).number + 1) & 0xff;
  }

  /** Whether the command that was captured last may not be sent yet, because all of its text tells what it is. */
  get isJudging(): boolean {
    return this.long !== null;
  }

  /** Why a command of the queue is left out after all, or null. It is forgotten then. */
  refusalOf(number: number): Reason | null {
    const reason = this.refused.get(number) ?? null;
    if (reason !== null) this.refused.delete(number);
    return reason;
  }

  /** As `ProtocolSession.request`. */
  take(bytes: Uint8Array, from: number, to: number, isFresh: boolean, isTurn: boolean, time: number): void {
    if (isFresh || (this.isLost && isTurn)) {
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
    if (isFresh && this.state.login === null) this.recognizeFrames(bytes, from, to);
    if (this.algorithm && !this.inflater && this.client.isBetween) {
      bytes = Buffer.concat([this.opening, bytes.subarray(from, to)]);
      this.opening = bytes.length < HEADER ? bytes : NOTHING;
      if (bytes.length < HEADER) return;
      [from, to] = [0, bytes.length];
      // Compression begins with the first command: what belongs to the login has other numbers.
      if (bytes[3] === 0) this.inflater = new Inflater(this.algorithm);
    }
    if (this.inflater) this.inflater.take(bytes, from, to, (part) => this.client.take(part, 0, part.length));
    else this.client.take(bytes, from, to);
  }

  /** The session is older than xcopy: that its client compresses is seen from what it sends. */
  private recognizeFrames(bytes: Uint8Array, from: number, to: number): void {
    this.algorithm = recognizeFrames(bytes, from, to);
    if (this.algorithm) this.inflater = new Inflater(this.algorithm);
  }

  packet(bytes: Uint8Array, at: number, known: number, length: number, sequence: number): void {
    if (this.isLost) return;
    const isAtStart = this.isAtStart;
    this.isAtStart = false;
    if (sequence === 0) {
      this.isInData = false;
      this.takeCommand(bytes, at, known, length, isAtStart);
    } else if (this.isNew && this.state.login === null) {
      this.takeLogin(bytes, at, known);
    } else if (isAtStart) {
      this.lose();
    } else if (this.lastCommand === COM_QUERY) {
      this.takeData(bytes, at, known, length);
    }
    // All else is what the client answers to production's challenge.
  }

  rest(bytes: Uint8Array, from: number, to: number, payload: number, isEnd: boolean): void {
    this.long?.take(bytes, payload, to);
    if (this.isSending) this.outlet.write(bytes, from, to);
    if (isEnd && this.long) this.endText(this.long.end(this.state, this.common.config));
  }

  /** Nothing more comes of a text that was being judged. */
  private endText(reason: Reason | null): void {
    const { long } = this;
    if (long === null) return;
    this.long = null;
    // It may have been dropped for another reason.
    if (reason !== null && this.comparison.waiting > 0) this.refused.set(long.number, reason);
    this.outlet.wake();
  }

  private lose(): void {
    this.isLost = true;
    this.isSending = false;
    this.common.account.count("notUnderstood");
    this.outlet.leaveOut();
  }

  private takeLogin(bytes: Uint8Array, at: number, known: number): void {
    const [from, to] = [at + HEADER, at + HEADER + known];
    try {
      if (asksForTls(bytes, from, to)) {
        this.refuseTls();
        return;
      }
      this.state.login = readLogin(bytes, from, to);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      this.lose();
      return;
    }
    const { login } = this.state;
    this.isNew = false;
    this.isSending = false;
    this.state.database = login.database;
    this.state.captureDatabase(login.database);
    this.common.lastLogin = login;
    this.algorithm = algorithmOf(login.capabilities);
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
    this.isSending = reason === null;
    if (reason !== null) {
      this.production.expect(command, -1, prepared, this.time);
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
    this.outlet.begin(command | (slot << 8));
    this.outlet.write(bytes, at, to);
  }

  /** As `admit`; null for a command that is none. */
  private admit(bytes: Uint8Array, from: number, to: number, whole: boolean): Admission | null {
    try {
      return admit(this.state, this.common.config, bytes, from, to, whole);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      return null;
    }
  }

  /** The session began before we did: it logs in with what is known. */
  private beginInTheMiddle(): void {
    const { users, database } = this.common.config;
    const last = this.common.lastLogin;
    const user = last?.user ?? users[0]?.name ?? "";
    const own = database === "" ? (last?.database ?? new Uint8Array(0)) : new TextEncoder().encode(database);
    this.state.beginInTheMiddle(user, own);
    this.onUser();
  }

  /** What the client sends for LOAD DATA LOCAL INFILE; an empty packet is its end. */
  private takeData(bytes: Uint8Array, at: number, known: number, length: number): void {
    if (!this.isInData) {
      this.isInData = true;
      this.isSending = true;
      // Behind the command and what the server said to it.
      this.fileNumber = 2;
      this.production.expect(LOCAL_DATA, this.comparison.capture(), undefined, this.time);
      this.outlet.begin(LOCAL_DATA);
    }
    if (this.inflater) bytes[at + 3] = this.fileNumber++ & 0xff;
    this.outlet.write(bytes, at, at + HEADER + known);
    if (length === 0) this.isInData = false;
  }
}
