/**
 * Finds the copy that a response belongs to: the kernel has named it (mode target: `packet.index` is its slot), its flow was
 * registered over the channel, or the client's address is in a registered pool. Sans-IO; counts every response once.
 */
import { UNKNOWN_INDEX } from "../../capture/record-index.ts";
import { copyBytes } from "../../wire/copy.ts";
import { Packet } from "../../wire/packet.ts";
import { ACK, RST, SYN } from "../../wire/tcp.ts";
import { isDatagram } from "../../wire/udp.ts";
import type { Copies, Receiver } from "./copies.ts";
import { FlowKey, FlowMatch, KEY_BYTES, SERVER } from "./flow-key.ts";
import { FlowTable } from "./flow-table.ts";
import { Hold } from "./hold.ts";
import { type AddressRange, Ranges } from "./ranges.ts";

/** Responses that wait for their registration: 3 s of 10,000 a second. */
const HELD = 32768;
/** Bytes of a response at most, as a source captures it. */
const LARGEST = 65536;

/** A response to `from` is taken as one to `to`: 4 or 16 bytes each, of the same family. */
export interface AddressPair {
  from: Uint8Array;
  to: Uint8Array;
}

export interface RouterOptions {
  maxFlows: number;
  translations: readonly AddressPair[];
  /** Whether the server's address of a response is ignored, and replaced by the registered one. */
  dnat: boolean;
  /** Addresses of clients whose responses pass; 4 or 16 bytes. */
  pass: readonly Uint8Array[];
  /** The slot that gets every response whose flow is not known; -1: none. */
  single: number;
  /** Whether a response may come before its registration; a datagram never does. */
  holds: boolean;
  /** Whether datagrams of flows that were not registered pass: they may be for a real client. */
  passesDatagrams: boolean;
  /** 32 bits that nobody outside can guess. */
  seed: number;
}

export class Router<R extends Receiver> {
  /** Responses, and what became of them: handed to a copy, of no copy, passed; the others are held. */
  packets = 0;
  bytes = 0;
  routed = 0;
  unrouted = 0;
  passed = 0;
  /** Responses that waited for a registration that came. */
  released = 0;
  readonly flows: FlowTable;
  /** Those of UDP. */
  readonly datagramFlows: FlowTable;
  readonly ranges = new Ranges();
  readonly #hold: Hold | null;
  readonly #key = new FlowKey();
  /** Slots of the copies that have already received the current packet. */
  readonly #served: number[] = [];
  readonly #own = new Packet(new Uint8Array(new ArrayBuffer(LARGEST)));

  constructor(
    private readonly options: RouterOptions,
    private readonly copies: Copies<R>,
  ) {
    const match = new FlowMatch(options.seed, !options.dnat);
    this.flows = new FlowTable(options.maxFlows, match);
    this.datagramFlows = new FlowTable(options.maxFlows, match);
    this.#hold = options.holds ? new Hold(HELD, match) : null;
  }

  /** Responses that wait for their registration. */
  get held(): number {
    return this.#hold?.count ?? 0;
  }

  /** Takes a response; false if it is to pass. `now`: us. */
  response(captured: Packet, now: number): boolean {
    this.packets++;
    this.bytes += captured.payload - captured.ip + captured.length;
    if (this.options.pass.length > 0 && this.#passes(captured)) {
      this.passed++;
      return false;
    }
    const packet = this.#translate(captured);
    if (packet.index === UNKNOWN_INDEX && isDatagram(packet)) return this.#datagram(packet);
    const sent =
      packet.index === UNKNOWN_INDEX ? this.#find(packet, now) : this.copies.deliver(packet.index, packet);
    if (sent) this.routed++;
    else if (sent === false) this.unrouted++;
    return true;
  }

  /** Gives flows, 36 bytes each, to a copy; returns how many were not known. */
  register(slot: number, bytes: Uint8Array, from: number, to: number): number {
    let fresh = 0;
    const key = this.#key;
    for (let at = from; at + KEY_BYTES <= to; at += KEY_BYTES) {
      key.ofBytes(bytes, at);
      if (this.flows.set(key.words, 0, slot)) fresh++;
      this.#hold?.take(key.words, 0, (packet) => this.#release(slot, packet));
    }
    return fresh;
  }

  /** As `register`, flows of UDP. */
  registerDatagrams(slot: number, bytes: Uint8Array, from: number, to: number): void {
    for (let at = from; at + KEY_BYTES <= to; at += KEY_BYTES)
      this.datagramFlows.set(this.#key.ofBytes(bytes, at).words, 0, slot);
  }

  /** Whether an ICMP error that quotes `packet`, on its way to the client, is about a datagram of a copy. */
  isAboutCopy(packet: Packet): boolean {
    return isDatagram(packet) && this.datagramFlows.find(this.#key.ofRequest(packet).words) >= 0;
  }

  /** Gives all responses to these addresses to a copy; returns how many ranges are too many. */
  addRanges(slot: number, ranges: readonly AddressRange[]): number {
    const refused = this.ranges.add(slot, ranges);
    this.#hold?.takeEach((packet) => {
      const found = this.ranges.find(packet);
      if (found < 0) return false;
      this.#release(this.ranges.slotAt(found), packet);
      return true;
    });
    return refused;
  }

  /** Forgets what a copy has registered. */
  forget(slot: number): void {
    this.flows.removeAll(slot);
    this.datagramFlows.removeAll(slot);
    this.ranges.remove(slot);
  }

  /** Gives up what has waited for too long. `now`: us. */
  expire(now: number): void {
    if (this.#hold) this.unrouted += this.#hold.expire(now);
  }

  /** As `response`, for UDP: its flows are registered, and before the first response. */
  #datagram(packet: Packet): boolean {
    const row = this.datagramFlows.find(this.#key.ofResponse(packet).words);
    if (row < 0 && this.options.passesDatagrams) {
      this.passed++;
      return false;
    }
    if (row >= 0 && this.#toOwner(packet, this.datagramFlows, row)) this.routed++;
    else this.unrouted++;
    return true;
  }

  /** Hands a response to the copy that registered its flow. */
  #toOwner(packet: Packet, flows: FlowTable, row: number): boolean {
    const own = this.options.dnat ? this.#fromRegistered(packet, flows.keys, row) : packet;
    return this.copies.deliver(flows.slotOf(row), own);
  }

  /** True: handed to a copy. False: of no copy. Null: held. */
  #find(packet: Packet, now: number): boolean | null {
    const key = this.#key.ofResponse(packet);
    const row = this.flows.find(key.words);
    if (row >= 0) return this.#toOwner(packet, this.flows, row);
    const { single } = this.options;
    if (single >= 0) return this.copies.deliver(single, packet);
    let found = this.ranges.find(packet);
    if (found < 0) return this.#mayHold(packet, now);
    let sent = false;
    this.#served.length = 0;
    for (; found >= 0; found = this.ranges.find(packet, found)) {
      const slot = this.ranges.slotAt(found);
      if (this.#served.includes(slot)) continue;
      this.#served.push(slot);
      if (this.copies.deliver(slot, packet)) sent = true;
    }
    return sent;
  }

  #mayHold(packet: Packet, now: number): boolean | null {
    const flags = packet.flags;
    const isFirst = (flags & (SYN | ACK)) === (SYN | ACK) || (flags & RST) !== 0;
    if (!this.#hold || !isFirst) return false;
    this.unrouted += this.#hold.add(packet, this.#key.words, now);
    return null;
  }

  #release(slot: number, packet: Packet): void {
    this.released++;
    if (this.copies.deliver(slot, packet)) this.routed++;
    else this.unrouted++;
  }

  #passes(packet: Packet): boolean {
    const at = packet.ip + (packet.family === 4 ? 16 : 24);
    for (const address of this.options.pass) {
      if (isAt(packet, at, address)) return true;
    }
    return false;
  }

  #translate(packet: Packet): Packet {
    const { translations } = this.options;
    if (translations.length === 0) return packet;
    const offset = packet.family === 4 ? 16 : 24;
    for (const { from, to } of translations) {
      if (isAt(packet, packet.ip + offset, from)) return this.#withAddress(packet, offset, to, 0, to.length);
    }
    return packet;
  }

  /** The response as the copy expects it: from the server that it sent to. */
  #fromRegistered(packet: Packet, keys: Uint8Array, row: number): Packet {
    const isIp4 = packet.family === 4;
    return this.#withAddress(packet, isIp4 ? 12 : 8, keys, row * KEY_BYTES + SERVER, isIp4 ? 4 : 16);
  }

  /** The packet with another address, copied to our own memory: the ring is read-only. */
  #withAddress(packet: Packet, offset: number, address: Uint8Array, at: number, length: number): Packet {
    const own = this.#own;
    const size = Math.min(packet.end - packet.ip, LARGEST);
    if (packet !== own) {
      copyBytes(packet.bytes, packet.ip, size, own.bytes, 0);
      own.ip = 0;
      own.tcp = packet.tcp - packet.ip;
      own.payload = packet.payload - packet.ip;
      own.end = size;
      own.length = packet.length;
      own.time = packet.time;
      own.index = packet.index;
    }
    copyBytes(address, at, length, own.bytes, offset);
    return own;
  }
}

function isAt(packet: Packet, at: number, address: Uint8Array): boolean {
  if (address.length !== (packet.family === 4 ? 4 : 16)) return false;
  for (let index = 0; index < address.length; index++) {
    if (packet.bytes[at + index] !== address[index]) return false;
  }
  return true;
}
