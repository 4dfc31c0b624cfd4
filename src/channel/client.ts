/** The copy's end of a channel in xcopy's own protocol. */
import { randomBytes } from "node:crypto";
import { copyBytes } from "../wire/copy.ts";
import { Packet } from "../wire/packet.ts";
import {
  type CloseCode,
  HANDSHAKE_SPAN,
  LATE_TEXT,
  readRefusal,
  readText,
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
  REFUSE,
  REGISTER,
  REGISTER_DATAGRAMS,
  RESPONSES,
  WELCOME,
  writeFrame,
  writeWhole,
} from "./frame.ts";
import {
  HAS_KEY,
  isProof,
  makeHello,
  makeProof,
  NONCE_BYTES,
  PROTOCOL_VERSION,
  parseHello,
  READS_PAYLOAD,
} from "./hello.ts";
import { type AddressRange, type Ask, encodeJson, MOST_LISTED, readFacts, readWelcome } from "./messages.ts";
import { Outgoing } from "./outgoing.ts";
import { readRecord } from "./record.ts";

export interface ClientOptions {
  /** Null: without authentication. */
  key: Uint8Array | null;
  /** 8 random bytes, the same for all channels of the process. */
  instance: Uint8Array;
  /** Whether responses should come with payload, if the intercept can send it; absent: no. */
  readsPayload?: boolean;
  handlers: ClientHandlers;
  /** 32 bytes, new with each call. */
  nonce?: () => Uint8Array;
}

/** Bytes that may wait to be written: the registrations of about 29,000 flows. */
const OUTGOING = 1 << 20;

const EMPTY: Uint8Array = new Uint8Array(0);

export class ChannelClient implements Client {
  state: State = "idle";
  malformed = 0;
  readonly outgoing = new Outgoing(OUTGOING);
  readonly #options: ClientOptions;
  readonly #reader: FrameReader;
  readonly #packet = new Packet(EMPTY);
  #hello = EMPTY;
  /** The intercept's hello, once it has arrived. */
  #otherHello = EMPTY;
  #isAuthenticated = false;
  #deadline = 0;
  #heardAt = 0;
  #now = 0;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#reader = new FrameReader(
      (type, bytes, view, from, to) => this.#take(type, bytes, view, from, to),
      () => this.#takeBroken(),
    );
  }

  begin(now: number): void {
    const { key, instance, nonce } = this.#options;
    this.#reader.reset();
    this.outgoing.clear();
    this.#otherHello = EMPTY;
    this.#isAuthenticated = false;
    this.#deadline = now + HANDSHAKE_SPAN;
    this.#heardAt = now;
    const features = (key ? HAS_KEY : 0) | (this.#options.readsPayload ? READS_PAYLOAD : 0);
    this.#hello = makeHello("copy", features, instance, nonce ? nonce() : randomBytes(NONCE_BYTES));
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
    const cause = why === "" ? "the intercept ended the connection" : why;
    const hint =
      this.state === "handshake" && this.#otherHello === EMPTY
        ? " before it said hello; if it is intercept 1.x, add --compat"
        : "";
    this.#close("ended", cause + hint);
  }

  bye(text: string): void {
    if (this.state === "open") writeFrame(this.outgoing, BYE, textBytes(text));
    this.#close("stopped", text);
  }

  register(flow: Uint8Array, at: number): boolean {
    if (this.state !== "open") return false;
    const row = addRow(this.outgoing, REGISTER, FLOW_BYTES);
    copyBytes(flow, at, FLOW_BYTES, this.outgoing.bytes, row);
    return true;
  }

  registerDatagrams(flow: Uint8Array, at: number): boolean {
    if (this.state !== "open") return false;
    const row = addRow(this.outgoing, REGISTER_DATAGRAMS, FLOW_BYTES);
    copyBytes(flow, at, FLOW_BYTES, this.outgoing.bytes, row);
    return true;
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
    if (this.#otherHello === EMPTY)
      this.#close("stranger", "what answers there is not an intercept of xcopy");
    else this.#close("malformed", "the intercept sent something that is not a frame");
  }

  /** Takes one frame; returns whether more are wanted. */
  #take(type: number, bytes: Uint8Array, view: DataView, from: number, to: number): boolean {
    if (type === REFUSE) {
      const { code, text } = readRefusal(bytes, view, from, to);
      this.#close(code, text);
      return false;
    }
    if (this.state === "open") this.#takeOpen(type, bytes, view, from, to);
    else if (this.#otherHello === EMPTY) this.#takeHello(type, bytes, view, from, to);
    else this.#takeHandshake(type, bytes, view, from, to);
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
      this.#otherHello = bytes.slice(from - FRAME_HEADER, to);
      if (key) writeFrame(this.outgoing, PROOF, makeProof(key, "copy", this.#hello, this.#otherHello));
      else this.#reader.limit = FRAME_LIMIT;
    }
  }

  #takeHandshake(type: number, bytes: Uint8Array, view: DataView, from: number, to: number): void {
    const { key, handlers } = this.#options;
    if (type === PROOF && key && !this.#isAuthenticated) {
      const expected = makeProof(key, "intercept", this.#hello, this.#otherHello);
      if (!isProof(expected, view, from, to)) {
        this.#close("wrong key", TEXTS["wrong key"]);
        return;
      }
      this.#isAuthenticated = true;
      this.#reader.limit = FRAME_LIMIT;
      return;
    }
    const welcome = type === WELCOME && (!key || this.#isAuthenticated) ? readWelcome(bytes, from, to) : null;
    if (welcome === null) {
      this.#close("malformed", "the intercept sent something that does not belong in a handshake");
      return;
    }
    this.#reader.limit = FRAME_LIMIT;
    this.state = "open";
    handlers.onWelcome(welcome, this.#isAuthenticated);
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
