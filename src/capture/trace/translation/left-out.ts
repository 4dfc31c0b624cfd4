/** The connections that are left out of a recording, by their addresses and ports, in bounded memory. */
import type { Packet } from "../../../wire/packet.ts";

/** Words of a connection's 4-tuple: source and destination address, four each, and one with both ports, at PORTS. */
export const TUPLE = 9;
export const PORTS = 8;

const WAYS = 4;
const SETS = 16_384;
const GOLDEN = 0x9e3779b1;

/** The connections that are left out, by their 4-tuples; of a set that is full the one that was silent longest is forgotten. */
export class LeftOut {
  readonly #tuples = new Int32Array(SETS * WAYS * TUPLE);
  /** Initial sequence number; -1: not known. */
  readonly #first = new Float64Array(SETS * WAYS);
  readonly #time = new Float64Array(SETS * WAYS).fill(-Infinity);

  /** Whether the packet belongs to one of them. A SYN with another number begins a new connection, which does not. */
  has(packet: Packet, hash: number, tuple: Int32Array, isSyn: boolean): boolean {
    const entry = this.#find(hash, tuple, 0);
    if (entry < 0) return false;
    const isNew = isSyn && this.#first[entry] !== packet.seq;
    this.#time[entry] = isNew ? -Infinity : packet.time;
    return !isNew;
  }

  isKnown(hash: number, tuples: Int32Array, at: number): boolean {
    return this.#find(hash, tuples, at) >= 0;
  }

  add(packet: Packet, hash: number, tuple: Int32Array, isSyn: boolean): void {
    let entry = setOf(hash);
    for (let other = entry + 1; other < setOf(hash) + WAYS; other++) {
      if (this.#time[other]! < this.#time[entry]!) entry = other;
    }
    this.#tuples.set(tuple, entry * TUPLE);
    this.#first[entry] = isSyn ? packet.seq : -1;
    this.#time[entry] = packet.time;
  }

  #find(hash: number, tuple: Int32Array, at: number): number {
    const set = setOf(hash);
    for (let entry = set; entry < set + WAYS; entry++) {
      if (this.#time[entry] !== -Infinity && isSame(this.#tuples, entry * TUPLE, tuple, at)) return entry;
    }
    return -1;
  }
}

function setOf(hash: number): number {
  return (Math.imul(hash, GOLDEN) >>> 18) * WAYS;
}

function isSame(one: Int32Array, at: number, other: Int32Array, otherAt: number): boolean {
  for (let i = 0; i < TUPLE; i++) if (one[at + i] !== other[otherAt + i]) return false;
  return true;
}
