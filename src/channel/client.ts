/** The copy's end of a channel in xcopy's own protocol. */

import { randomBytes } from "node:crypto";
import { copyBytes } from "../wire/copy.ts";
import { Packet } from "../wire/packet.ts";
import { type Prefix, prefixWord, WHOLE } from "../wire/prefix.ts";
import {
  type CloseCode,
  CUT_OFF_TEXT,
  HANDSHAKE_SPAN,
  LATE_TEXT,
  readRefusal,
  readText,
  SPENT_TEXT,
  TAMPERED_TEXT,
  TEXTS,
  textBytes,
  versionText,
} from "./close.ts";
import { type Client, type ClientHandlers, FLOW_BYTES, type State } from "./contract.ts";
import {
  ASK,
  addRow,
  BYE,
  FACTS,
  FRAME_HEADER,
  FRAME_LIMIT,
  FrameReader,
  INTERCEPT_HELLO,
  PING,
  PROOF,
  RANGES,
  READ_WHOLE,
  REFUSE,
  REGISTER,
  REGISTER_DATAGRAMS,
  RESPONSES,
  SEALED,
  WELCOME,
  writeFrame,
  writeWhole,
} from "./frame.ts";
import {
  deriveKeys,
  type Ephemeral,
  HAS_KEY,
  makeEphemeral,
  makeHello,
  NONCE_BYTES,
  PROTOCOL_VERSION,
  parseHello,
  READS_PAYLOAD,
} from "./hello.ts";
import { type AddressRange, type Ask, encodeJson, MOST_LISTED, readFacts, readWelcome } from "./messages.ts";
import { Outgoing } from "./outgoing.ts";
import { readRecord } from "./record.ts";
import { REGISTRATION_BYTES } from "./registration.ts";
import { Opener, RECORD_LIMIT, Sealer } from "./seal.ts";

export interface ClientOptions {
  /** Null: without authentication. */
  key: Uint8Array | null;
  /** 8 random bytes, the same for all channels of the process. */
  instance: Uint8Array;
  /** Whether responses should come with payload, if the intercept can send it; absent: no. */
  readsPayload?: boolean;
  /** How much of it, of each segment; absent: all. An intercept of an earlier version sends all. */
  prefix?: Prefix;
  handlers: ClientHandlers;
  /** 32 bytes, new with each call. */
  nonce?: () => Uint8Array;
}

/** Bytes that may wait to be written: the registrations of about 20,000 flows. */
const OUTGOING = 1 << 20;

const EMPTY: Uint8Array = new Uint8Array(0);

export class ChannelClient implements Client {
  state: State = "idle";
  malformed = 0;
  readonly outgoing = new Outgoing(OUTGOING);
  readonly #options: ClientOptions;
  /** Reads what comes, and what was in the records of it. */
  readonly #reader: FrameReader;
  readonly #frames: FrameReader;
  readonly #packet = new Packet(EMPTY);
  #hello = EMPTY;
  #ephemeral: Ephemeral | null = null;
  /** Set once the intercept's hello has arrived. */
  #opener: Opener | null = null;
  /** Whether a record could be opened: nothing is believed any more that is not in one. */
  #isSealed = false;
  #readsWhole = false;
  #deadline = 0;
  #heardAt = 0;
  #now = 0;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#reader = new FrameReader(
      (type, bytes, view, from, to) => this.#take(type, bytes, view, from, to),
      () => this.#takeBroken(),
    );
    this.#frames = new FrameReader(
      (type, bytes, view, from, to) => this.#takeFrame(type, bytes, view, from, to),
      () => this.#close("malformed", "the intercept sent something that is not a frame"),
      FRAME_LIMIT,
    );
  }

  begin(now: number): void {
    const { key, instance, nonce, prefix = WHOLE } = this.#options;
    this.#reader.reset();
    this.#frames.reset();
    this.outgoing.clear();
    this.#opener = null;
    this.#isSealed = false;
    this.#deadline = now + HANDSHAKE_SPAN;
    this.#heardAt = now;
    const features = (key ? HAS_KEY : 0) | (this.#options.readsPayload ? READS_PAYLOAD : 0);
    this.#ephemeral = makeEphemeral();
    const random = nonce ? nonce() : randomBytes(NONCE_BYTES);
    this.#hello = makeHello(
      "copy",
      features,
      instance,
      random,
      this.#ephemeral.publicKey,
      PROTOCOL_VERSION,
      prefixWord(this.#readsWhole ? WHOLE : prefix),
    );
    writeWhole(this.outgoing, this.#hello);
    this.state = "handshake";
  }

  feed(bytes: Uint8Array, from: number, to: number, now: number): void {
    if (this.state !== "handshake" && this.state !== "open") return;
    this.#now = now;
    if (from < to) this.#heardAt = now;
    this.#reader.feed(bytes, from, to);
  }

  disconnected(why: string): void {
    if (this.state === "open" && this.#reader.isPartial) {
      this.#close("cut off", why === "" ? CUT_OFF_TEXT : `${CUT_OFF_TEXT}: ${why}`);
      return;
    }
    const cause = why === "" ? "the intercept ended the connection" : why;
    const hint =
      this.state === "handshake" && this.#opener === null
        ? " before it said hello; if it is intercept 1.x, add --compat"
        : "";
    this.#close("ended", cause + hint);
  }

  bye(text: string): void {
    if (this.state === "open") writeFrame(this.outgoing, BYE, textBytes(text));
    this.#close("stopped", text);
  }

  register(row: Uint8Array, at: number): boolean {
    if (this.state !== "open") return false;
    const to = addRow(this.outgoing, REGISTER, REGISTRATION_BYTES);
    copyBytes(row, at, REGISTRATION_BYTES, this.outgoing.bytes, to);
    return true;
  }

  registerDatagrams(flow: Uint8Array, at: number): boolean {
    if (this.state !== "open") return false;
    const row = addRow(this.outgoing, REGISTER_DATAGRAMS, FLOW_BYTES);
    copyBytes(flow, at, FLOW_BYTES, this.outgoing.bytes, row);
    return true;
  }

  readWhole(): void {
    this.#readsWhole = true;
    if (this.state === "open") writeFrame(this.outgoing, READ_WHOLE, EMPTY);
  }

  ranges(ranges: AddressRange[]): boolean {
    if (this.state !== "open") return false;
    for (let from = 0; from < ranges.length; from += MOST_LISTED) {
      this.#send(RANGES, { ranges: ranges.slice(from, from + MOST_LISTED) });
    }
    return true;
  }

  ask(question: Ask): boolean {
    return this.#send(ASK, question);
  }

  silentFor(now: number): number {
    return now - this.#heardAt;
  }

  advance(now: number): void {
    if (this.state === "handshake" && now >= this.#deadline) this.#close("late", LATE_TEXT);
    else if (this.outgoing.isSpent) this.#close("stopped", SPENT_TEXT);
  }

  wait(now: number, limit: number): number {
    return this.state === "handshake" ? Math.min(limit, Math.max(0, this.#deadline - now)) : limit;
  }

  #send(type: number, message: object): boolean {
    if (this.state !== "open") return false;
    writeFrame(this.outgoing, type, encodeJson(message));
    return true;
  }

  #close(code: CloseCode, text: string): void {
    if (this.state !== "handshake" && this.state !== "open") return;
    this.state = "closed";
    this.#options.handlers.onClosed(code, text);
  }

  #takeBroken(): void {
    if (this.#opener === null) this.#close("stranger", "what answers there is not an intercept of xcopy");
    else if (this.#isSealed) this.#close("tampered", TAMPERED_TEXT);
    else this.#closeMalformed();
  }

  /** Takes one frame of what comes, before the intercept's hello, or with a record in it; returns whether more are wanted. */
  #take(type: number, bytes: Uint8Array, view: DataView, from: number, to: number): boolean {
    if (this.#opener !== null && type === SEALED) this.#takeRecord(this.#opener, bytes, from, to);
    else if (this.#isSealed) this.#close("tampered", TAMPERED_TEXT);
    else if (type === REFUSE) this.#takeRefusal(bytes, view, from, to);
    else if (this.#opener === null) this.#takeHello(type, bytes, view, from, to);
    else this.#closeMalformed();
    return this.state === "handshake" || this.state === "open";
  }

  #takeHello(type: number, bytes: Uint8Array, view: DataView, from: number, to: number): void {
    const hello = type === INTERCEPT_HELLO ? parseHello(view, from, to) : null;
    if (hello === null) {
      this.#takeBroken();
      return;
    }
    const { key } = this.#options;
    const hasKey = (hello.features & HAS_KEY) !== 0;
    if (hello.version !== PROTOCOL_VERSION) {
      this.#close("version", versionText(PROTOCOL_VERSION, hello.version));
    } else if (hasKey !== (key !== null)) {
      const code = hasKey ? "copy without key" : "intercept without key";
      this.#close(code, TEXTS[code]);
    } else {
      const whole = bytes.subarray(from - FRAME_HEADER, to);
      const keys = deriveKeys(key, this.#ephemeral!, hello.publicKey, this.#hello, whole);
      this.#ephemeral = null;
      if (keys === null) {
        this.#closeMalformed();
        return;
      }
      this.#opener = new Opener(keys.intercept);
      this.#reader.limit = RECORD_LIMIT;
      this.outgoing.sealWith(new Sealer(keys.copy));
      writeFrame(this.outgoing, PROOF, EMPTY);
    }
  }

  #takeRecord(opener: Opener, bytes: Uint8Array, from: number, to: number): void {
    const frames = opener.open(bytes, from, to);
    if (frames === null) {
      if (this.#isSealed || this.#options.key === null) this.#close("tampered", TAMPERED_TEXT);
      else this.#close("wrong key", TEXTS["wrong key"]);
      return;
    }
    this.#isSealed = true;
    this.#frames.feed(frames, 0, frames.length);
    if (this.#frames.isPartial) this.#close("malformed", "the intercept sent a record that ends in a frame");
  }

  /** Takes one frame of a record; returns whether more are wanted. */
  #takeFrame(type: number, bytes: Uint8Array, view: DataView, from: number, to: number): boolean {
    if (type === REFUSE) this.#takeRefusal(bytes, view, from, to);
    else if (this.state === "open") this.#takeOpen(type, bytes, view, from, to);
    else {
      const welcome = type === WELCOME ? readWelcome(bytes, from, to) : null;
      if (welcome === null) this.#closeMalformed();
      else {
        this.state = "open";
        this.#options.handlers.onWelcome(welcome, this.#options.key !== null);
      }
    }
    return this.state === "open";
  }

  #takeRefusal(bytes: Uint8Array, view: DataView, from: number, to: number): void {
    const { code, text } = readRefusal(bytes, view, from, to);
    this.#close(code, text);
  }

  #closeMalformed(): void {
    this.#close("malformed", "the intercept sent something that does not belong in a handshake");
  }

  #takeOpen(type: number, bytes: Uint8Array, view: DataView, from: number, to: number): void {
    if (type === RESPONSES) this.#takeResponses(bytes, view, from, to);
    else if (type === FACTS) {
      const facts = readFacts(bytes, from, to);
      if (facts) this.#options.handlers.onFacts(facts);
      else this.#close("malformed", "the intercept sent facts that cannot be read");
    } else if (type === BYE) this.#close("bye", readText(bytes, from, to));
    else if (type !== PING)
      this.#close("malformed", `the intercept sent a frame of the unknown type ${type}`);
  }

  #takeResponses(bytes: Uint8Array, view: DataView, from: number, to: number): void {
    const packet = this.#packet;
    const { handlers } = this.#options;
    packet.bytes = bytes;
    packet.view = view;
    packet.time = this.#now;
    let at = from;
    while (at < to && this.state === "open") {
      const next = readRecord(packet, at, to);
      packet.index = 0;
      if (next === 0) {
        this.#close("malformed", "the intercept sent a response that is cut off");
        return;
      }
      if (next > 0) handlers.onResponse(packet);
      else this.malformed++;
      at = Math.abs(next);
    }
  }
}
