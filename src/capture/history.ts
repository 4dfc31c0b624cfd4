/**
 * Recent packets of clients, in tables of fixed size, to find pure ACKs, duplicates and think times by the same rules as the
 * kernel programs (bpf/request/pure-acks.h, bpf/record/duplicate.h). A slot has the flow or packet that used it last.
 */
import type { Packet } from "../wire/packet.ts";
import { ACK, FIN, RST, SYN } from "../wire/tcp.ts";

/** us in which one pure ACK of each connection is captured as a sign of life, where nothing else is asked for. */
export const SIGN_SPAN = 60_000_000;

const ACK_SLOTS = 65_536;
const HANDSHAKE_SLOTS = 65_536;
const SIGN_SLOTS = 65_536;
/** A slot has several, so that flows that share it do not drive each other out. */
const SIGN_WAYS = 4;
/** The part of the time between two signs of life after which one makes room for another flow's. */
const SHARED_SIGNS = 15;
const DUPLICATE_SLOTS = 4096;
/** us within which the same packet on another interface is a duplicate. */
const DUPLICATE_WINDOW = 1_000_000;
/** The same for datagrams, of which clients may send the same again: see bpf/record/duplicate.h. */
const DATAGRAM_WINDOW = 50_000;
const MOST_CROSSED = 3;
/** Bytes; see `acksFar` of Packet. */
const FAR = 16 << 20;
const GOLDEN = 0x9e3779b1;

export const CAPTURED = 0;
/** A pure ACK that nobody needs. */
export const PURE_ACK = 1;
/** The same packet was seen on another interface before. */
export const DUPLICATE = 2;

export class History {
  readonly #ackHash = new Uint32Array(ACK_SLOTS);
  readonly #ackSeq = new Uint32Array(ACK_SLOTS);
  readonly #ackAck = new Uint32Array(ACK_SLOTS);
  /** us, plus 1; 0: none, as memory is that nobody has touched. */
  readonly #ackTime = new Float64Array(ACK_SLOTS);
  readonly #synHash = new Uint32Array(HANDSHAKE_SLOTS);
  readonly #synSeq = new Uint32Array(HANDSHAKE_SLOTS);
  readonly #synIsOpen = new Uint8Array(HANDSHAKE_SLOTS);
  readonly #signHash = new Uint32Array(SIGN_SLOTS * SIGN_WAYS);
  /** us, plus 1; 0: none. */
  readonly #signAt = new Float64Array(SIGN_SLOTS * SIGN_WAYS);
  readonly #hash = new Uint32Array(DUPLICATE_SLOTS);
  readonly #seq = new Uint32Array(DUPLICATE_SLOTS);
  readonly #ack = new Uint32Array(DUPLICATE_SLOTS);
  readonly #length = new Uint32Array(DUPLICATE_SLOTS);
  readonly #idAndFlags = new Uint32Array(DUPLICATE_SLOTS);
  readonly #interface = new Uint32Array(DUPLICATE_SLOTS);
  readonly #time = new Float64Array(DUPLICATE_SLOTS).fill(-Infinity);
  /** How many of the same packets came in by `#interface`. */
  readonly #times = new Uint32Array(DUPLICATE_SLOTS);
  /** The other interfaces of each slot (plus 1; 0: none yet), and how many crossed them. */
  readonly #crossed = new Uint32Array(DUPLICATE_SLOTS * MOST_CROSSED);
  readonly #crossedTimes = new Uint32Array(DUPLICATE_SLOTS * MOST_CROSSED);

  /** `signSpan`: us in which one pure ACK of each connection is CAPTURED as a sign of life. */
  constructor(private readonly signSpan = SIGN_SPAN) {}

  /** Forgets everything. */
  clear(): void {
    this.#ackTime.fill(0);
    this.#synIsOpen.fill(0);
    this.#signAt.fill(0);
    this.#time.fill(-Infinity);
  }

  /**
   * Classifies a TCP segment of a client, and remembers it: CAPTURED, PURE_ACK or DUPLICATE. Sets `packet.think` (us, -1:
   * not known) and `packet.acksFar` of one that is CAPTURED. `interfaceId` tells interfaces apart.
   */
  look(packet: Packet, hash: number, interfaceId: number): number {
    const { flags, time } = packet;
    const slot = hash & (ACK_SLOTS - 1);
    if (packet.length === 0 && !(flags & (SYN | FIN | RST)) && !this.#takeAck(packet, slot, hash)) {
      return PURE_ACK;
    }
    if (this.#isDuplicate(packet, hash, interfaceId, packet.seq, packet.ack, flags, false)) return DUPLICATE;
    if (flags & SYN) this.#rememberSyn(packet, hash);
    const isKnown =
      this.#ackTime[slot] !== 0 &&
      this.#ackHash[slot] === hash &&
      this.#ackSeq[slot] === packet.seq &&
      this.#ackAck[slot] === packet.ack;
    packet.acksFar =
      this.#ackTime[slot] !== 0 &&
      this.#ackHash[slot] === hash &&
      (flags & ACK) !== 0 &&
      (packet.ack - this.#ackAck[slot]! + FAR) >>> 0 > 2 * FAR;
    packet.think = isKnown ? Math.max(0, time + 1 - this.#ackTime[slot]!) : -1;
    return CAPTURED;
  }

  /** Whether the same TCP segment was seen on another interface; if not, remembers it, and nothing else. */
  isRepeatedSegment(packet: Packet, hash: number, interfaceId: number): boolean {
    return this.#isDuplicate(packet, hash, interfaceId, packet.seq, packet.ack, packet.flags, false);
  }

  /** Whether the same UDP datagram was seen on another interface; if not, remembers it. */
  isRepeatedDatagram(packet: Packet, hash: number, interfaceId: number): boolean {
    const { view, tcp, payload, end } = packet;
    const first = payload + 4 <= end ? view.getUint32(payload) : 0;
    return this.#isDuplicate(packet, hash, interfaceId, first, view.getUint32(tcp + 4), 0, true);
  }

  /** The same for a fragment, which is recognised by its identification and its offset in bytes. */
  isRepeatedFragment(packet: Packet, id: number, offset: number, interfaceId: number): boolean {
    return this.#isDuplicate(packet, addressHash(packet, 0), interfaceId, id, offset, 0, false);
  }

  /** Remembers a pure ACK. Returns whether it is needed. */
  #takeAck(packet: Packet, slot: number, hash: number): boolean {
    this.#ackHash[slot] = hash;
    this.#ackSeq[slot] = packet.seq;
    this.#ackAck[slot] = packet.ack;
    this.#ackTime[slot] = packet.time + 1;
    return this.#endsHandshake(packet, hash) || this.#isSignOfLife(hash, packet.time + 1, false);
  }

  #endsHandshake(packet: Packet, hash: number): boolean {
    const slot = hash & (HANDSHAKE_SLOTS - 1);
    const isEnd =
      this.#synIsOpen[slot] === 1 && this.#synHash[slot] === hash && this.#synSeq[slot] === packet.seq;
    if (isEnd) this.#synIsOpen[slot] = 0;
    return isEnd;
  }

  /** Whether a packet is a sign of life of its flow that is due; `time`: its own, plus 1. A SYN only notes that the flow begins. */
  #isSignOfLife(hash: number, time: number, isSyn: boolean): boolean {
    const first = (hash & (SIGN_SLOTS - 1)) * SIGN_WAYS;
    let oldest = first;
    let most = -1;
    for (let at = first; at < first + SIGN_WAYS; at++) {
      // The time of a recording may step back.
      const age = this.#signAt[at] === 0 ? Infinity : Math.abs(time - this.#signAt[at]!);
      if (this.#signHash[at] === hash && age !== Infinity) {
        if (!isSyn && age < this.signSpan) return false;
        this.#signAt[at] = time;
        return !isSyn;
      }
      if (age <= most) continue;
      most = age;
      oldest = at;
    }
    if (most < this.signSpan / SHARED_SIGNS) return false;
    this.#signHash[oldest] = hash;
    this.#signAt[oldest] = time;
    return !isSyn && most !== Infinity;
  }

  #rememberSyn(packet: Packet, hash: number): void {
    const slot = hash & (HANDSHAKE_SLOTS - 1);
    this.#synHash[slot] = hash;
    // After the data that it may carry (TCP Fast Open).
    this.#synSeq[slot] = packet.seq + 1 + packet.length;
    this.#synIsOpen[slot] = 1;
    this.#isSignOfLife(hash, packet.time + 1, true);
  }

  #isDuplicate(
    packet: Packet,
    hash: number,
    interfaceId: number,
    seq: number,
    ack: number,
    flags: number,
    isDatagram: boolean,
  ): boolean {
    const { length, time } = packet;
    const id = packet.family === 4 ? packet.view.getUint16(packet.ip + 4) : 0;
    const idAndFlags = ((id << 16) | flags) >>> 0;
    const slot = Math.imul(hash ^ seq ^ ack, GOLDEN) >>> 20;
    if (
      this.#hash[slot] === hash &&
      this.#seq[slot] === seq &&
      this.#ack[slot] === ack &&
      this.#length[slot] === length &&
      this.#idAndFlags[slot] === idAndFlags &&
      Math.abs(time - this.#time[slot]!) < (isDatagram ? DATAGRAM_WINDOW : DUPLICATE_WINDOW)
    ) {
      if (this.#interface[slot] === interfaceId) {
        this.#times[slot]!++;
        this.#time[slot] = time;
        return false;
      }
      if (!isDatagram || this.#hasCrossed(slot, interfaceId)) return true;
    }
    this.#hash[slot] = hash;
    this.#seq[slot] = seq;
    this.#ack[slot] = ack;
    this.#length[slot] = length;
    this.#idAndFlags[slot] = idAndFlags;
    this.#interface[slot] = interfaceId;
    this.#time[slot] = time;
    this.#times[slot] = 1;
    const from = slot * MOST_CROSSED;
    for (let place = from; place < from + MOST_CROSSED; place++) {
      this.#crossed[place] = 0;
      this.#crossedTimes[place] = 0;
    }
    return false;
  }

  /** Whether no more of the same packets crossed this interface than the one that captured them. */
  #hasCrossed(slot: number, interfaceId: number): boolean {
    const from = slot * MOST_CROSSED;
    for (let place = from; place < from + MOST_CROSSED; place++) {
      if (this.#crossed[place] === 0) this.#crossed[place] = interfaceId + 1;
      if (this.#crossed[place] === interfaceId + 1) {
        return ++this.#crossedTimes[place]! <= this.#times[slot]!;
      }
    }
    return true;
  }
}

/** Hash of a client's flow, 0 to 2^32 - 1: the same as `flow_hash` in bpf/record/service.h. */
export function flowHash(packet: Packet): number {
  const { view, tcp } = packet;
  // The kernel program reads words in network order as if they were in host order.
  return addressHash(packet, ((view.getUint16(tcp, true) << 16) | view.getUint16(tcp + 2, true)) >>> 0);
}

/** The same of addresses (4 or 16 bytes in network order) and ports. */
export function flowHashOf(
  client: Uint8Array,
  service: Uint8Array,
  clientPort: number,
  servicePort: number,
): number {
  const swapped = (port: number) => ((port & 0xff) << 8) | (port >>> 8);
  let hash = Math.imul(((swapped(clientPort) << 16) | swapped(servicePort)) >>> 0, GOLDEN);
  hash ^= hash >>> 15;
  for (const address of [client, service]) {
    const view = new DataView(address.buffer, address.byteOffset, address.length);
    for (let at = 0; at < 16; at += 4) {
      hash = Math.imul(hash ^ (at < address.length ? view.getUint32(at, true) : 0), GOLDEN);
      hash ^= hash >>> 15;
    }
  }
  return hash >>> 0;
}

/** The same of the client's flow that a packet belongs to which a service has sent: with both sides the other way round. */
export function answerHash(packet: Packet): number {
  const { view, tcp } = packet;
  return addressHash(packet, ((view.getUint16(tcp + 2, true) << 16) | view.getUint16(tcp, true)) >>> 0, 4);
}

/** `turned`: 4 where source and destination change places. */
function addressHash(packet: Packet, ports: number, turned = 0): number {
  const { view, ip } = packet;
  let hash = Math.imul(ports, GOLDEN);
  hash ^= hash >>> 15;
  const isV4 = packet.family === 4;
  for (let word = 0; word < 8; word++) {
    let value = 0;
    if (!isV4) value = view.getUint32(ip + 8 + (word ^ turned) * 4, true);
    else if ((word & 3) === 0) value = view.getUint32(ip + 12 + (word ^ turned), true);
    hash = Math.imul(hash ^ value, GOLDEN);
    hash ^= hash >>> 15;
  }
  return hash >>> 0;
}
