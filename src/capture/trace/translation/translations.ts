/**
 * Recognizes what a recording shows twice, before and after network address translation (DNAT, SNAT, kube-proxy, published ports of
 * containers): the later one is left out. Netfilter's translation keeps sequence numbers, options, the IP identification and the
 * payload, and a router between the two takes 1 from the time to live.
 *
 * Equal packets of two real connections do not come about by chance, but generators make such: other things must agree, too
 * (`#agrees`). Memory is bounded: a slot has the packet that used it last.
 */
import { formatEndpoint } from "../../../config/address.ts";
import { addressBytes, DESTINATION, readAddress, SOURCE } from "../../../wire/address-words.ts";
import type { Packet } from "../../../wire/packet.ts";
import { emptyOptions, parseOptions, SYN } from "../../../wire/tcp.ts";
import type { KernelService } from "../../services.ts";
import { LeftOut, PORTS, TUPLE } from "./left-out.ts";

const SLOTS = 16_384;
/** us between the two sightings of a packet. */
const WINDOW = 1_000_000;
const DATAGRAM_WINDOW = 20_000;
/** Most routers between two places of one recording. */
const MOST_HOPS = 8;
/** Payload bytes that are compared. */
const MOST_PAYLOAD = 64;
/** So many packets are remembered before it is known whether there are several places. */
const FIRST_PACKETS = 256;
const OWN_SLOTS = 65_536;
const GOLDEN = 0x9e3779b1;

export class Translations {
  /** Connections, and datagrams, that were seen twice. */
  connections = 0;
  datagrams = 0;
  readonly #hash = new Uint32Array(SLOTS);
  readonly #seq = new Uint32Array(SLOTS);
  readonly #ack = new Uint32Array(SLOTS);
  readonly #content = new Uint32Array(SLOTS);
  readonly #place = new Uint32Array(SLOTS);
  readonly #id = new Uint32Array(SLOTS);
  readonly #stamp = new Uint32Array(SLOTS);
  readonly #hops = new Uint8Array(SLOTS);
  readonly #index = new Uint16Array(SLOTS);
  readonly #time = new Float64Array(SLOTS).fill(-Infinity);
  readonly #tuples = new Int32Array(SLOTS * TUPLE);
  /** Flows whose SYN was seen and is that of no other one: the same is true of their data. */
  readonly #own = new Uint32Array(OWN_SLOTS);
  #leftOut: LeftOut | null = null;
  /** The first packet's place; whether others were seen. */
  #firstPlace = -1;
  #isSeveral = false;
  #packets = 0;
  readonly #options = emptyOptions();
  readonly #tuple = new Int32Array(TUPLE);
  /** Tuples of the first two that were found to be one. */
  readonly #example = new Int32Array(2 * TUPLE);
  readonly #named: boolean[] = [];

  /** `targets`: by index of a service, what its requests go to, as numbers; services with one number share their targets. */
  constructor(
    services: KernelService[],
    private readonly targets: readonly number[],
  ) {
    for (const { index, address } of services) this.#named[index] = address !== null;
  }

  /** Forgets all packets and connections, but not the counts. */
  clear(): void {
    this.#time.fill(-Infinity);
    this.#own.fill(0);
    this.#leftOut = null;
  }

  /**
   * Whether a TCP segment of a client belongs to a connection that was seen before translation, or after, and so is to be left
   * out. `hash`: of its flow; `place`: number of where it was captured.
   */
  isTranslated(packet: Packet, hash: number, place: number): boolean {
    const isSyn = (packet.flags & SYN) !== 0;
    const isWatching = this.#isWatching(place);
    if (this.#leftOut === null && !isSyn && (packet.length === 0 || !isWatching)) return false;
    this.#readTuple(packet);
    if (this.#leftOut?.has(packet, hash, this.#tuple, isSyn)) return true;
    if (!isSyn && (packet.length === 0 || !isWatching)) return false;
    const slot = this.#find(
      packet,
      hash,
      place,
      packet.seq,
      packet.ack,
      this.#contentOf(packet, isSyn),
      WINDOW,
    );
    const own = hash & (OWN_SLOTS - 1);
    if (isSyn) this.#own[own] = slot < 0 ? hash : 0;
    if (slot < 0 || this.#own[own] === hash) return false;
    this.#leftOut ??= new LeftOut();
    // What has been left out itself tells nothing: both would be.
    if (this.#leftOut.isKnown(this.#hash[slot]!, this.#tuples, slot * TUPLE)) return false;
    this.#leftOut.add(packet, hash, this.#tuple, isSyn);
    this.#note(this.connections++ + this.datagrams, slot);
    return true;
  }

  /** Whether a UDP datagram is one that was seen before translation, or after. */
  isTranslatedDatagram(packet: Packet, hash: number, place: number): boolean {
    if (!this.#isWatching(place) || packet.length === 0) return false;
    this.#readTuple(packet);
    this.#options.hasTimestamps = false;
    const content = hashOf(packet, packet.payload, GOLDEN);
    const slot = this.#find(packet, hash, place, packet.length, 0, content, DATAGRAM_WINDOW);
    if (slot < 0) return false;
    this.#note(this.connections + this.datagrams++, slot);
    return true;
  }

  /** What to tell at the end: how much was left out, and an example; null if nothing was. */
  describe(): string | null {
    const { connections, datagrams } = this;
    if (connections + datagrams === 0) return null;
    const counts = [counted(connections, "connection"), counted(datagrams, "datagram")].filter(Boolean);
    const isOne = connections + datagrams === 1;
    return (
      `${counts.join(" and ")} ${isOne ? "is" : "are"} in this recording twice, before and after translation ` +
      `(${this.#describeExample()}): copied once`
    );
  }

  #describeExample(): string {
    const words = this.#example;
    const side = (tuple: number, which: 0 | 1) => {
      const ports = words[tuple * TUPLE + PORTS]!;
      const port = which === SOURCE ? ports >>> 16 : ports & 0xffff;
      return formatEndpoint(addressBytes(words, tuple * TUPLE + which * 4), port);
    };
    const [one, other] = [side(0, DESTINATION), side(1, DESTINATION)];
    if (one !== other) return `${one} and ${other}`;
    return `${one}, from ${side(0, SOURCE)} and from ${side(1, SOURCE)}`;
  }

  #isWatching(place: number): boolean {
    this.#packets++;
    if (this.#firstPlace < 0) this.#firstPlace = place;
    else if (place !== this.#firstPlace) this.#isSeveral = true;
    return this.#isSeveral || this.connections > 0 || this.#packets <= FIRST_PACKETS;
  }

  #readTuple(packet: Packet): void {
    readAddress(packet, SOURCE, this.#tuple, 0);
    readAddress(packet, DESTINATION, this.#tuple, 4);
    this.#tuple[PORTS] = packet.view.getInt32(packet.tcp);
  }

  /** A hash of what translation keeps: of a SYN its options but for the MSS, which routers clamp; else the payload. */
  #contentOf(packet: Packet, isSyn: boolean): number {
    const options = this.#options;
    parseOptions(packet, options);
    if (!isSyn) return hashOf(packet, packet.payload, 0);
    const shape =
      (options.windowScale << 8) | (options.sackPermitted ? 2 : 0) | (options.hasTimestamps ? 1 : 0);
    return hashOf(packet, packet.payload, (packet.headerLength << 16) ^ shape ^ 0x80000000);
  }

  /** The slot of the same packet of another flow; -1 if there is none, and this one is remembered then. */
  #find(
    packet: Packet,
    hash: number,
    place: number,
    seq: number,
    ack: number,
    content: number,
    window: number,
  ): number {
    const slot = Math.imul(seq ^ Math.imul(ack, GOLDEN) ^ content, GOLDEN) >>> 18;
    const isV4 = packet.family === 4;
    const { view, ip, time, index } = packet;
    const id = isV4 ? view.getUint16(ip + 4) : view.getUint32(ip) & 0xfffff;
    const hops = view.getUint8(ip + (isV4 ? 8 : 7));
    const stamp = this.#options.hasTimestamps ? this.#options.tsval : 0;
    if (
      this.#hash[slot] !== hash &&
      this.#seq[slot] === seq &&
      this.#ack[slot] === ack &&
      this.#content[slot] === content &&
      Math.abs(time - this.#time[slot]!) < window &&
      this.#agrees(slot, place, id, stamp, hops) &&
      !this.#isWantedTwice(index, this.#index[slot]!)
    ) {
      return slot;
    }
    this.#hash[slot] = hash;
    this.#seq[slot] = seq;
    this.#ack[slot] = ack;
    this.#content[slot] = content;
    this.#place[slot] = place;
    this.#id[slot] = id;
    this.#stamp[slot] = stamp;
    this.#hops[slot] = hops;
    this.#index[slot] = index;
    this.#time[slot] = time;
    this.#tuples.set(this.#tuple, slot * TUPLE);
    return -1;
  }

  /**
   * Whether a packet with the same numbers and content is the same one. It was routed (its time to live is lower) or
   * captured at another place; and it has the client's own address and port (DNAT), identification or timestamp: one of these is
   * enough if both are so, two if one is, of which a bridge's translation has the first.
   */
  #agrees(slot: number, place: number, id: number, stamp: number, hops: number): boolean {
    const distance = Math.abs(hops - this.#hops[slot]!);
    const isRouted = distance > 0 && distance <= MOST_HOPS;
    const isElsewhere = place !== this.#place[slot];
    const isSameClient = this.#isSameClient(slot);
    const isSamePacket = id !== 0 && id === this.#id[slot];
    const isSameTime = stamp !== 0 && stamp === this.#stamp[slot];
    const marks = Number(isSameClient) + Number(isSamePacket) + Number(isSameTime);
    if (isRouted) return marks >= (isElsewhere ? 1 : 2);
    return distance === 0 && isElsewhere && isSameClient && marks >= 2;
  }

  #isSameClient(slot: number): boolean {
    const at = slot * TUPLE;
    for (let i = 0; i < 4; i++) if (this.#tuples[at + i] !== this.#tuple[i]) return false;
    return this.#tuples[at + PORTS]! >>> 16 === this.#tuple[PORTS]! >>> 16;
  }

  /** The user named the address of this one, too, for other targets: each gets it once. */
  #isWantedTwice(index: number, first: number): boolean {
    return this.#named[index] === true && this.targets[index] !== this.targets[first];
  }

  #note(before: number, slot: number): void {
    if (before > 0) return;
    this.#example.set(this.#tuples.subarray(slot * TUPLE, (slot + 1) * TUPLE));
    this.#example.set(this.#tuple, TUPLE);
  }
}

/** A hash, 0 to 2^32 - 1, of the first captured bytes from `at` on. */
function hashOf({ view, end }: Packet, at: number, start: number): number {
  const last = Math.min(end, at + MOST_PAYLOAD);
  let hash = start;
  for (; at + 4 <= last; at += 4) {
    hash = Math.imul(hash ^ view.getInt32(at), GOLDEN);
    hash ^= hash >>> 15;
  }
  for (; at < last; at++) hash = Math.imul(hash ^ view.getUint8(at), GOLDEN);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function counted(count: number, what: string): string {
  if (count === 0) return "";
  return `${count.toLocaleString("en-US")} ${what}${count === 1 ? "" : "s"}`;
}
