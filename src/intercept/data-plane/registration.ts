/** Admits copies, and keeps the router and the kernel's maps up to date with what they register. */
import type { Candidate, PeerHandlers } from "../../channel/contract.ts";
import type { Ask, AddressRange as RangeTexts, Welcome } from "../../channel/messages.ts";
import { parseAddress } from "../../config/address.ts";
import type { InterceptPlaneConfig } from "./config.ts";
import type { Connection, Host } from "./connections.ts";
import { type Copies, SLOTS } from "./copies.ts";
import { answer, type Questions, watch } from "./facts.ts";
import type { Cookies, Learned } from "./flow-maps.ts";
import { FLOW_BYTES, WITH_PAYLOAD } from "./flow-maps.ts";
import type { AddressRange } from "./ranges.ts";
import type { Router } from "./router.ts";
import type { InterceptEvent } from "./start.ts";

/** us that the registrations of a copy that is gone are kept: it may come back. */
const MEMORY = 60_000_000;
/** us within which tcpcopies that register nothing share the responses; a later one replaces them all. */
const TOGETHER = 3_000_000;
/** Most questions that wait, over all copies. */
const MOST_QUESTIONS = 1024;
/** The slot of all tcpcopies that register nothing. */
export const SINGLE = 0;
const SINGLE_ID = "single";

export class Registration implements Host {
  /** Registrations of flows; a flow that is registered again counts again. */
  registered = 0;
  readonly #discarded = new Float64Array(SLOTS);
  #now = 0;
  /** Slots of the copies that are connected and read the payload of responses. */
  readonly #readers = new Set<number>();
  #gone: { slot: number; since: number }[] = [];
  #singleSince = Number.NEGATIVE_INFINITY;
  #questions: { connection: Connection; question: Ask }[] = [];

  constructor(
    private readonly config: InterceptPlaneConfig,
    private readonly copies: Copies<Connection>,
    private readonly router: Router<Connection>,
    /** The kernel's maps, in mode target only. */
    private readonly kernel: { cookies: Cookies; learned: Learned; datagrams: Learned } | null,
    private readonly questions: Questions,
    private readonly say: (event: InterceptEvent) => void,
    /** Whether some copy reads payload; called before the first response to it can come, and again when that changes. */
    private readonly setRead: (isRead: boolean) => void,
  ) {
    if (config.compat?.single) copies.reserve(SINGLE_ID, SINGLE);
  }

  /** Lets time pass. `now`: us. */
  advance(now: number): void {
    this.#now = now;
    while (this.#gone.length > 0 && now - this.#gone[0]!.since >= MEMORY) {
      const { slot } = this.#gone.shift()!;
      if (this.copies.connectionsOf(slot).length === 0) this.router.forget(slot);
    }
  }

  handlersFor(connection: Connection): PeerHandlers {
    return {
      admit: (copy) => this.#admit(connection, copy),
      onRegister: (flows, at, count) => this.#register(connection, flows, at, count),
      onRegisterDatagrams: (flows, at, count) => this.#registerDatagrams(connection, flows, at, count),
      onRanges: (ranges) => this.#addRanges(connection, ranges),
      onAsk: (question) => this.#take(connection, question),
      onClosed: (code, text) => this.#onClosed(connection, code, text),
    };
  }

  onGone(connection: Connection, now: number): void {
    const { slot } = connection;
    if (slot < 0) return;
    this.#discarded[slot]! += connection.peer.outgoing.discarded;
    if (!this.copies.leave(slot, connection, now)) return;
    this.#noteReader(slot, false);
    this.#gone = this.#gone.filter((one) => one.slot !== slot);
    this.#gone.push({ slot, since: now });
  }

  /**
   * Answers waiting questions. To be called when all that was caught has been handed to the copies, so that answers count it
   * all and come after it.
   */
  answerQuestions(): void {
    if (this.#questions.length === 0) return;
    for (const { connection, question } of this.#questions.splice(0)) this.#answer(connection, question);
  }

  /** Writes COPY_COLUMNS of every slot; returns the sum of discarded responses. */
  publish(into: Float64Array): number {
    let all = 0;
    for (let slot = 0; slot < SLOTS; slot++) {
      const connections = this.copies.connectionsOf(slot);
      let discarded = this.#discarded[slot]!;
      for (const { peer } of connections) discarded += peer.outgoing.discarded;
      all += discarded;
      into[slot] = connections.length;
      into[SLOTS + slot] = this.copies.packets[slot]!;
      into[2 * SLOTS + slot] = this.copies.bytes[slot]!;
      into[3 * SLOTS + slot] = discarded;
    }
    return all;
  }

  #admit(connection: Connection, { instance, readsPayload }: Candidate): Welcome | string {
    const { mode, compat, services, version } = this.config;
    const isSingle = instance === null && compat?.single === true;
    if (isSingle) {
      const refusal = this.#replaceSingle();
      if (refusal) return refusal;
    }
    const cookie = instance === null ? null : Buffer.from(instance).toString("hex");
    // A tcpcopy sends no name: each of its connections counts as a copy.
    const id = cookie ?? (isSingle ? SINGLE_ID : `${connection.name} ${connection.fd} ${this.#now}`);
    const place = this.copies.join(id, connection);
    if (!place) return `${SLOTS} copies are connected, and there is no room for more`;
    const { slot, before } = place;
    connection.slot = slot;
    if (before !== null) {
      this.router.forget(slot);
      this.#discarded[slot] = 0;
      if (/^[0-9a-f]{16}$/.test(before)) this.kernel?.cookies.remove(Buffer.from(before, "hex"));
    }
    connection.readsPayload = readsPayload === true;
    this.#noteReader(slot, connection.readsPayload);
    if (instance) this.kernel?.cookies.set(instance, this.#valueOf(slot));
    const first = this.copies.connectionsOf(slot).length === 1;
    if (first)
      this.say({ kind: "joined", slot, name: connection.name, text: `copy ${connection.name} is connected` });
    return {
      mode,
      slot,
      cookie: this.kernel ? cookie : null,
      services,
      version,
      ...(connection.readsPayload ? { payload: true } : {}),
    };
  }

  #noteReader(slot: number, isReader: boolean): void {
    const before = this.#readers.size;
    if (isReader) this.#readers.add(slot);
    else this.#readers.delete(slot);
    if (before > 0 !== this.#readers.size > 0) this.setRead(this.#readers.size > 0);
  }

  /** The value that stands for a copy in the kernel's maps. */
  #valueOf(slot: number): number {
    return this.#readers.has(slot) ? slot + WITH_PAYLOAD : slot;
  }

  /** Why another tcpcopy that registers nothing is refused; null if it is not. */
  #replaceSingle(): string | null {
    const others = this.copies.connectionsOf(SINGLE);
    if (others.length > 0 && this.#now - this.#singleSince < TOGETHER) return null;
    if (others.length > 0 && this.config.compat!.protected)
      return `${others[0]!.name} is connected, and -c protects it`;
    this.#singleSince = this.#now;
    for (const other of [...others]) {
      other.peer.bye("another tcpcopy takes its place");
      other.touch();
    }
    return null;
  }

  #register({ slot }: Connection, flows: Uint8Array, at: number, count: number): void {
    this.registered += count;
    const to = at + count * FLOW_BYTES;
    if (this.kernel) this.kernel.learned.add(flows, this.#valueOf(slot), at, to);
    else this.router.register(slot, flows, at, to);
  }

  #registerDatagrams({ slot }: Connection, flows: Uint8Array, at: number, count: number): void {
    this.registered += count;
    const to = at + count * FLOW_BYTES;
    if (this.kernel) this.kernel.datagrams.add(flows, slot, at, to);
    else this.router.registerDatagrams(slot, flows, at, to);
  }

  #addRanges({ slot, name }: Connection, texts: RangeTexts[]): void {
    const ranges: AddressRange[] = [];
    for (const { first, last } of texts) {
      const [from, to] = [parseAddress(first), parseAddress(last)];
      if (from && to && from.family === to.family)
        ranges.push({ family: from.family, first: from.bytes, last: to.bytes });
      else
        this.say({
          kind: "warning",
          text: `copy ${name} sent an invalid address range: ${first} to ${last}`,
        });
    }
    if (this.kernel) return;
    const refused = this.router.addRanges(slot, ranges);
    if (refused > 0)
      this.say({
        kind: "warning",
        text: `copy ${name} has too many address ranges: ${refused} are ignored`,
      });
  }

  #take(connection: Connection, question: Ask): void {
    watch(this.questions, question);
    // A copy sends nothing until `sync` is answered; and the answer says nothing about responses.
    const isUrgent = question.what === "sync";
    if (isUrgent || this.#questions.length === MOST_QUESTIONS) this.#answer(connection, question);
    else this.#questions.push({ connection, question });
  }

  #answer(connection: Connection, question: Ask): void {
    if (connection.peer.facts(answer(this.questions, question, this.#now))) connection.touch();
  }

  #onClosed({ slot, name, peer }: Connection, code: string, text: string): void {
    if (slot < 0) {
      if (code !== "ended" && code !== "stranger" && code !== "crowded" && code !== "stopped")
        this.say({ kind: "warning", text: `refused ${name}: ${text}` });
      return;
    }
    const last = this.copies
      .connectionsOf(slot)
      .every((other) => other.peer === peer || other.peer.state === "closed");
    if (last) this.say({ kind: "left", slot, name, text: `copy ${name} is gone: ${text}` });
  }
}
