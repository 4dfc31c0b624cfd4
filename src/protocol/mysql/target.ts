/**
 * The connection to the target: greeting, login, what is to be restored, then the answers to commands. It knows nothing of
 * the client.
 */
import type { Account } from "./account.ts";
import { Answer, LOOK } from "./answer.ts";
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
import { PacketStream } from "./packets/packets.ts";
import { Malformed, Reader } from "./packets/reader.ts";
import { Writer } from "./packets/writer.ts";
import type { Statement } from "./statements.ts";

/** Of a packet before the login is done. */
const LONGEST_HANDSHAKE = 4096;

export const AWAY = 0;
export const AWAITS_GREETING = 1;
/** It has greeted, and waits for the client to log in. */
export const GREETED = 2;
export const LOGGING_IN = 3;
export const RESTORING = 4;
export const READY = 5;

/** Something to be sent before the session can go on: a text as COM_QUERY, or a statement to be prepared. */
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
  /** It has ended, or wants the client's data. */
  onProgress(): void;
}

export class TargetConnection {
  state = AWAY;
  greeting: Greeting | null = null;
  capabilities = 0;
  readonly answer = new Answer();
  /** Sequence number of the packet that came last. */
  sequence = 0;
  private hasEofs = true;
  private cachesMetadata = false;
  /** What both sides compress with, once the login is over. */
  private inflater: Inflater | null = null;
  private exchange: Exchange | null = null;
  /** The challenge that COM_CHANGE_USER answers at first: the last one of a plugin that has it from the connection. */
  private scramble: Uint8Array = new Uint8Array(0);
  private isChangingUser = false;
  private restores: Restored[] = [];
  private time = 0;
  private hasBegun = false;
  private readonly packets = new PacketStream(LONGEST_HANDSHAKE, (bytes, from, to, length, sequence) =>
    this.takePacket(bytes, from, to, length, sequence),
  );

  constructor(
    private readonly account: Account,
    private readonly handlers: TargetHandlers,
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
    this.cachesMetadata = (agreeMariadb(login, greeting) & MARIADB_CACHE_METADATA) !== 0;
    this.exchange = new Exchange(greeting.plugin, greeting.scramble, password, anyPassword);
    this.restores = restores;
    this.state = LOGGING_IN;
    const { plugin } = this.exchange;
    const first = this.exchange.first();
    this.handlers.send(writeLogin(login, greeting, user, database, plugin, first, this.sequence + 1));
  }

  /** A new exchange, for COM_CHANGE_USER, which the caller sends. */
  changeUser(password: string, anyPassword: boolean): Exchange {
    this.exchange = new Exchange(this.greeting!.plugin, this.scramble, password, anyPassword);
    this.isChangingUser = true;
    this.packets.most = LONGEST_HANDSHAKE;
    return this.exchange;
  }

  /** What commands are compressed with on this connection; null: nothing. */
  get compression(): Algorithm | null {
    return this.inflater?.algorithm ?? null;
  }

  /** The number of a frame that is said to what the target has sent last. */
  get answerNumber(): number {
    return (this.inflater?.number ?? 0) + 1;
  }

  /** Sends a packet of our own: a command, or what is said to what the target has sent last. */
  private say(packet: Uint8Array, isCommand: boolean): void {
    const { compression } = this;
    const number = isCommand ? 0 : this.answerNumber;
    this.handlers.send(compression ? frame(compression, packet, 0, packet.length, number) : packet);
  }

  /** The target wants a file that there is none of: it gets an empty one. */
  endData(): void {
    this.answer.endData();
    this.say(new Writer().packet(this.sequence + 1), false);
  }

  /** A command was sent that has an answer. */
  begin(command: number): void {
    this.answer.begin(command);
    this.hasBegun = false;
  }

  /** Takes what the target sends; false if it cannot be followed. */
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
          // Nobody asked: the target says why it closes (a time-out, a shutdown).
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
      this.handlers.onRefused("it does not greet as MySQL does", 0, false);
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
      this.packets.most = LOOK;
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
      this.say(step.send, false);
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
    if (this.isChangingUser) {
      if (!this.takeExchange(bytes, from, to, sequence)) return;
      this.isChangingUser = false;
    }
    const progress = this.answer.take(bytes, from, to, length, this.hasEofs, this.cachesMetadata);
    if (progress === "more") return;
    if (this.state === READY) {
      this.handlers.onProgress();
      return;
    }
    if (progress === "data wanted") {
      this.endData();
      return;
    }
    this.endRestore();
    this.restoreNext();
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
    this.say(new Writer().integer(command, 1).put(text).packet(0), true);
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
