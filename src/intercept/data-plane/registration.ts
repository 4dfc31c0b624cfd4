/**
 * Admits copies, and keeps the router and the kernel's maps up to date with what they register. What a copy has registered, and
 * what the kernel has learned of it, is withdrawn when it is gone and has not come back for the time to linger.
 */

import type { Candidate, PeerHandlers } from "../../channel/contract.ts";
import type { Ask, AddressRange as RangeTexts, Welcome } from "../../channel/messages.ts";
import { Proof, REGISTRATION_BYTES } from "../../channel/registration.ts";
import { formatAddress, parseAddress } from "../../config/address.ts";
import { WHOLE } from "../../wire/prefix.ts";
import type { InterceptPlaneConfig } from "./config.ts";
import type { Connection, Host } from "./connections.ts";
import { type Copies, SLOTS, slotOf } from "./copies.ts";
import { answer, type Questions, watch } from "./facts.ts";
import { KEY_BYTES } from "./flow-key.ts";
import {
  type Cookies,
  FLOW_BYTES,
  FORMER,
  type Learned,
  type Owners,
  type Registered,
  WITH_PAYLOAD,
} from "./flow-maps.ts";
import { type AddressRange, holds } from "./ranges.ts";
import type { Router } from "./router.ts";
import type { InterceptEvent } from "./start.ts";

/** Rows of each table that are looked at in one go, and us between two such looks while nothing is withdrawn. */
const SWEEP = 4096;
const SWEEP_INTERVAL = 100_000;
/** us within which tcpcopies that register nothing share the responses; a later one replaces them all. */
const TOGETHER = 3_000_000;
/** Most questions that wait, over all copies. */
const MOST_QUESTIONS = 1024;
/** The slot of all tcpcopies that register nothing. */
export const SINGLE = 0;
const SINGLE_ID = "single";

/** The kernel's maps, in mode target. */
export interface KernelMaps {
  cookies: Cookies;
  owners: Owners;
  learned: Learned;
  registered: Registered;
  datagrams: Learned;
}

export class Registration implements Host {
  /** Registrations of flows; a flow that is registered again counts again. */
  registered = 0;
  /** Registrations and ranges that were refused, and flows that were withdrawn, besides those that the router counts. */
  refused = 0;
  withdrawn = 0;
  readonly #discarded = new Float64Array(SLOTS);
  #now = 0;
  /** Slots of the copies that are connected and read the payload of responses. */
  readonly #readers = new Set<number>();
  #gone: { slot: number; since: number }[] = [];
  readonly #proof = new Proof();
  #sweptAt = 0;
  /** Whether the tables are still to be gone through until all that was withdrawn is cleared away. */
  #sweepsTables = false;
  /** Owners that are over, whose flows in the kernel are being counted; those that come after them. */
  #counting = new Set<number>();
  #uncounted = new Set<number>();
  /** us: until when flows of an earlier intercept are kept; 0: not known yet. */
  #formerUntil = 0;
  #singleSince = Number.NEGATIVE_INFINITY;
  #questions: { connection: Connection; question: Ask }[] = [];

  constructor(
    private readonly config: InterceptPlaneConfig,
    private readonly copies: Copies<Connection>,
    private readonly router: Router<Connection>,
    /** In mode target only. */
    private readonly kernel: KernelMaps | null,
    private readonly questions: Questions,
    private readonly say: (event: InterceptEvent) => void,
    /** Whether some copy reads payload; called before the first response to it can come, and again when that changes. */
    private readonly setRead: (isRead: boolean) => void,
    /** Called when flows were registered with the kernel, which looks for them from then on. */
    private readonly setRegisters: () => void,
  ) {
    if (config.compat?.single) copies.reserve(SINGLE_ID, SINGLE);
    if (!kernel) return;
    router.flows.onRemove = (row) => this.#removeFromKernel(kernel.registered, row);
    const { datagramFlows } = router;
    datagramFlows.onRemove = (row) =>
      kernel.datagrams.remove(datagramFlows.keys, row * KEY_BYTES, (row + 1) * KEY_BYTES);
  }

  /** Lets time pass, and clears away a part of what is over. `now`: us. */
  advance(now: number): void {
    this.#now = now;
    while (this.#gone.length > 0 && now - this.#gone[0]!.since >= this.config.linger) {
      const { slot } = this.#gone.shift()!;
      if (this.copies.connectionsOf(slot).length === 0) this.#withdraw(slot);
    }
    if (this.#sweepsTables || now - this.#sweptAt >= SWEEP_INTERVAL) {
      this.#sweptAt = now;
      if (this.router.sweep(SWEEP, now)) this.#sweepsTables = false;
      this.kernel?.registered.flush();
    }
    if (this.#formerUntil === 0) this.#formerUntil = now + this.config.linger;
    else if (this.config.inherits && now >= this.#formerUntil && this.#formerUntil > 0) {
      this.#formerUntil = -1;
      this.kernel!.owners.endFormer();
      this.#uncounted.add(FORMER);
    }
    if (this.#countsKernel) this.#countWithdrawn(this.kernel!.learned);
  }

  get #countsKernel(): boolean {
    return this.#counting.size + this.#uncounted.size > 0;
  }

  /** Counts the next flows in the kernel that were withdrawn: they stay there (bpf/intercept/learned.h). */
  #countWithdrawn(learned: Learned): void {
    if (this.#counting.size === 0) [this.#counting, this.#uncounted] = [this.#uncounted, this.#counting];
    this.withdrawn += learned.look((owner) => this.#counting.has(owner));
    if (learned.isAtEnd) this.#counting.clear();
  }

  /** us until `advance` has something to do that cannot wait, at most `limit`. */
  wait(now: number, limit: number): number {
    if (this.#sweepsTables || this.#countsKernel) return 0;
    const next = this.#gone[0];
    return next ? Math.min(limit, Math.max(0, next.since + this.config.linger - now)) : limit;
  }

  handlersFor(connection: Connection): PeerHandlers {
    return {
      admit: (copy) => this.#admit(connection, copy),
      onRegister: (flows, at, count) => this.#register(connection, flows, at, count),
      onRegisterDatagrams: (flows, at, count) => this.#registerDatagrams(connection, flows, at, count),
      onReadWhole: () => {
        connection.prefix = WHOLE;
      },
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

  #admit(connection: Connection, { instance, readsPayload, prefix = WHOLE }: Candidate): Welcome | string {
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
    if (before !== null) this.#clear(before.id, before.owner);
    connection.readsPayload = readsPayload === true;
    connection.prefix = prefix;
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
    const owner = this.copies.ownerOf(slot);
    return this.#readers.has(slot) ? owner + WITH_PAYLOAD : owner;
  }

  /** The copy of a slot is gone for good. */
  #withdraw(slot: number): void {
    const id = this.copies.idOf(slot);
    if (id === null || id === SINGLE_ID) return;
    const owner = this.copies.ownerOf(slot);
    this.copies.forget(slot);
    this.#clear(id, owner);
  }

  /** Begins to clear away what a copy has left that was forgotten. */
  #clear(id: string, owner: number): void {
    this.router.withdraw(owner);
    this.#sweepsTables = true;
    if (!this.kernel) return;
    this.kernel.owners.set(this.copies.ownerOf(slotOf(owner)));
    if (/^[0-9a-f]{16}$/.test(id)) this.kernel.cookies.remove(Buffer.from(id, "hex"));
    this.#uncounted.add(owner);
  }

  /** The registration in this row ends; another copy may have registered the same flow. */
  #removeFromKernel(registered: Registered, row: number): void {
    const { flows } = this.router;
    const at = row * KEY_BYTES;
    let other = flows.find(new Uint32Array(flows.keys.buffer, at, KEY_BYTES / 4));
    while (other >= 0 && (other === row || !this.copies.isCurrent(flows.ownerOf(other))))
      other = flows.after(other);
    if (other < 0) registered.remove(flows.keys, at);
    else this.#tellKernel(registered, other);
  }

  #tellKernel(registered: Registered, row: number): void {
    const { flows } = this.router;
    const value = this.#valueOf(slotOf(flows.ownerOf(row)));
    const [una, max, rcv] = [flows.unaOf(row), flows.maxOf(row), flows.rcvOf(row)];
    registered.add(flows.keys, row * KEY_BYTES, value, una, max, rcv, flows.stateOf(row));
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

  #register(connection: Connection, rows: Uint8Array, at: number, count: number): void {
    this.registered += count;
    const owner = this.copies.ownerOf(connection.slot);
    const view = new DataView(rows.buffer, rows.byteOffset, rows.byteLength);
    const to = at + count * REGISTRATION_BYTES;
    this.router.register(owner, view, at, to, this.#now);
    if (!this.kernel) return;
    const value = this.#valueOf(connection.slot);
    const proof = this.#proof;
    for (let row = at; row < to; row += REGISTRATION_BYTES) {
      if (!proof.read(view, row)) continue;
      this.kernel.registered.add(rows, row, value, proof.una, proof.max, proof.rcv, proof.state);
    }
    this.kernel.registered.flush();
    this.setRegisters();
  }

  #registerDatagrams(connection: Connection, flows: Uint8Array, at: number, count: number): void {
    this.registered += count;
    const owner = this.copies.ownerOf(connection.slot);
    const to = at + count * FLOW_BYTES;
    this.router.registerDatagrams(owner, flows, at, to, this.#now, (from, end) =>
      this.kernel?.datagrams.add(flows, owner, from, end),
    );
  }

  #addRanges(connection: Connection, texts: RangeTexts[]): void {
    const { slot, name } = connection;
    const ranges: AddressRange[] = [];
    const refuse = (text: string) => {
      this.refused++;
      this.say({ kind: "warning", text });
    };
    for (const { first, last } of texts) {
      const [from, to] = [parseAddress(first), parseAddress(last)];
      if (!from || !to || from.family !== to.family) {
        refuse(`copy ${name} sent an invalid address range: ${first} to ${last}`);
        continue;
      }
      const range = { family: from.family, first: from.bytes, last: to.bytes };
      const own = this.config.noClients.find((address) => holds(range, address));
      if (own)
        refuse(
          `copy ${name} asked for the responses to ${first} to ${last}, which holds ${formatAddress(own)}: that is no client's`,
        );
      else ranges.push(range);
    }
    if (this.kernel) return;
    const refused = this.router.addRanges(this.copies.ownerOf(slot), ranges);
    this.refused += refused;
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
