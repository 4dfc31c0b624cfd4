/**
 * Which addresses are this host's, in memory that the main thread writes and workers read: as bpf/record/local.h. There are two
 * copies, of which one is in use while the main thread writes the other.
 */
import type { LocalPrefix } from "../../native/netlink/local-prefixes.ts";
import type { IpHeader } from "../../wire/ip-header.ts";
import { type Forwarded, MOST_LOCAL } from "../local-maps.ts";

const MOST_SLOTS = MOST_LOCAL.addresses * 2;
const LEAST_SLOTS = 64;

/** Words of the header: which copy is in use; the destination that `noteForwarded` has kept. */
const IN_USE = 0;
const FAMILY = 1;
const PORT = 2;
const KEPT = 3;
const HEADER = 7;
/** Words of a copy: how many slots and prefixes it has, the slots, the prefixes. */
const SLOTS = 0;
const PREFIXES = 1;
const FIRST_SLOT = 2;
/** A slot: the family (0: it is free) and four words of address. A prefix: its bits as well. */
const SLOT = 5;
const PREFIX = 6;
const FIRST_PREFIX = FIRST_SLOT + MOST_SLOTS * SLOT;
const COPY = FIRST_PREFIX + MOST_LOCAL.prefixes * PREFIX;

export class LocalTable {
  readonly #words: Int32Array;
  /** The address that is looked up. */
  readonly #key = new Int32Array(4);

  /** `memory`: made by `LocalTable.memory`. Pages that are not used stay untouched. */
  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory);
  }

  static memory(): SharedArrayBuffer {
    return new SharedArrayBuffer((HEADER + 2 * COPY) * 4);
  }

  /** Makes it that of `local`; returns how many of it there is no room for. For the main thread. */
  set(local: readonly LocalPrefix[]): number {
    const words = this.#words;
    const next = Atomics.load(words, IN_USE) ^ 1;
    const at = HEADER + next * COPY;
    const isWhole = ({ bits, bytes }: LocalPrefix) => bits === bytes.length * 8;
    const whole = local.filter(isWhole);
    const prefixes = local.filter((prefix) => !isWhole(prefix)).slice(0, MOST_LOCAL.prefixes);
    let slots = LEAST_SLOTS;
    while (slots < Math.min(whole.length, MOST_LOCAL.addresses) * 2) slots *= 2;
    words[at + SLOTS] = slots;
    words.fill(0, at + FIRST_SLOT, at + FIRST_SLOT + slots * SLOT);
    let room = MOST_LOCAL.addresses;
    let left = local.length - whole.length - prefixes.length;
    for (const { family, bytes } of whole) {
      this.#readKey(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, family);
      const slot = this.#slotOf(at, family);
      if (words[slot] !== 0) continue;
      if (room-- > 0) this.#write(slot, family);
      else left++;
    }
    words[at + PREFIXES] = prefixes.length;
    prefixes.forEach(({ family, bytes, bits }, index) => {
      this.#readKey(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, family);
      const place = at + FIRST_PREFIX + index * PREFIX;
      this.#write(place, family);
      words[place + SLOT] = bits;
    });
    Atomics.store(words, IN_USE, next);
    return left;
  }

  /** Whether a packet's destination is this host's; loopback is, and so are all groups (multicast). */
  has(view: DataView, { ip, family }: IpHeader): boolean {
    return this.#hasAt(view, ip + (family === 4 ? 16 : 24), family);
  }

  /** The same of its source. */
  hasSource(view: DataView, { ip, family }: IpHeader): boolean {
    return this.#hasAt(view, ip + (family === 4 ? 12 : 8), family);
  }

  #hasAt(view: DataView, at: number, family: number): boolean {
    const first = view.getUint8(at);
    if (family === 4 ? first === 127 || first >> 4 === 0xe : first === 0xff) return true;
    const words = this.#words;
    this.#readKey(view, at, family);
    const copy = HEADER + Atomics.load(words, IN_USE) * COPY;
    if (words[this.#slotOf(copy, family)] !== 0) return true;
    for (let index = words[copy + PREFIXES]! - 1; index >= 0; index--) {
      if (this.#isIn(copy + FIRST_PREFIX + index * PREFIX, family)) return true;
    }
    return false;
  }

  /** Keeps a destination that was left out, for the user. */
  noteForwarded(view: DataView, { ip, family }: IpHeader, port: number): void {
    const words = this.#words;
    this.#readKey(view, ip + (family === 4 ? 16 : 24), family);
    words.set(this.#key, KEPT);
    words[PORT] = port;
    Atomics.store(words, FAMILY, family);
  }

  /** The destination that was noted last; null: none was. */
  forwarded(): Forwarded | null {
    const family = Atomics.load(this.#words, FAMILY);
    if (family === 0) return null;
    const address = new Uint8Array(family === 4 ? 4 : 16);
    const view = new DataView(address.buffer);
    for (let word = 0; word * 4 < address.length; word++) view.setInt32(word * 4, this.#words[KEPT + word]!);
    return { address, port: this.#words[PORT]! };
  }

  #readKey(view: DataView, at: number, family: number): void {
    for (let word = 0; word < 4; word++)
      this.#key[word] = family === 4 && word > 0 ? 0 : view.getInt32(at + word * 4);
  }

  #write(place: number, family: number): void {
    this.#words[place] = family;
    this.#words.set(this.#key, place + 1);
  }

  /** The slot of the key in a copy, or the free one that ends the search. */
  #slotOf(copy: number, family: number): number {
    const words = this.#words;
    const key = this.#key;
    const mask = words[copy + SLOTS]! - 1;
    let hash = family;
    for (let word = 0; word < 4; word++) {
      hash = Math.imul(hash ^ key[word]!, 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    for (let probe = 0; ; probe++) {
      const slot = copy + FIRST_SLOT + ((hash + probe) & mask) * SLOT;
      if (words[slot] === 0 || probe > mask) return slot;
      if (words[slot] === family && this.#isKey(slot + 1)) return slot;
    }
  }

  #isKey(at: number): boolean {
    for (let word = 0; word < 4; word++) if (this.#words[at + word] !== this.#key[word]) return false;
    return true;
  }

  #isIn(place: number, family: number): boolean {
    const words = this.#words;
    if (words[place] !== family) return false;
    let bits = words[place + SLOT]!;
    for (let word = 0; bits > 0; word++, bits -= 32) {
      const differ = words[place + 1 + word]! ^ this.#key[word]!;
      if (bits >= 32 ? differ !== 0 : differ >>> (32 - bits) !== 0) return false;
    }
    return true;
  }
}
