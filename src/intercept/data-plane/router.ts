/**
 * Finds the copy that a response belongs to: the kernel has named it (mode target: `packet.index` is its owner), its flow was
 * registered over the channel, or the client's address is in a registered pool. Sans-IO; counts every response once.
 */
import { UNKNOWN_INDEX } from "../../capture/record-index.ts";
import { OPEN, OPENING, Proof, REGISTRATION_BYTES } from "../../channel/registration.ts";
import { copyBytes } from "../../wire/copy.ts";
import { Packet } from "../../wire/packet.ts";
import { ACK, FIN, RST, SYN } from "../../wire/tcp.ts";
import { isDatagram } from "../../wire/udp.ts";
import type { Copies, Receiver } from "./copies.ts";
import { FlowKey, FlowMatch, KEY_BYTES, SERVER } from "./flow-key.ts";
import { FlowTable } from "./flow-table.ts";
import { Hold } from "./hold.ts";
import { proves } from "./proof.ts";
import { type AddressRange, Ranges } from "./ranges.ts";

/** Responses that wait for their registration: 3 s of 10,000 a second. */
const HELD = 32768;
const NONE = -1;
/**
 * us within which the answer to a SYN that was registered is to come, its repetitions included; without a datagram after which
 * a flow of UDP is forgotten: the longest that a copy may keep one (-k).
 */
export const PENDING_SPAN = 60_000_000;
export const DATAGRAM_SPAN = 864_000_000_000;
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
  /** Whether real clients of the target get their answers: not where all that is caught is dropped. */
  servesClients: boolean;
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
  /**
   * Registrations that a response has proved; those that none has proved in time; of UDP, those of flows that another connected
   * copy has; flows of copies that were forgotten.
   */
  confirmed = 0;
  expired = 0;
  refused = 0;
  withdrawn = 0;
  readonly #hold: Hold | null;
  readonly #key = new FlowKey();
  readonly #proof = new Proof();
  #now = 0;
  #isSwept = true;
  #areDatagramsSwept = true;
  /** Owners that have already received the current packet. */
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
    this.#now = now;
    this.packets++;
    this.bytes += captured.payload - captured.ip + captured.length;
    if (this.options.pass.length > 0 && this.#passes(captured)) {
      this.passed++;
      return false;
    }
    const packet = this.#translate(captured);
    if (isDatagram(packet)) return this.#datagram(packet);
    const sent =
      packet.index === UNKNOWN_INDEX ? this.#find(packet, now) : this.copies.deliver(packet.index, packet);
    if (sent) this.routed++;
    else if (sent === false) this.unrouted++;
    return true;
  }

  /**
   * Takes registrations of a copy, rows of REGISTRATION_BYTES in `view` from `from` to `to`: its flows are that copy's once a
   * response proves it. `now`: us.
   */
  register(owner: number, view: DataView, from: number, to: number, now: number): void {
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    const { flows } = this;
    const proof = this.#proof;
    const { words } = this.#key;
    for (let at = from; at + REGISTRATION_BYTES <= to; at += REGISTRATION_BYTES) {
      if (!proof.read(view, at)) {
        this.refused++;
        continue;
      }
      this.#key.ofBytes(bytes, at);
      const known = flows.findOwn(words, 0, owner);
      const row = known < 0 ? flows.add(words, 0, owner, now) : known;
      if (known >= 0) flows.renew(row, words, 0, now);
      // What was proved once stays the copy's.
      if (known < 0 || flows.stateOf(row) !== 0)
        flows.setProof(row, proof.state, proof.una, proof.max, proof.rcv);
      this.#hold?.take(words, 0, (packet) => {
        const found = this.#rowFor(packet, words);
        if (found === NONE) return false;
        this.#released(this.#toOwner(packet, flows, found));
        return true;
      });
    }
  }

  /**
   * Takes registrations of UDP, flows of KEY_BYTES each: they are that copy's at once, unless another copy that is connected has
   * them. Calls `taken` with where those that are begin and end.
   */
  registerDatagrams(
    owner: number,
    bytes: Uint8Array,
    from: number,
    to: number,
    now: number,
    taken: (from: number, to: number) => void = () => {},
  ): void {
    const { datagramFlows, copies } = this;
    const { words } = this.#key;
    let since = from;
    let at = from;
    for (; at + KEY_BYTES <= to; at += KEY_BYTES) {
      const known = datagramFlows.find(this.#key.ofBytes(bytes, at).words);
      const other = known < 0 ? owner : datagramFlows.ownerOf(known);
      if (other !== owner && copies.isConnected(other)) {
        this.refused++;
        if (since < at) taken(since, at);
        since = at + KEY_BYTES;
        continue;
      }
      if (other !== owner) datagramFlows.remove(known);
      if (other === owner && known >= 0) datagramFlows.touch(known, now);
      else datagramFlows.add(words, 0, owner, now);
    }
    if (since < at) taken(since, at);
  }

  /** Whether an ICMP error that quotes `packet`, on its way to the client, is about a datagram of a copy. */
  isAboutCopy(packet: Packet): boolean {
    return isDatagram(packet) && this.datagramFlows.find(this.#key.ofRequest(packet).words) >= 0;
  }

  /** Gives all responses to these addresses to a copy; returns how many ranges are too many. */
  addRanges(owner: number, ranges: readonly AddressRange[]): number {
    const refused = this.ranges.add(owner, ranges);
    this.#hold?.takeEach((packet) => {
      const found = this.ranges.find(packet);
      if (found < 0) return false;
      this.#released(this.copies.deliver(this.ranges.ownerAt(found), packet));
      return true;
    });
    return refused;
  }

  /** Forgets the ranges of an owner; its flows are over with it, and go by `sweep`. */
  withdraw(owner: number): void {
    this.withdrawn += this.ranges.remove(owner);
    this.flows.rewind();
    this.datagramFlows.rewind();
    this.#isSwept = false;
    this.#areDatagramsSwept = false;
  }

  /**
   * Clears away, among the next `rows` rows of each table, what belongs to nobody any more, and what nobody has proved or used
   * for too long. True when each table was gone through since the last `withdraw`. `now`: us.
   */
  sweep(rows: number, now: number): boolean {
    this.#now = now;
    if (this.flows.sweep(rows, this.#isOver)) this.#isSwept = true;
    if (this.datagramFlows.sweep(rows, this.#isDatagramOver)) this.#areDatagramsSwept = true;
    return this.#isSwept && this.#areDatagramsSwept;
  }

  /** Gives up what has waited for too long. `now`: us. */
  expire(now: number): void {
    if (this.#hold) this.unrouted += this.#hold.expire(now);
  }

  readonly #isOver = (row: number): boolean => {
    const { flows } = this;
    const state = flows.stateOf(row);
    if (!this.copies.isCurrent(flows.ownerOf(row))) this.withdrawn++;
    // A connection that is open may say nothing for hours.
    else if (state === 0 || state === OPEN || this.#now - flows.usedAtOf(row) < PENDING_SPAN) return false;
    else if (this.options.holds) this.expired++;
    return true;
  };

  readonly #isDatagramOver = (row: number): boolean => {
    const { datagramFlows } = this;
    if (!this.copies.isCurrent(datagramFlows.ownerOf(row))) this.withdrawn++;
    else if (this.#now - datagramFlows.usedAtOf(row) < DATAGRAM_SPAN) return false;
    else this.expired++;
    return true;
  };

  /** As `response`, for UDP: its flows are registered, and before the first response. */
  #datagram(packet: Packet): boolean {
    const { datagramFlows, copies } = this;
    const row = datagramFlows.find(this.#key.ofResponse(packet).words);
    const isKnown = row >= 0 && copies.isCurrent(datagramFlows.ownerOf(row));
    if (isKnown) datagramFlows.touch(row, this.#now);
    if (packet.index !== UNKNOWN_INDEX) {
      // The kernel has dropped it.
      if (copies.deliver(packet.index, packet)) this.routed++;
      else this.unrouted++;
      return true;
    }
    if (!isKnown && this.options.passesDatagrams) {
      this.passed++;
      return false;
    }
    if (isKnown && this.#toOwner(packet, datagramFlows, row)) this.routed++;
    else this.unrouted++;
    return true;
  }

  /** Hands a response to the copy that registered its flow. */
  #toOwner(packet: Packet, flows: FlowTable, row: number): boolean {
    const own = this.options.dnat ? this.#fromRegistered(packet, flows.keys, row) : packet;
    return this.copies.deliver(flows.ownerOf(row), own);
  }

  /**
   * The registration that a response of the flow `key` is for; -1 if there is none. Proves it, where it has not been.
   *
   * What a copy before this one has left, the target may still have a connection with: it answers a SYN with a bare ACK of that
   * connection (RFC 5961 section 4.2), by which the new copy can end it. It proves nothing, and is given to nobody where it may be
   * about a real client's connection.
   */
  #rowFor(packet: Packet, key: Uint32Array): number {
    const { flows, copies } = this;
    const { servesClients } = this.options;
    let known = NONE;
    let proven = NONE;
    let opening = NONE;
    for (let row = flows.find(key); row !== NONE; row = flows.after(row)) {
      const state = flows.stateOf(row);
      if (!copies.isCurrent(flows.ownerOf(row))) continue;
      if (state === 0) known = row;
      else if (
        proves(
          state,
          flows.unaOf(row),
          flows.maxOf(row),
          flows.rcvOf(row),
          packet.flags,
          packet.seq,
          packet.ack,
        )
      )
        proven = row;
      else if (state === OPENING && !servesClients && isBareAck(packet)) opening = row;
    }
    if (proven === NONE) {
      const isKnown = known !== NONE && (opening === NONE || copies.isConnected(flows.ownerOf(known)));
      return isKnown ? known : opening;
    }
    if (known !== NONE) {
      // Only a new connection takes a flow from a copy that is there.
      if (flows.stateOf(proven) === OPEN && copies.isConnected(flows.ownerOf(known))) return known;
      flows.remove(known);
    }
    flows.setProof(proven, 0, 0, 0, 0);
    this.confirmed++;
    return proven;
  }

  /** True: handed to a copy. False: of no copy. Null: held. */
  #find(packet: Packet, now: number): boolean | null {
    const key = this.#key.ofResponse(packet);
    const row = this.#rowFor(packet, key.words);
    if (row !== NONE) {
      this.flows.touch(row, now);
      return this.#toOwner(packet, this.flows, row);
    }
    const { single } = this.options;
    if (single >= 0) return this.copies.deliver(single, packet);
    let found = this.ranges.find(packet);
    if (found < 0) return this.#mayHold(packet, now);
    let sent = false;
    this.#served.length = 0;
    for (; found >= 0; found = this.ranges.find(packet, found)) {
      const owner = this.ranges.ownerAt(found);
      if (this.#served.includes(owner)) continue;
      this.#served.push(owner);
      if (this.copies.deliver(owner, packet)) sent = true;
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

  /** Counts a response that was held. */
  #released(isSent: boolean): void {
    this.released++;
    if (isSent) this.routed++;
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

function isBareAck(packet: Packet): boolean {
  return packet.length === 0 && (packet.flags & (ACK | SYN | FIN | RST)) === ACK;
}

function isAt(packet: Packet, at: number, address: Uint8Array): boolean {
  if (address.length !== (packet.family === 4 ? 4 : 16)) return false;
  for (let index = 0; index < address.length; index++) {
    if (packet.bytes[at + index] !== address[index]) return false;
  }
  return true;
}
