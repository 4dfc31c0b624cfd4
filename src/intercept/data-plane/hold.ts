/**
 * Responses that arrived before their flow was registered: both travel by different ways, and the SYN-ACK of a near target
 * can be faster. Their headers wait here for a while, in a bounded ring; when it is full, the oldest is dropped.
 *
 * No payload is lost by that, not even the greeting of a server that speaks first: a target sends none before its SYN-ACK is
 * acknowledged, which the copy does when it has received it from here. What a target sends while the intercept restarts, it
 * retransmits.
 */
import { copyBytes } from "../../wire/copy.ts";
import { Packet } from "../../wire/packet.ts";
import { type FlowMatch, KEY_WORDS } from "./flow-key.ts";

/** us that a response waits for the registration of its flow. */
export const HOLD_SPAN = 3_000_000;
/** Header bytes that are kept of each. */
const HEADER = 128;
const NONE = -1;

export class Hold {
  readonly #keys: Uint32Array;
  readonly #bytes: Uint8Array;
  /** Per row: offsets of TCP header and payload, bytes kept, payload bytes on the wire; 0 bytes kept: nothing here. */
  readonly #tcp: Uint8Array;
  readonly #payload: Uint8Array;
  readonly #captured: Uint8Array;
  readonly #length: Uint32Array;
  readonly #since: Float64Array;
  readonly #next: Int32Array;
  readonly #buckets: Int32Array;
  readonly #packet: Packet;
  #first = 0;
  /** Rows from the first on, those that were taken out included. */
  #span = 0;
  #count = 0;

  /** `capacity`: most responses that wait, a power of two; about 200 bytes each. */
  constructor(
    readonly capacity: number,
    readonly match: FlowMatch,
  ) {
    const memory = new ArrayBuffer(capacity * HEADER);
    this.#bytes = new Uint8Array(memory);
    this.#packet = new Packet(this.#bytes);
    this.#keys = new Uint32Array(capacity * KEY_WORDS);
    this.#tcp = new Uint8Array(capacity);
    this.#payload = new Uint8Array(capacity);
    this.#captured = new Uint8Array(capacity);
    this.#length = new Uint32Array(capacity);
    this.#since = new Float64Array(capacity);
    this.#next = new Int32Array(capacity).fill(NONE);
    this.#buckets = new Int32Array(capacity).fill(NONE);
  }

  /** Responses that wait. */
  get count(): number {
    return this.#count;
  }

  /** Keeps a response of the flow `key`, in place of one of the same flow. Returns how many were dropped for it, 0 or 1. */
  add(packet: Packet, key: Uint32Array, now: number): number {
    const known = this.#lookUp(key, 0);
    if (known !== NONE) {
      this.#write(known, packet);
      return 1;
    }
    let displaced = 0;
    if (this.#span === this.capacity) displaced = this.#dropFirst();
    const row = (this.#first + this.#span++) & (this.capacity - 1);
    this.#keys.set(key, row * KEY_WORDS);
    this.#write(row, packet);
    this.#since[row] = now;
    const bucket = this.#bucketOf(row * KEY_WORDS, this.#keys);
    this.#next[row] = this.#buckets[bucket]!;
    this.#buckets[bucket] = row;
    this.#count++;
    return displaced;
  }

  /** Hands the response of a flow to `sink`, and forgets it if that returns true. The packet is valid during the call. */
  take(key: Uint32Array, at: number, sink: (packet: Packet) => boolean): void {
    if (this.#count === 0) return;
    const row = this.#lookUp(key, at);
    if (row === NONE) return;
    if (sink(this.#show(row))) this.#remove(row);
  }

  /** Hands every response to `sink` and forgets those for which it returns true. */
  takeEach(sink: (packet: Packet) => boolean): void {
    for (let index = 0; index < this.#span; index++) {
      const row = (this.#first + index) & (this.capacity - 1);
      if (this.#captured[row] !== 0 && sink(this.#show(row))) this.#remove(row);
    }
  }

  /** Forgets those that have waited long enough; returns how many. */
  expire(now: number): number {
    let expired = 0;
    while (this.#span > 0 && now - this.#since[this.#first]! >= HOLD_SPAN) expired += this.#dropFirst();
    return expired;
  }

  #show(row: number): Packet {
    const packet = this.#packet;
    packet.ip = row * HEADER;
    packet.tcp = packet.ip + this.#tcp[row]!;
    packet.payload = packet.ip + this.#payload[row]!;
    packet.end = packet.ip + this.#captured[row]!;
    packet.length = this.#length[row]!;
    packet.time = this.#since[row]!;
    return packet;
  }

  #write(row: number, packet: Packet): void {
    const captured = Math.min(packet.end - packet.ip, HEADER);
    copyBytes(packet.bytes, packet.ip, captured, this.#bytes, row * HEADER);
    this.#captured[row] = captured;
    this.#tcp[row] = packet.tcp - packet.ip;
    this.#payload[row] = Math.min(packet.payload - packet.ip, 255);
    this.#length[row] = packet.length;
  }

  #bucketOf(at: number, words: Uint32Array): number {
    return this.match.hash(words, at) & (this.capacity - 1);
  }

  #lookUp(key: Uint32Array, at: number): number {
    let row = this.#buckets[this.#bucketOf(at, key)]!;
    while (row !== NONE && !this.match.same(this.#keys, row * KEY_WORDS, key, at)) row = this.#next[row]!;
    return row;
  }

  #remove(row: number): void {
    const bucket = this.#bucketOf(row * KEY_WORDS, this.#keys);
    let before = NONE;
    for (let other = this.#buckets[bucket]!; other !== row; other = this.#next[other]!) before = other;
    if (before === NONE) this.#buckets[bucket] = this.#next[row]!;
    else this.#next[before] = this.#next[row]!;
    this.#captured[row] = 0;
    this.#count--;
    while (this.#span > 0 && this.#captured[this.#first] === 0) this.#stepOver();
  }

  /** Forgets the oldest; returns 1, the number of dropped responses. */
  #dropFirst(): number {
    this.#remove(this.#first);
    return 1;
  }

  #stepOver(): void {
    this.#first = (this.#first + 1) & (this.capacity - 1);
    this.#span--;
  }
}
