/**
 * The maps by which user space tells the kernel programs about copies and their flows, for any thread that has their
 * descriptors. A slot is a number of a copy's own, 0 to 2^31 - 1: it comes back as `index` of the records.
 */
import { BpfHashMap } from "../../native/bpf/map.ts";
import { copyBytes } from "../../wire/copy.ts";

/** Bytes of a flow: client and server address (16 each; IPv4 as 4 and zeros), their ports (network order). */
export const FLOW_BYTES = 36;
export const COOKIE_BYTES = 8;
/** Copies that the map `cookies` holds. */
export const MAX_COOKIES = 1024;

const BATCH = 1024;
/** Set in the slot of a registered flow: no SYN can give it to another copy (bpf/intercept/intercept.bpf.c). */
const REGISTERED = 0x80000000;
/** Added to a slot: its responses are captured with their payload. */
export const WITH_PAYLOAD = 0x40000000;

/** The forged flows: those added here, and those that the kernel learns by the cookie of their SYN. */
export class Learned {
  readonly #map: BpfHashMap;

  /** `map` is the descriptor of the map `learned`. */
  constructor(map: number) {
    this.#map = new BpfHashMap(map, FLOW_BYTES, BATCH);
  }

  /**
   * From now on what this host sends in these flows is caught, with records for `slot`. `flows` has them back to back, a
   * whole number of FLOW_BYTES each, `from` to `to` (bytes). Where the map is full, those unused for longest are
   * forgotten. Throws with errno's text.
   */
  add(flows: Uint8Array, slot: number, from = 0, to = flows.length): void {
    this.#map.values.fill((slot | REGISTERED) >>> 0);
    for (let at = from; at < to; ) {
      const count = this.#fill(flows, at, to);
      this.#map.update(count);
      at += count * FLOW_BYTES;
    }
  }

  /** From now on these flows, learned or registered, belong to no copy: what this host sends in them passes. */
  remove(flows: Uint8Array, from = 0, to = flows.length): void {
    for (let at = from; at < to; ) {
      const count = this.#fill(flows, at, to);
      this.#map.delete(count);
      at += count * FLOW_BYTES;
    }
  }

  /** Whether this flow is one of them; it counts as used. */
  has(flow: Uint8Array): boolean {
    this.#map.keys.set(flow);
    return this.#map.has();
  }

  /** How many there are, learned and registered; reads the whole map. */
  count(): number {
    return this.#map.count();
  }

  get isEmpty(): boolean {
    return this.#map.count(1) === 0;
  }

  #fill(flows: Uint8Array, from: number, to: number): number {
    const count = Math.min(this.#map.capacity, (to - from) / FLOW_BYTES);
    copyBytes(flows, from, count * FLOW_BYTES, this.#map.keys, 0);
    return count;
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
  set(cookie: Uint8Array, slot: number): void {
    this.#map.keys.set(cookie);
    this.#map.values[0] = slot;
    this.#map.update(1);
  }

  /** SYNs with it are no longer learned. Flows that were learned stay, as the target goes on answering in them. */
  remove(cookie: Uint8Array): void {
    this.#map.keys.set(cookie);
    this.#map.delete(1);
  }
}
