/**
 * The maps by which user space tells the kernel programs about copies and their flows, for any thread that has their
 * descriptors. An owner stands for a copy (copies.ts), below 2^27: it comes back as `index` of the records.
 */
import { BpfHashMap } from "../../native/bpf/map.ts";
import { copyBytes } from "../../wire/copy.ts";

/** Bytes of a flow: client and server address (16 each; IPv4 as 4 and zeros), their ports (network order). */
export const FLOW_BYTES = 36;
export const COOKIE_BYTES = 8;
/** Copies that the map `cookies` holds. */
export const MAX_COOKIES = 1024;

const BATCH = 1024;
/** Added to the owner of a flow (copies.ts): its responses are captured with their payload. */
export const WITH_PAYLOAD = 0x40000000;
/** The owner of flows that an earlier intercept has learned: it stands for no copy of this one. */
export const FORMER = 0x07ffffff;
/** `struct registered` of bpf/intercept/registered.h: owner, una, max, rcv, state. */
const REGISTERED_WORDS = 5;

/** Flows that belong to copies, in the map `learned` (TCP, by SYNs and proofs) or `datagram_flows` (registered). */
export class Learned {
  readonly #map: BpfHashMap;
  /** Where `sweep` goes on; whether it does. */
  #isSweeping = false;

  /** `map` is the descriptor of it. */
  constructor(map: number) {
    this.#map = new BpfHashMap(map, FLOW_BYTES, BATCH);
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
      to.values.fill(FORMER);
      to.update(count);
      all += count;
    }
    return all;
  }

  /** Whether this flow is one of them; it counts as used. */
  has(flow: Uint8Array): boolean {
    this.#map.keys.set(flow);
    return this.#map.has();
  }

  /** How many there are; reads the whole map. */
  count(): number {
    return this.#map.count();
  }

  get isEmpty(): boolean {
    return this.#map.count(1) === 0;
  }

  /** Looks at the next flows, some 1,000, and removes those of owners that are over; returns how many. See `isSwept`. */
  sweep(isOver: (owner: number) => boolean): number {
    const map = this.#map;
    const count = map.read(!this.#isSweeping);
    this.#isSweeping = !map.isAtEnd;
    let over = 0;
    for (let index = 0; index < count; index++) {
      if (!isOver(map.values[index]! & ~WITH_PAYLOAD)) continue;
      map.keys.copyWithin(over * FLOW_BYTES, index * FLOW_BYTES, (index + 1) * FLOW_BYTES);
      over++;
    }
    map.delete(over);
    return over;
  }

  /** Whether the last `sweep` came to the end; the next one begins anew. */
  get isSwept(): boolean {
    return !this.#isSweeping;
  }

  /** The next `sweep` begins with the first flow. */
  rewind(): void {
    this.#isSweeping = false;
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
