/** The intercept's end of one connection from a tcpcopy 1.x. */
import type { Packet } from "../wire/packet.ts";
import { type CloseCode, HANDSHAKE_SPAN, LATE_TEXT, MOST_REFUSAL, writeRefusal } from "./close.ts";
import {
  CLIENT_ADD,
  CLIENT_DELETE,
  COMPAT_COMBINED,
  COMPAT_MESSAGE,
  COMPAT_RECORD,
  isCompatPacket,
  readCompatAdd,
  readCompatHello,
  writeCompatRecord,
} from "./compat.ts";
import type { Peer, PeerHandlers, State } from "./contract.ts";
import { FixedReader } from "./fixed.ts";
import { COPY_HELLO } from "./frame.ts";
import { Outgoing } from "./outgoing.ts";
import type { PeerOptions } from "./peer.ts";
import { REGISTRATION_BYTES, UNNUMBERED, writeProof } from "./registration.ts";

const RESPONSES = 1;
const NUMBER = 2;
/** Most flows that are handed to `onRegister` at once. */
const BATCH = 128;
const HANDSHAKE_RING = 1024;
const HANDSHAKE_FRONT = (MOST_REFUSAL + 7) & ~7;

export class CompatPeer implements Peer {
  state: State = "handshake";
  unsupported = 0;
  readonly outgoing = new Outgoing(HANDSHAKE_RING, HANDSHAKE_FRONT);
  readonly #options: PeerOptions;
  readonly #isCombined: boolean;
  readonly #address: Uint8Array;
  readonly #handlers: PeerHandlers;
  readonly #reader: FixedReader;
  #flows = new Uint8Array(0);
  #view = new DataView(this.#flows.buffer);
  #flowCount = 0;
  #deadline: number;
  #now: number;

  /** For a connection just accepted from `address` (4 or 16 bytes). */
  constructor(
    options: PeerOptions,
    isCombined: boolean,
    address: Uint8Array,
    handlers: PeerHandlers,
    now: number,
  ) {
    this.#options = options;
    this.#isCombined = isCombined;
    this.#address = address;
    this.#handlers = handlers;
    this.#deadline = now + HANDSHAKE_SPAN;
    this.#now = now;
    this.#reader = new FixedReader(
      COMPAT_MESSAGE,
      () => COMPAT_MESSAGE,
      (bytes, view, at) => this.#take(bytes, view, at),
    );
  }

  feed(bytes: Uint8Array, from: number, to: number, now: number): void {
    if (this.state === "closed") return;
    this.#now = now;
    this.#reader.feed(bytes, from, to);
    this.#handOn();
  }

  disconnected(why: string): void {
    this.#close("ended", why === "" ? "the copy ended the connection" : why);
  }

  bye(text: string): void {
    this.#close("stopped", text);
  }

  /** Makes room for newer handshakes. */
  crowdOut(): void {
    this.#close("crowded", "closed for newer connections before its handshake was done");
  }

  response(packet: Packet): boolean {
    if (this.state !== "open") return false;
    if (!isCompatPacket(packet)) {
      this.unsupported++;
      return false;
    }
    const { outgoing } = this;
    if (outgoing.room(RESPONSES) < COMPAT_RECORD) {
      outgoing.open(
        RESPONSES,
        this.#isCombined ? NUMBER + COMPAT_COMBINED * COMPAT_RECORD : COMPAT_RECORD,
        false,
      );
      if (this.#isCombined) outgoing.grow(NUMBER, 0);
    }
    writeCompatRecord(packet, outgoing.bytes, outgoing.view, outgoing.grow(COMPAT_RECORD, 1));
    if (this.#isCombined) outgoing.view.setUint16(outgoing.start, outgoing.items);
    return true;
  }

  /** There are no questions in this format. */
  facts(): boolean {
    return false;
  }

  advance(now: number): void {
    if (this.state === "handshake" && now >= this.#deadline) this.#fail("late", LATE_TEXT, now);
  }

  wait(now: number, limit: number): number {
    return this.state === "handshake" ? Math.min(limit, Math.max(0, this.#deadline - now)) : limit;
  }

  #close(code: CloseCode, text: string): void {
    if (this.state === "closed") return;
    this.#handOn();
    this.state = "closed";
    this.#handlers.onClosed(code, text);
  }

  /** Closes without a refusal, and counts a failed handshake of the address. */
  #fail(code: CloseCode, text: string, now: number): void {
    this.#options.failedHandshakes.add(this.#address, now);
    this.#close(code, text);
  }

  /** Takes one message; returns whether more are wanted. */
  #take(bytes: Uint8Array, view: DataView, at: number): boolean {
    if (this.state === "handshake") this.#takeHello(view, at);
    else this.#takeMessage(bytes, view.getUint16(at + 6), at);
    return this.state !== "closed";
  }

  #takeMessage(bytes: Uint8Array, type: number, at: number): void {
    if (type === CLIENT_ADD) {
      const to = this.#flowCount * REGISTRATION_BYTES;
      readCompatAdd(bytes, at, this.#flows, to);
      writeProof(this.#view, to, 0, 0, 0, UNNUMBERED);
      if (++this.#flowCount === BATCH) this.#handOn();
    } else if (type !== CLIENT_DELETE) {
      this.#close("malformed", `the tcpcopy sent a message of the unknown type ${type}`);
    }
  }

  #takeHello(view: DataView, at: number): void {
    const version = readCompatHello(view, at);
    if (version === 0) {
      // COPY_HELLO of our own protocol, at the place of port and type of this format.
      if (view.getUint32(at) > 0 && view.getUint32(at + 4) === COPY_HELLO << 24) {
        const text = "this intercept speaks tcpcopy's protocol (--compat), the copy does not";
        writeRefusal(this.outgoing, "other protocol", text);
        this.#close("other protocol", text);
      } else this.#fail("stranger", "the other side is not a tcpcopy 1.x", this.#now);
      return;
    }
    if (!this.#options.serves(this.#address)) {
      this.#close(
        "not named",
        "a tcpcopy 1.x may not connect from there: --compat-from does not name the address",
      );
      return;
    }
    const welcome = this.#handlers.admit({ instance: null, version, authenticated: false });
    if (typeof welcome === "string") {
      this.#close("full", welcome);
      return;
    }
    this.outgoing.expand(this.#options.outgoingBytes);
    this.#flows = new Uint8Array(new ArrayBuffer(BATCH * REGISTRATION_BYTES));
    this.#view = new DataView(this.#flows.buffer);
    this.state = "open";
  }

  /** Hands the flows that were collected to `onRegister`. */
  #handOn(): void {
    const count = this.#flowCount;
    this.#flowCount = 0;
    if (count > 0) this.#handlers.onRegister(this.#flows, 0, count);
  }
}
