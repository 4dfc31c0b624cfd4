/**
 * Which copy a flow belongs to, for flows that were registered over the channel. A bounded hash table in typed arrays;
 * when it is full, the flow that was not used for longest is removed.
 */
import { type FlowMatch, KEY_WORDS } from "./flow-key.ts";

const NONE = -1;
const FIRST_ROWS = 4096;

export class FlowTable {
  /** Flows that were removed to make room for others. */
  evicted = 0;
  #count = 0;
  #rows = 0;
  #keys = new Uint32Array(0);
  #bytes = new Uint8Array(0);
  #slots = new Int32Array(0);
  /** Chains of a bucket; rows that are not used form one as well. */
  #next = new Int32Array(0);
  #buckets = new Int32Array(0);
  #free = NONE;
  /** The order of use: `newer` and `older` neighbours. */
  #newer = new Int32Array(0);
  #older = new Int32Array(0);
  #newest = NONE;
  #oldest = NONE;

  /** `capacity`: most flows. Memory is taken as they come: about 64 bytes each. */
  constructor(
    readonly capacity: number,
    readonly match: FlowMatch,
  ) {
    this.#grow(Math.min(capacity, FIRST_ROWS));
  }

  get count(): number {
    return this.#count;
  }

  /** The row of a flow (9 words at `at`), which counts as used now; -1 if it is not known. */
  find(key: Uint32Array, at = 0): number {
    const row = this.#lookUp(key, at);
    if (row !== NONE) this.#touch(row);
    return row;
  }

  /** The copy a row belongs to. */
  slotOf(row: number): number {
    return this.#slots[row]!;
  }

  /** The bytes of all keys; that of a row begins at row * KEY_BYTES. Valid until the next `set`. */
  get keys(): Uint8Array {
    return this.#bytes;
  }

  /** Gives a flow to a copy. True if the flow was not known. */
  set(key: Uint32Array, at: number, slot: number): boolean {
    const known = this.#lookUp(key, at);
    if (known !== NONE) {
      this.#slots[known] = slot;
      for (let index = 0; index < KEY_WORDS; index++)
        this.#keys[known * KEY_WORDS + index] = key[at + index]!;
      this.#touch(known);
      return false;
    }
    const row = this.#take();
    for (let index = 0; index < KEY_WORDS; index++) this.#keys[row * KEY_WORDS + index] = key[at + index]!;
    this.#slots[row] = slot;
    const bucket = this.#bucketOf(this.#keys, row * KEY_WORDS);
    this.#next[row] = this.#buckets[bucket]!;
    this.#buckets[bucket] = row;
    this.#makeNewest(row);
    this.#count++;
    return true;
  }

  /** Forgets all flows of a copy; returns how many there were. */
  removeAll(slot: number): number {
    let removed = 0;
    for (let row = this.#oldest; row !== NONE; ) {
      const newer = this.#newer[row]!;
      if (this.#slots[row] === slot) {
        this.#remove(row);
        removed++;
      }
      row = newer;
    }
    return removed;
  }

  #bucketOf(words: Uint32Array, at: number): number {
    return this.match.hash(words, at) & (this.#buckets.length - 1);
  }

  #lookUp(key: Uint32Array, at: number): number {
    let row = this.#buckets[this.#bucketOf(key, at)]!;
    while (row !== NONE && !this.match.same(this.#keys, row * KEY_WORDS, key, at)) row = this.#next[row]!;
    return row;
  }

  /** A row for a new flow. */
  #take(): number {
    if (this.#free === NONE) {
      if (this.#rows < this.capacity) this.#grow(Math.min(this.capacity, this.#rows * 2));
      else {
        this.evicted++;
        this.#remove(this.#oldest);
      }
    }
    const row = this.#free;
    this.#free = this.#next[row]!;
    return row;
  }

  #remove(row: number): void {
    const bucket = this.#bucketOf(this.#keys, row * KEY_WORDS);
    let before = NONE;
    for (let other = this.#buckets[bucket]!; other !== row; other = this.#next[other]!) before = other;
    if (before === NONE) this.#buckets[bucket] = this.#next[row]!;
    else this.#next[before] = this.#next[row]!;
    this.#unlink(row);
    this.#next[row] = this.#free;
    this.#free = row;
    this.#count--;
  }

  #touch(row: number): void {
    if (row === this.#newest) return;
    this.#unlink(row);
    this.#makeNewest(row);
  }

  #unlink(row: number): void {
    const newer = this.#newer[row]!;
    const older = this.#older[row]!;
    if (newer === NONE) this.#newest = older;
    else this.#older[newer] = older;
    if (older === NONE) this.#oldest = newer;
    else this.#newer[older] = newer;
  }

  #makeNewest(row: number): void {
    this.#newer[row] = NONE;
    this.#older[row] = this.#newest;
    if (this.#newest === NONE) this.#oldest = row;
    else this.#newer[this.#newest] = row;
    this.#newest = row;
  }

  #grow(rows: number): void {
    const before = this.#rows;
    const larger = (array: Int32Array) => {
      const copy = new Int32Array(rows);
      copy.set(array);
      return copy;
    };
    const keys = new Uint32Array(rows * KEY_WORDS);
    keys.set(this.#keys);
    this.#keys = keys;
    this.#bytes = new Uint8Array(keys.buffer);
    this.#slots = larger(this.#slots);
    this.#next = larger(this.#next);
    this.#newer = larger(this.#newer);
    this.#older = larger(this.#older);
    this.#rows = rows;
    this.#buckets = new Int32Array(2 ** Math.ceil(Math.log2(rows))).fill(NONE);
    for (let row = this.#oldest; row !== NONE; row = this.#newer[row]!) {
      const bucket = this.#bucketOf(this.#keys, row * KEY_WORDS);
      this.#next[row] = this.#buckets[bucket]!;
      this.#buckets[bucket] = row;
    }
    for (let row = rows - 1; row >= before; row--) {
      this.#next[row] = this.#free;
      this.#free = row;
    }
  }
}
