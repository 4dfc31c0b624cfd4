/**
 * The maps by which user space tells the kernel programs about copies and their flows, for any thread that has their
 * descriptors. An owner stands for a copy (copies.ts), below 2^27: it comes back as `index` of the records.
 */
import { BpfHashMap } from "../../native/bpf/map.ts";
import { mapShared, PROT_READ, PROT_WRITE } from "../../native/libc.ts";
import { copyBytes } from "../../wire/copy.ts";
import { SLOTS, slotOf } from "./copies.ts";

/** Bytes of a flow: client and server address (16 each; IPv4 as 4 and zeros), their ports (network order). */
export const FLOW_BYTES = 36;
export const COOKIE_BYTES = 8;
/** Copies that the map `cookies` holds. */
export const MAX_COOKIES = 1024;

const BATCH = 1024;
/**
 * The value of a flow, as in bpf/intercept/learned.h: its owner; whether its responses are captured with their payload; whether
 * it was a tcpcopy's, which proves nothing.
 */
const OWNER = 0x07ffffff;
export const WITH_PAYLOAD = 0x40000000;
export const UNPROVED = 0x20000000;
/** The owner of flows that an earlier intercept has learned: it stands for no copy of this one. */
export const FORMER = OWNER;
/** Words of an element of a mapped array: 8 bytes at least. */
const ELEMENT = 2;
/** `struct registered` of bpf/intercept/registered.h: owner, una, max, rcv, state. */
const REGISTERED_WORDS = 5;

/** Which owners may still be there, in the map `owners`: all that the others had is withdrawn. */
export class Owners {
  /** By slot its owner, less the slot; then whether flows of an earlier intercept are over. */
  readonly #words: Int32Array;

  /** `map` is the descriptor of the map `owners`. */
  constructor(map: number) {
    const words = (SLOTS + 1) * ELEMENT;
    this.#words = new Int32Array(mapShared(map, words * 4, PROT_READ | PROT_WRITE).buffer, 0, words);
  }

  /** The slot of this owner is its own from now on: earlier owners of it are over. */
  set(owner: number): void {
    const slot = slotOf(owner);
    this.#words[slot * ELEMENT] = owner - slot;
  }

  /** The flows of an earlier intercept are over. */
  endFormer(): void {
    this.#words[SLOTS * ELEMENT] = 1;
  }

  /** Whether the owner of a flow with this value is not over. */
  have(value: number): boolean {
    const owner = value & OWNER;
    if (owner === FORMER) return this.#words[SLOTS * ELEMENT] === 0;
    const slot = slotOf(owner);
    return this.#words[slot * ELEMENT] === owner - slot;
  }
}

/**
 * Flows that belong to copies, in the map `learned` (TCP, by SYNs and proofs) or `datagram_flows` (registered). Those of owners
 * that are over stay in the first (bpf/intercept/learned.h), and count for nothing here.
 */
export class Learned {
  readonly #map: BpfHashMap;
  readonly #owners: Owners | null;
  /** Whether `look` has begun, and is not at the end. */
  #isLooking = false;

  /** `map` is the descriptor of it; `owners`: those of the map `learned`. */
  constructor(map: number, owners: Owners | null = null) {
    this.#map = new BpfHashMap(map, FLOW_BYTES, BATCH);
    this.#owners = owners;
  }

  /**
   * From now on what this host sends in these flows is caught, with records for `owner`. `flows` has them back to back, a
   * whole number of FLOW_BYTES each, `from` to `to` (bytes). Where the map is full, those unused for longest are
   * forgotten. Throws with errno's text.
   */
  add(flows: Uint8Array, owner: number, from = 0, to = flows.length): void {
    this.#map.values.fill(owner);
    for (let at = from; at < to; ) {
      const count = fill(this.#map, flows, at, to);
      this.#map.update(count);
      at += count * FLOW_BYTES;
    }
  }

  /** From now on these flows belong to no copy: what this host sends in them passes. */
  remove(flows: Uint8Array, from = 0, to = flows.length): void {
    removeAll(this.#map, flows, from, to);
  }

  /** Takes the flows of another map for those of copies that are not known any more; returns how many. */
  inherit(other: Learned): number {
    const [from, to] = [other.#map, this.#map];
    let all = 0;
    for (let isFirst = true; isFirst || !from.isAtEnd; isFirst = false) {
      const count = from.read(isFirst);
      copyBytes(from.keys, 0, count * FLOW_BYTES, to.keys, 0);
      for (let index = 0; index < count; index++)
        to.values[index] = (from.values[index]! & UNPROVED) | FORMER;
      to.update(count);
      all += count;
    }
    return all;
  }

  /** Whether this flow is one of them; it counts as used. */
  has(flow: Uint8Array): boolean {
    this.#map.keys.set(flow);
    return this.#map.has() && this.#isOwned(this.#map.values[0]!);
  }

  /** How many there are; reads the whole map. */
  count(): number {
    return this.#count(Infinity);
  }

  get isEmpty(): boolean {
    return this.#count(1) === 0;
  }

  /** Looks at the next flows, some 1,000; returns how many of them are of such owners. See `isAtEnd`. */
  look(isOne: (owner: number) => boolean): number {
    const map = this.#map;
    const count = map.read(!this.#isLooking);
    this.#isLooking = !map.isAtEnd;
    let ones = 0;
    for (let index = 0; index < count; index++) if (isOne(map.values[index]! & OWNER)) ones++;
    return ones;
  }

  /** Whether the last `look` came to the end; the next one begins anew. */
  get isAtEnd(): boolean {
    return !this.#isLooking;
  }

  #isOwned(value: number): boolean {
    return this.#owners === null || this.#owners.have(value);
  }

  /** Stops counting at `enough`. */
  #count(enough: number): number {
    const map = this.#map;
    let count = 0;
    for (let isFirst = true; count < enough; isFirst = false) {
      const read = map.read(isFirst);
      for (let index = 0; index < read; index++) if (this.#isOwned(map.values[index]!)) count++;
      if (map.isAtEnd) break;
    }
    return count;
  }
}

/** Flows that copies have registered, with what proves them: the map `registered`. Which are in it is FlowTable's to decide. */
export class Registered {
  readonly #map: BpfHashMap;
  readonly #gone = new Uint8Array(BATCH * FLOW_BYTES);
  #goneCount = 0;
  #count = 0;

  /** `map` is the descriptor of the map `registered`. */
  constructor(map: number) {
    this.#map = new BpfHashMap(map, FLOW_BYTES, BATCH, REGISTERED_WORDS);
  }

  /** A flow is registered from the next `flush` on. `key`: its FLOW_BYTES at `at`. The numbers: see registration.ts. */
  add(
    key: Uint8Array,
    at: number,
    owner: number,
    una: number,
    max: number,
    rcv: number,
    state: number,
  ): void {
    if (this.#goneCount > 0) this.flush();
    const { keys, values } = this.#map;
    copyBytes(key, at, FLOW_BYTES, keys, this.#count * FLOW_BYTES);
    let word = this.#count * REGISTERED_WORDS;
    values[word++] = owner;
    values[word++] = una;
    values[word++] = max;
    values[word++] = rcv;
    values[word] = state;
    if (++this.#count === BATCH) this.flush();
  }

  /** A flow is registered no more from the next `flush` on. */
  remove(key: Uint8Array, at: number): void {
    if (this.#count > 0) this.flush();
    copyBytes(key, at, FLOW_BYTES, this.#gone, this.#goneCount * FLOW_BYTES);
    if (++this.#goneCount === BATCH) this.flush();
  }

  /** Tells the kernel. Throws with errno's text. */
  flush(): void {
    this.#map.update(this.#count);
    this.#count = 0;
    removeAll(this.#map, this.#gone, 0, this.#goneCount * FLOW_BYTES);
    this.#goneCount = 0;
  }
}

/** Puts flows into the map's keys, as many as fit; returns how many. */
function fill(map: BpfHashMap, flows: Uint8Array, from: number, to: number): number {
  const count = Math.min(map.capacity, (to - from) / FLOW_BYTES);
  copyBytes(flows, from, count * FLOW_BYTES, map.keys, 0);
  return count;
}

function removeAll(map: BpfHashMap, flows: Uint8Array, from: number, to: number): void {
  for (let at = from; at < to; ) {
    const count = fill(map, flows, at, to);
    map.delete(count);
    at += count * FLOW_BYTES;
  }
}

/** Which cookie on a SYN is which copy's. */
export class Cookies {
  readonly #map: BpfHashMap;

  /** `map` is the descriptor of the map `cookies`. */
  constructor(map: number) {
    this.#map = new BpfHashMap(map, COOKIE_BYTES, 1);
  }

  /** `cookie`: its COOKIE_BYTES as they stand on the wire. Throws with errno's text: E2BIG beyond MAX_COOKIES. */
  set(cookie: Uint8Array, owner: number): void {
    this.#map.keys.set(cookie);
    this.#map.values[0] = owner;
    this.#map.update(1);
  }

  /** SYNs with it are no longer learned. Flows that were learned stay, as the target goes on answering in them. */
  remove(cookie: Uint8Array): void {
    this.#map.keys.set(cookie);
    this.#map.delete(1);
  }
}
