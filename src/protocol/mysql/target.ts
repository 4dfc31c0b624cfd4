/**
 * The connection to the target: greeting, login, restoring the session's state, then the answers to commands. It knows
 * nothing of the client.
 */
import type { Account } from "./account.ts";
import { Answer, LOOK, LOOK_AT_MESSAGES, status } from "./packets/answer.ts";
import { ED25519 } from "./packets/auth.ts";
import { type Algorithm, algorithmOf, frame, Inflater } from "./packets/compression.ts";
import {
  CLIENT_DEPRECATE_EOF,
  COM_QUERY,
  COM_STMT_PREPARE,
  ERR,
  MARIADB_CACHE_METADATA,
} from "./packets/constants.ts";
import { Exchange, refusal } from "./packets/exchange.ts";
import { type Greeting, readGreeting } from "./packets/greeting.ts";
import { agree, agreeMariadb, type Login, writeLogin } from "./packets/login.ts";
import { HEADER, PacketStream } from "./packets/packets.ts";
import { Malformed, Reader } from "./packets/reader.ts";
import { Writer } from "./packets/writer.ts";
import { NO_MESSAGE } from "./pairs/half.ts";
import { messageOf } from "./sql/message.ts";
import type { Statement } from "./statements.ts";

/** Most payload bytes of a packet before the login is done; of longer ones only the beginning is read. */
const LONGEST_HANDSHAKE = 4096;

export const AWAY = 0;
export const AWAITS_GREETING = 1;
/** The target has greeted; the client's login is not known yet. */
export const GREETED = 2;
export const LOGGING_IN = 3;
export const RESTORING = 4;
export const READY = 5;

/** What a new connection must restore before the next command: a text for COM_QUERY, or a statement to be prepared. */
export type Restored = Uint8Array | Statement;

export interface TargetHandlers {
  send(packet: Uint8Array): void;
  onGreeting(): void;
  onLogin(): void;
  /** The login, or the connection, was refused: `text` says why. */
  onRefused(text: string, code: number, isLogin: boolean): void;
  onReady(): void;
  /** The answer to a command has begun. */
  onAnswer(time: number): void;
  /** The answer has ended, or asks for the client's file. */
  onProgress(time: number): void;
  /** The login, or a COM_CHANGE_USER, has ended with these status flags. Only if `isDetailed`. */
  onStatus(flags: number): void;
}

export class TargetConnection {
  state = AWAY;
  greeting: Greeting | null = null;
  capabilities = 0;
  mariadb = 0;
  readonly answer = new Answer();
  /** Sequence number of the target's last packet. */
  sequence = 0;
  private hasEofs = true;
  private cachesMetadata = false;
  /** Decompresses what the target sends after the login; null: no compression. */
  private inflater: Inflater | null = null;
  private exchange: Exchange | null = null;
  /** The challenge that COM_CHANGE_USER answers: the last one of the connection, except those of ed25519. */
  private scramble: Uint8Array = new Uint8Array(0);
  private isChangingUser = false;
  private restores: Restored[] = [];
  private time = 0;
  private hasBegun = false;
  /** If `isDetailed`: bytes of the answer so far; the message of its error, without literals, and whether it is all of it. */
  size = 0;
  message: Uint8Array = NO_MESSAGE;
  isMessageWhole = true;
  private readonly packets = new PacketStream(LONGEST_HANDSHAKE, (bytes, from, to, length, sequence) =>
    this.takePacket(bytes, from, to, length, sequence),
  );

  /** `isDetailed`: what `size` and `message` say is wanted. */
  constructor(
    private readonly account: Account,
    private readonly handlers: TargetHandlers,
    private readonly isDetailed: boolean,
  ) {}

  connected(): void {
    this.packets.reset();
    this.packets.most = LONGEST_HANDSHAKE;
    this.greeting = null;
    this.inflater = null;
    this.state = AWAITS_GREETING;
  }

  disconnected(): void {
    this.state = AWAY;
    this.exchange = null;
    this.isChangingUser = false;
    this.restores = [];
    this.answer.forget();
  }

  /** Logs in as `user`; afterwards `restores` are sent. */
  logIn(
    login: Login,
    user: string,
    password: string,
    anyPassword: boolean,
    database: Uint8Array,
    restores: Restored[],
  ): void {
    const greeting = this.greeting!;
    this.capabilities = agree(login, greeting);
    this.hasEofs = !(this.capabilities & CLIENT_DEPRECATE_EOF);
    this.mariadb = agreeMariadb(login, greeting);
    this.cachesMetadata = (this.mariadb & MARIADB_CACHE_METADATA) !== 0;
    this.exchange = new Exchange(greeting.plugin, greeting.scramble, password, anyPassword);
    this.restores = restores;
    this.state = LOGGING_IN;
    const { plugin } = this.exchange;
    const first = this.exchange.first();
    this.handlers.send(writeLogin(login, greeting, user, database, plugin, first, this.sequence + 1));
  }

  /** Begins the authentication exchange of a COM_CHANGE_USER, which the caller sends. */
  changeUser(password: string, anyPassword: boolean): Exchange {
    this.exchange = new Exchange(this.greeting!.plugin, this.scramble, password, anyPassword);
    this.isChangingUser = true;
    this.packets.most = LONGEST_HANDSHAKE;
    return this.exchange;
  }

  /** The compression of this connection; null: none. */
  get compression(): Algorithm | null {
    return this.inflater?.algorithm ?? null;
  }

  /** The number of a frame that answers the target's last frame. */
  get answerNumber(): number {
    return (this.inflater?.number ?? 0) + 1;
  }

  /** Sends a packet of our own: a command, or an answer to the target's last packet. */
  private sendOwn(packet: Uint8Array, isCommand: boolean): void {
    const { compression } = this;
    const number = isCommand ? 0 : this.answerNumber;
    this.handlers.send(compression ? frame(compression, packet, 0, packet.length, number) : packet);
  }

  /** Sends an empty file: the target asks for one that the client has not sent. */
  endData(): void {
    this.answer.endData();
    this.sendOwn(new Writer().packet(this.sequence + 1), false);
  }

  /** A command that has an answer is sent. */
  begin(command: number): void {
    this.answer.begin(command);
    this.hasBegun = false;
    this.beginSize();
  }

  /** The client's file is sent. */
  takeFile(): void {
    this.answer.endData();
    this.beginSize();
  }

  private beginSize(): void {
    this.size = 0;
    this.message = NO_MESSAGE;
    this.isMessageWhole = true;
    this.packets.continued = 0;
  }

  /** Bytes of the answer, of all its packets. */
  get answerSize(): number {
    return this.size + this.packets.continued;
  }

  /** Takes bytes of the target; false if `missing` bytes after them make it impossible to find the next packet. */
  take(bytes: Uint8Array, from: number, to: number, missing: number, time: number): boolean {
    this.time = time;
    if (this.inflater) {
      this.inflater.take(bytes, from, to, (part) => this.packets.take(part, 0, part.length));
      return missing === 0;
    }
    this.packets.take(bytes, from, to);
    return this.packets.pass(missing);
  }

  private takePacket(bytes: Uint8Array, from: number, to: number, length: number, sequence: number): void {
    this.sequence = sequence;
    switch (this.state) {
      case AWAITS_GREETING:
        this.takeGreeting(bytes, from, to);
        return;
      case LOGGING_IN:
        this.takeExchange(bytes, from, to, sequence);
        return;
      case RESTORING:
      case READY:
        if (!this.answer.isOpen) {
          // An error without a command: why the target closes the connection (a time-out, a shutdown).
          if (length > 0 && bytes[from] === ERR) this.account.count("errorsAtTarget");
          return;
        }
        this.takeAnswer(bytes, from, to, length, sequence);
    }
  }

  private takeGreeting(bytes: Uint8Array, from: number, to: number): void {
    const reader = new Reader(bytes, from, to);
    if (reader.left > 0 && reader.integer(1) === ERR) {
      const { refused, code } = refusal(reader);
      this.handlers.onRefused(refused, code, false);
      return;
    }
    try {
      this.greeting = readGreeting(bytes, from, to);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      this.handlers.onRefused("its first packet is not a MySQL greeting", 0, false);
      return;
    }
    this.scramble = this.greeting.scramble;
    this.state = GREETED;
    this.handlers.onGreeting();
  }

  private takeExchange(bytes: Uint8Array, from: number, to: number, sequence: number): boolean {
    const step = this.exchange!.take(bytes, from, to, sequence);
    if (step === "wait") return false;
    if (step === "ok") {
      this.packets.most = this.isDetailed ? LOOK_AT_MESSAGES : LOOK;
      if (this.isDetailed) this.handlers.onStatus(status(bytes, from, to, false));
      if (this.exchange!.plugin !== ED25519) this.scramble = this.exchange!.scramble;
      this.exchange = null;
      if (this.state === LOGGING_IN) {
        const algorithm = algorithmOf(this.capabilities);
        if (algorithm) this.inflater = new Inflater(algorithm);
        this.state = RESTORING;
        this.handlers.onLogin();
        this.restoreNext();
      }
      return true;
    }
    if ("send" in step) {
      this.sendOwn(step.send, false);
      return false;
    }
    this.handlers.onRefused(step.refused, step.code, true);
    return true;
  }

  private takeAnswer(bytes: Uint8Array, from: number, to: number, length: number, sequence: number): void {
    if (!this.hasBegun) {
      this.hasBegun = true;
      if (this.state === READY) this.handlers.onAnswer(this.time);
    }
    if (this.isDetailed) this.measure(bytes, from, to, length);
    if (this.isChangingUser) {
      if (!this.takeExchange(bytes, from, to, sequence)) return;
      this.isChangingUser = false;
    }
    const progress = this.answer.take(bytes, from, to, length, this.hasEofs, this.cachesMetadata);
    if (progress === "more") return;
    if (this.state === READY) {
      this.handlers.onProgress(this.time);
      return;
    }
    if (progress === "data wanted") {
      this.endData();
      return;
    }
    this.endRestore();
    this.restoreNext();
  }

  private measure(bytes: Uint8Array, from: number, to: number, length: number): void {
    this.size += HEADER + length;
    if (length === 0 || bytes[from] !== ERR) return;
    this.isMessageWhole = to - from === length;
    this.message = messageOf(bytes, from, to, this.isMessageWhole);
  }

  private restoreNext(): void {
    const next = this.restores[0];
    if (next === undefined) {
      this.state = READY;
      this.handlers.onReady();
      return;
    }
    const [command, text] =
      next instanceof Uint8Array ? [COM_QUERY, next] : [COM_STMT_PREPARE, next.text.bytes];
    this.begin(command);
    this.sendOwn(new Writer().integer(command, 1).put(text).packet(0), true);
  }

  private endRestore(): void {
    const done = this.restores.shift()!;
    if (this.answer.isError) {
      this.account.count("notRestored");
      return;
    }
    if (done instanceof Uint8Array) {
      this.account.count("restoredVariables");
      return;
    }
    this.account.count("restoredStatements");
    done.target = this.answer.statement;
    done.parameters = this.answer.parameters;
    done.needsTypes = true;
  }
}
