/** The copy's end of a channel to an intercept 1.x. */
import { IPPROTO_TCP } from "../wire/ip.ts";
import { Packet } from "../wire/packet.ts";
import type { CloseCode } from "./close.ts";
import {
  COMPAT_COMBINED,
  COMPAT_MESSAGE,
  COMPAT_RECORD,
  isCompatFlow,
  readCompatRecord,
  writeCompatAdd,
  writeCompatHello,
} from "./compat.ts";
import type { Client, ClientHandlers, State } from "./contract.ts";
import { FixedReader } from "./fixed.ts";
import { Outgoing } from "./outgoing.ts";

const OUTGOING = 1 << 20;
const HELLO = 1;
const ADD = 2;
/** Registrations in one block of `outgoing`: if the intercept reads too slowly, a whole block is discarded at a time. */
const MOST_ADDS = 256;
const NUMBER = 2;

/** Whether counts stand between the records: told by the first byte, which is that of a count or of an IPv4 header. */
type Format = "unknown" | "combined" | "separate";

/** An intercept 1.x does not answer the hello: the channel is open as soon as `begin` has sent it. */
export class CompatClient implements Client {
  state: State = "idle";
  malformed = 0;
  readonly outgoing = new Outgoing(OUTGOING);
  readonly #handlers: ClientHandlers;
  readonly #packet: Packet;
  readonly #reader: FixedReader;
  #format: Format = "unknown";
  /** Records that come before the next count. */
  #left = 0;
  #heardAt = 0;

  constructor(handlers: ClientHandlers) {
    this.#handlers = handlers;
    this.#packet = new Packet(new Uint8Array(0));
    this.#reader = new FixedReader(
      COMPAT_RECORD,
      () => this.#size,
      (bytes, view, at) => this.#take(bytes, view, at),
    );
  }

  readWhole(): void {}

  begin(now: number): void {
    const { outgoing } = this;
    this.#reader.reset();
    this.#left = 0;
    this.#format = "unknown";
    this.#heardAt = now;
    outgoing.clear();
    outgoing.open(HELLO, COMPAT_MESSAGE, true);
    writeCompatHello(outgoing.view, outgoing.grow(COMPAT_MESSAGE, 1));
    this.state = "open";
    this.#handlers.onWelcome({ mode: "compat", slot: 0, cookie: null, services: [], version: "1.x" }, false);
  }

  feed(bytes: Uint8Array, from: number, to: number, now: number): void {
    if (this.state !== "open") return;
    if (from === to) return;
    this.#heardAt = now;
    if (this.#format === "unknown" && !this.#recognize(bytes[from]!)) return;
    this.#packet.time = now;
    this.#reader.feed(bytes, from, to);
  }

  disconnected(why: string): void {
    const hint =
      this.#format === "unknown" ? " before it sent anything; an intercept of xcopy needs --compat too" : "";
    this.#close("ended", (why === "" ? "the intercept ended the connection" : why) + hint);
  }

  bye(text: string): void {
    this.#close("stopped", text);
  }

  /** Intercepts 1.x catch TCP alone. */
  registerDatagrams(): boolean {
    return false;
  }

  register(flow: Uint8Array, at: number): boolean {
    if (this.state !== "open" || !isCompatFlow(flow, at)) return false;
    const { outgoing } = this;
    if (outgoing.room(ADD) < COMPAT_MESSAGE) outgoing.open(ADD, MOST_ADDS * COMPAT_MESSAGE, false);
    writeCompatAdd(flow, at, outgoing.bytes, outgoing.grow(COMPAT_MESSAGE, 1));
    return true;
  }

  /** There are no ranges and no questions in this format. */
  ranges(): boolean {
    return false;
  }

  ask(): boolean {
    return false;
  }

  silentFor(now: number): number {
    return now - this.#heardAt;
  }

  advance(): void {}

  wait(_now: number, limit: number): number {
    return limit;
  }

  #close(code: CloseCode, text: string): void {
    if (this.state !== "open") return;
    this.state = "closed";
    this.#handlers.onClosed(code, text);
  }

  #recognize(first: number): boolean {
    if (first === 0) this.#format = "combined";
    else if (first >> 4 === 4) this.#format = "separate";
    else
      this.#close(
        "stranger",
        "what answers there is not an intercept 1.x; an intercept of xcopy needs no --compat",
      );
    return this.#format !== "unknown";
  }

  /** Bytes of the count or record that comes next. */
  get #size(): number {
    return this.#format === "combined" && this.#left === 0 ? NUMBER : COMPAT_RECORD;
  }

  /** Takes a count or a record; returns whether more are wanted. */
  #take(bytes: Uint8Array, view: DataView, at: number): boolean {
    if (this.#size === NUMBER) {
      this.#left = view.getUint16(at);
      if (this.#left > COMPAT_COMBINED) this.#closeMalformed();
    } else if (bytes[at]! >> 4 !== 4 || bytes[at + 9] !== IPPROTO_TCP) {
      // Not an IPv4 header of TCP at all: the records do not begin where they should.
      this.#closeMalformed();
    } else {
      this.#left--;
      this.#takeRecord(bytes, view, at);
    }
    return this.state === "open";
  }

  #takeRecord(bytes: Uint8Array, view: DataView, at: number): void {
    const packet = this.#packet;
    packet.bytes = bytes;
    packet.view = view;
    packet.index = 0;
    if (readCompatRecord(packet, at)) this.#handlers.onResponse(packet);
    else this.malformed++;
  }

  #closeMalformed(): void {
    this.#close(
      "malformed",
      "the intercept sent something that is not a response; an intercept built with --with-resp-payload is not supported",
    );
  }
}
