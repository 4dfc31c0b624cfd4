/** The intercept's end of one connection in xcopy's own protocol. */

import { randomBytes } from "node:crypto";
import type { Packet } from "../wire/packet.ts";
import { endOfPrefix, type Prefix, prefixOf, WHOLE } from "../wire/prefix.ts";
import {
  type CloseCode,
  CUT_OFF_TEXT,
  HANDSHAKE_SPAN,
  LATE_TEXT,
  type Refusal,
  readText,
  SPENT_TEXT,
  TAMPERED_TEXT,
  TEXTS,
  textBytes,
  versionText,
  writeRefusal,
} from "./close.ts";
import { FLOW_BYTES, type Peer, type PeerHandlers, type State } from "./contract.ts";
import type { FailedHandshakes } from "./failed-handshakes.ts";
import {
  ASK,
  BYE,
  COPY_HELLO,
  FACTS,
  FRAME_HEADER,
  FRAME_LIMIT,
  FrameReader,
  PING,
  PROOF,
  RANGES,
  READ_WHOLE,
  REGISTER,
  REGISTER_DATAGRAMS,
  SEALED,
  WELCOME,
  writeFrame,
  writeWhole,
} from "./frame.ts";
import {
  deriveKeys,
  HAS_KEY,
  type Hello,
  INSTANCE_BYTES,
  makeEphemeral,
  makeHello,
  NONCE_BYTES,
  PROTOCOL_VERSION,
  parseHello,
  READS_PAYLOAD,
} from "./hello.ts";
import { encodeJson, encodeWelcome, type Facts, readAsk, readRanges } from "./messages.ts";
import { Outgoing } from "./outgoing.ts";
import { addRecord } from "./record.ts";
import { REGISTRATION_BYTES } from "./registration.ts";
import { Opener, RECORD_LIMIT, Sealer } from "./seal.ts";

export interface PeerOptions {
  /** See ServerOptions. */
  key: Uint8Array | null;
  insecure: boolean;
  serves: (address: Uint8Array) => boolean;
  /** Bytes of responses that may wait for a slow reader. */
  outgoingBytes: number;
  failedHandshakes: FailedHandshakes;
  /** 32 bytes, new with each call. */
  nonce?: () => Uint8Array;
}

/** us without anything to send after which a PING is sent. */
export const PING_SPAN = 25_000;
/** Ring and front of a connection that is not open yet: a hello, a refusal. */
const HANDSHAKE_RING = 2048;
const HANDSHAKE_FRONT = 1024;
/** What only a copy that has the key may say. */
const REGISTRATIONS: readonly number[] = [REGISTER, REGISTER_DATAGRAMS, RANGES];
const EMPTY: Uint8Array = new Uint8Array(0);
const NO_INSTANCE = new Uint8Array(INSTANCE_BYTES);
const MALFORMED_HANDSHAKE = "the copy sent something that does not belong in a handshake";

export class ChannelPeer implements Peer {
  state: State = "handshake";
  unsupported = 0;
  readonly outgoing = new Outgoing(HANDSHAKE_RING, HANDSHAKE_FRONT);
  readonly #options: PeerOptions;
  readonly #address: Uint8Array;
  readonly #handlers: PeerHandlers;
  /** Reads what comes, and what was in the records of it. */
  readonly #reader: FrameReader;
  readonly #frames: FrameReader;
  /** Set once the copy's hello has arrived. */
  #copy: Hello | null = null;
  #sealer: Sealer | null = null;
  #opener: Opener | null = null;
  #readsPayload = false;
  /** Of each segment. */
  #prefix: Prefix = WHOLE;
  #deadline: number;
  #now: number;
  /** When something was last put into `outgoing`, as far as `advance` has seen. */
  #sentAt: number;
  #hasSent = false;

  /** For a connection just accepted from `address` (4 or 16 bytes). */
  constructor(options: PeerOptions, address: Uint8Array, handlers: PeerHandlers, now: number) {
    this.#options = options;
    this.#address = address;
    this.#handlers = handlers;
    this.#deadline = now + HANDSHAKE_SPAN;
    this.#now = now;
    this.#sentAt = now;
    this.#reader = new FrameReader(
      (type, bytes, view, from, to) => this.#take(type, bytes, view, from, to),
      (length, type) => this.#takeBroken(length, type),
    );
    this.#frames = new FrameReader(
      (type, bytes, _view, from, to) => this.#takeFrame(type, bytes, from, to),
      () => this.#close("malformed", "the copy sent something that is not a frame"),
      FRAME_LIMIT,
    );
  }

  feed(bytes: Uint8Array, from: number, to: number, now: number): void {
    if (this.state === "closed") return;
    this.#now = now;
    this.#reader.feed(bytes, from, to);
  }

  disconnected(why: string): void {
    if (this.state === "open" && this.#reader.isPartial) {
      this.#close("cut off", why === "" ? CUT_OFF_TEXT : `${CUT_OFF_TEXT}: ${why}`);
      return;
    }
    this.#close("ended", why === "" ? "the copy ended the connection" : why);
  }

  bye(text: string): void {
    if (this.state === "open") writeFrame(this.outgoing, BYE, textBytes(text));
    this.#close("stopped", text);
  }

  /** Makes room for newer handshakes. */
  crowdOut(): void {
    this.#close("crowded", "closed for newer connections before its handshake was done");
  }

  response(packet: Packet): boolean {
    if (this.state !== "open") return false;
    this.#hasSent = true;
    const { end } = packet;
    if (this.#readsPayload) packet.end = endOfPrefix(packet, this.#prefix);
    const isAdded = addRecord(this.outgoing, packet, this.#readsPayload);
    packet.end = end;
    if (isAdded) return true;
    this.unsupported++;
    return false;
  }

  facts(answer: Facts): boolean {
    if (this.state !== "open") return false;
    this.#hasSent = true;
    writeFrame(this.outgoing, FACTS, encodeJson(answer));
    return true;
  }

  advance(now: number): void {
    if (this.state === "handshake") {
      if (now >= this.#deadline) this.#fail("late", LATE_TEXT, now);
      return;
    }
    if (this.outgoing.isSpent) this.#close("stopped", SPENT_TEXT);
    if (this.#hasSent || !this.outgoing.isEmpty) {
      this.#hasSent = false;
      this.#sentAt = now;
    } else if (this.state === "open" && now - this.#sentAt >= PING_SPAN) {
      writeFrame(this.outgoing, PING, EMPTY, false);
      this.#sentAt = now;
    }
  }

  wait(now: number, limit: number): number {
    if (this.state === "closed") return limit;
    const due = this.state === "open" ? this.#sentAt + PING_SPAN : this.#deadline;
    return Math.min(limit, Math.max(0, due - now));
  }

  #close(code: CloseCode, text: string): void {
    if (this.state === "closed") return;
    this.state = "closed";
    this.#handlers.onClosed(code, text);
  }

  #refuse(code: Refusal, text: string): void {
    if (this.state === "closed") return;
    writeRefusal(this.outgoing, code, text);
    this.#close(code, text);
  }

  /** Closes without a refusal, and counts a failed handshake of the address. */
  #fail(code: CloseCode, text: string, now: number): void {
    this.#options.failedHandshakes.add(this.#address, now);
    this.#close(code, text);
  }

  #takeBroken(length: number, type: number): void {
    if (this.state === "open") this.#close("tampered", TAMPERED_TEXT);
    else if (this.#copy) this.#fail("malformed", MALFORMED_HANDSHAKE, this.#now);
    // The hello of tcpcopy 1.x: all zero but its version.
    else if (length === 0 && type > 0 && type < 256) {
      this.#close(
        "other protocol",
        "the other side is a tcpcopy 1.x; start the intercept with --compat for it",
      );
    } else this.#fail("stranger", "the other side is not a copy of xcopy", this.#now);
  }

  /** Takes one frame of what comes: the copy's hello, or a record; returns whether more are wanted. */
  #take(type: number, bytes: Uint8Array, view: DataView, from: number, to: number): boolean {
    if (this.#opener === null) this.#takeHello(type, bytes, view, from, to);
    else if (type === SEALED) this.#takeRecord(this.#opener, bytes, from, to);
    else if (this.state === "open") this.#close("tampered", TAMPERED_TEXT);
    else this.#fail("malformed", MALFORMED_HANDSHAKE, this.#now);
    return this.state !== "closed";
  }

  #takeHello(type: number, bytes: Uint8Array, view: DataView, from: number, to: number): void {
    const { key, failedHandshakes, nonce } = this.#options;
    const hello = type === COPY_HELLO ? parseHello(view, from, to) : null;
    if (hello === null) {
      this.#fail("stranger", "the other side is not a copy of xcopy", this.#now);
      return;
    }
    const hasKey = (hello.features & HAS_KEY) !== 0;
    if (failedHandshakes.areTooMany(this.#address, this.#now)) {
      this.#refuse("limited", TEXTS.limited);
    } else if (hello.version !== PROTOCOL_VERSION) {
      this.#refuse("version", versionText(hello.version, PROTOCOL_VERSION));
    } else if (hasKey !== (key !== null)) {
      const code = hasKey ? "intercept without key" : "copy without key";
      this.#refuse(code, TEXTS[code]);
    } else if (!key && !this.#options.insecure) {
      this.#refuse("other protocol", "this intercept has no key, and serves tcpcopy 1.x only (--compat)");
    } else {
      const ephemeral = makeEphemeral();
      const random = nonce ? nonce() : randomBytes(NONCE_BYTES);
      const ours = makeHello("intercept", key ? HAS_KEY : 0, NO_INSTANCE, random, ephemeral.publicKey);
      const whole = bytes.subarray(from - FRAME_HEADER, to);
      const keys = deriveKeys(key, ephemeral, hello.publicKey, whole, ours);
      if (keys === null) {
        this.#fail("malformed", MALFORMED_HANDSHAKE, this.#now);
        return;
      }
      this.#copy = hello;
      this.#sealer = new Sealer(keys.intercept);
      this.#opener = new Opener(keys.copy);
      writeWhole(this.outgoing, ours);
    }
  }

  #takeRecord(opener: Opener, bytes: Uint8Array, from: number, to: number): void {
    const frames = opener.open(bytes, from, to);
    if (frames === null) {
      this.#takeUnsealed();
      return;
    }
    this.#frames.feed(frames, 0, frames.length);
    if (this.#frames.isPartial) this.#close("malformed", "the copy sent a record that ends in a frame");
  }

  /** A record could not be opened. */
  #takeUnsealed(): void {
    if (this.state === "open") {
      this.#close("tampered", TAMPERED_TEXT);
    } else if (this.#options.key === null) {
      this.#fail("tampered", TAMPERED_TEXT, this.#now);
    } else {
      this.#options.failedHandshakes.add(this.#address, this.#now);
      this.#refuse("wrong key", TEXTS["wrong key"]);
    }
  }

  /** Takes one frame of a record; returns whether more are wanted. */
  #takeFrame(type: number, bytes: Uint8Array, from: number, to: number): boolean {
    if (this.state === "open") this.#takeOpen(type, bytes, from, to);
    else if (type === PROOF) this.#admit(this.#copy!);
    else this.#fail("malformed", MALFORMED_HANDSHAKE, this.#now);
    return this.state === "open";
  }

  #admit({ instance, version, features, prefix: word }: Hello): void {
    const authenticated = this.#options.key !== null;
    const readsPayload = (features & READS_PAYLOAD) !== 0;
    const prefix = word === 0 ? WHOLE : prefixOf(word);
    // From here on, the reason why it is not admitted included, only the copy reads what is said.
    this.outgoing.sealWith(this.#sealer!);
    const welcome = this.#handlers.admit({
      instance,
      version,
      authenticated,
      ...(readsPayload ? { readsPayload, prefix } : {}),
    });
    if (typeof welcome === "string") {
      this.#refuse("full", welcome);
      return;
    }
    this.#readsPayload = readsPayload;
    this.#prefix = prefix;
    this.outgoing.expand(this.#options.outgoingBytes);
    this.#reader.limit = RECORD_LIMIT;
    this.state = "open";
    this.#hasSent = true;
    writeFrame(this.outgoing, WELCOME, encodeWelcome(welcome, authenticated));
  }

  #takeOpen(type: number, bytes: Uint8Array, from: number, to: number): void {
    const handlers = this.#handlers;
    if (this.#options.key === null && REGISTRATIONS.includes(type)) {
      this.#refuse("registration", TEXTS.registration);
    } else if (type === READ_WHOLE) {
      this.#prefix = WHOLE;
      handlers.onReadWhole?.();
    } else if (type === REGISTER || type === REGISTER_DATAGRAMS) {
      const count = (to - from) / (type === REGISTER ? REGISTRATION_BYTES : FLOW_BYTES);
      if (!Number.isInteger(count)) this.#close("malformed", "the copy sent a flow that is cut off");
      else if (type === REGISTER) handlers.onRegister(bytes, from, count);
      else handlers.onRegisterDatagrams?.(bytes, from, count);
    } else if (type === RANGES) {
      const ranges = readRanges(bytes, from, to);
      if (ranges) handlers.onRanges(ranges);
      else this.#close("malformed", "the copy sent address ranges that cannot be read");
    } else if (type === ASK) {
      const question = readAsk(bytes, from, to);
      if (question) handlers.onAsk(question);
      else this.#close("malformed", "the copy sent a question that cannot be read");
    } else if (type === BYE) this.#close("bye", readText(bytes, from, to));
    else this.#close("malformed", `the copy sent a frame of the unknown type ${type}`);
  }
}
