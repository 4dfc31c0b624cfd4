/**
 * Which copies have registered a flow, and by what each tells the target's answers to it from those to a real client. A bounded
 * hash table in typed arrays with a row per flow and copy. When it is full, a copy that has its share of the rows loses the one
 * unused for longest, and no other does; a copy below its share takes a row from the one that has most.
 */
import { SLOTS, slotOf } from "./copies.ts";
import { type FlowMatch, KEY_WORDS } from "./flow-key.ts";

const NONE = -1;
const FIRST_ROWS = 4096;

export class FlowTable {
  /** Rows that were removed to make room for others. */
  evicted = 0;
  /** Called before a row is removed, for whatever reason. */
  onRemove: ((row: number) => void) | null = null;
  #count = 0;
  #rows = 0;
  #keys = new Uint32Array(0);
  #bytes = new Uint8Array(0);
  /** Per row its copy, NONE where there is nothing; what was registered (registration.ts of the channel); us of the last use. */
  #owners = new Int32Array(0);
  #states = new Int32Array(0);
  #una = new Int32Array(0);
  #max = new Int32Array(0);
  #rcv = new Int32Array(0);
  #usedAt = new Float64Array(0);
  /** Chains of a bucket; rows that are not used form one as well. */
  #next = new Int32Array(0);
  #buckets = new Int32Array(0);
  #free = NONE;
  /** The order of use among the rows of a slot: `newer` and `older` neighbours, both ends, and how many there are. */
  #newer = new Int32Array(0);
  #older = new Int32Array(0);
  readonly #newest = new Int32Array(SLOTS).fill(NONE);
  readonly #oldest = new Int32Array(SLOTS).fill(NONE);
  readonly #counts = new Int32Array(SLOTS);
  /** Slots that have a row. */
  #holders = 0;
  /** Where `sweep` goes on. */
  #cursor = 0;

  /** `capacity`: most rows. Memory is taken as they come: about 90 bytes each. */
  constructor(
    readonly capacity: number,
    readonly match: FlowMatch,
  ) {
    this.#grow(Math.min(capacity, FIRST_ROWS));
  }

  get count(): number {
    return this.#count;
  }

  /** A row of the flow (9 words at `at`); -1 if there is none. */
  find(key: Uint32Array, at = 0): number {
    return this.#same(this.#buckets[this.#bucketOf(key, at)]!, key, at);
  }

  /** Another row of the same flow, after the one that `find` or this gave; -1 if there is none. */
  after(row: number): number {
    return this.#same(this.#next[row]!, this.#keys, row * KEY_WORDS);
  }

  /** The row of the flow that is this copy's; -1 if there is none. */
  findOwn(key: Uint32Array, at: number, owner: number): number {
    let row = this.find(key, at);
    while (row !== NONE && this.#owners[row] !== owner) row = this.after(row);
    return row;
  }

  /** The copy a row belongs to: see `Copies.ownerOf`. */
  ownerOf(row: number): number {
    return this.#owners[row]!;
  }

  /** What was registered; 0: it was proved since. */
  stateOf(row: number): number {
    return this.#states[row]!;
  }
  unaOf(row: number): number {
    return this.#una[row]!;
  }
  maxOf(row: number): number {
    return this.#max[row]!;
  }
  rcvOf(row: number): number {
    return this.#rcv[row]!;
  }

  /** us: when it was registered or used last. */
  usedAtOf(row: number): number {
    return this.#usedAt[row]!;
  }

  /** The bytes of all keys; that of a row begins at row * KEY_BYTES. Valid until the next `add`. */
  get keys(): Uint8Array {
    return this.#bytes;
  }

  /** A new row for a flow that the copy has none of yet. */
  add(key: Uint32Array, at: number, owner: number, now: number): number {
    const row = this.#take(slotOf(owner));
    this.#setKey(row, key, at);
    this.#owners[row] = owner;
    this.#states[row] = 0;
    this.#usedAt[row] = now;
    this.#chain(row);
    this.#makeNewest(row);
    this.#count++;
    return row;
  }

  /** The row counts as used now, and by this key: it may have another server's address, where `match` does not heed that. */
  renew(row: number, key: Uint32Array, at: number, now: number): void {
    this.#setKey(row, key, at);
    this.touch(row, now);
  }

  setProof(row: number, state: number, una: number, max: number, rcv: number): void {
    this.#states[row] = state;
    this.#una[row] = una;
    this.#max[row] = max;
    this.#rcv[row] = rcv;
  }

  /** The row counts as used now. */
  touch(row: number, now: number): void {
    this.#usedAt[row] = now;
    if (row === this.#newest[slotOf(this.#owners[row]!)]) return;
    this.#unlink(row);
    this.#makeNewest(row);
  }

  remove(row: number): void {
    this.onRemove?.(row);
    const bucket = this.#bucketOf(this.#keys, row * KEY_WORDS);
    let before = NONE;
    for (let other = this.#buckets[bucket]!; other !== row; other = this.#next[other]!) before = other;
    if (before === NONE) this.#buckets[bucket] = this.#next[row]!;
    else this.#next[before] = this.#next[row]!;
    this.#unlink(row);
    this.#owners[row] = NONE;
    this.#next[row] = this.#free;
    this.#free = row;
    this.#count--;
  }

  /** Looks at the next `rows` rows, and removes those that are over. True when it has come round to the first. */
  sweep(rows: number, isOver: (row: number) => boolean): boolean {
    const end = Math.min(this.#cursor + rows, this.#rows);
    for (let row = this.#cursor; row < end; row++)
      if (this.#owners[row] !== NONE && isOver(row)) this.remove(row);
    this.#cursor = end === this.#rows ? 0 : end;
    return this.#cursor === 0;
  }

  /** The next sweep begins with the first row. */
  rewind(): void {
    this.#cursor = 0;
  }

  #setKey(row: number, key: Uint32Array, at: number): void {
    for (let index = 0; index < KEY_WORDS; index++) this.#keys[row * KEY_WORDS + index] = key[at + index]!;
  }

  #bucketOf(words: Uint32Array, at: number): number {
    return this.match.hash(words, at) & (this.#buckets.length - 1);
  }

  #same(row: number, key: Uint32Array, at: number): number {
    while (row !== NONE && !this.match.same(this.#keys, row * KEY_WORDS, key, at)) row = this.#next[row]!;
    return row;
  }

  /** A free row, for a copy in this slot. */
  #take(slot: number): number {
    if (this.#free === NONE) {
      if (this.#rows < this.capacity) this.#grow(Math.min(this.capacity, this.#rows * 2));
      else {
        this.evicted++;
        this.remove(this.#oldest[this.#crowdedSlot(slot)]!);
      }
    }
    const row = this.#free;
    this.#free = this.#next[row]!;
    return row;
  }

  /** The slot that has to give a row for one in `slot`: itself if it has its share. */
  #crowdedSlot(slot: number): number {
    const own = this.#counts[slot]!;
    const sharers = this.#holders + (own === 0 ? 1 : 0);
    if (own * sharers >= this.capacity) return slot;
    let most = 0;
    for (let other = 1; other < SLOTS; other++) if (this.#counts[other]! > this.#counts[most]!) most = other;
    return most;
  }

  #chain(row: number): void {
    const bucket = this.#bucketOf(this.#keys, row * KEY_WORDS);
    this.#next[row] = this.#buckets[bucket]!;
    this.#buckets[bucket] = row;
  }

  #unlink(row: number): void {
    const slot = slotOf(this.#owners[row]!);
    const newer = this.#newer[row]!;
    const older = this.#older[row]!;
    if (newer === NONE) this.#newest[slot] = older;
    else this.#older[newer] = older;
    if (older === NONE) this.#oldest[slot] = newer;
    else this.#newer[older] = newer;
    if (--this.#counts[slot]! === 0) this.#holders--;
  }

  #makeNewest(row: number): void {
    const slot = slotOf(this.#owners[row]!);
    const before = this.#newest[slot]!;
    this.#newer[row] = NONE;
    this.#older[row] = before;
    if (before === NONE) this.#oldest[slot] = row;
    else this.#newer[before] = row;
    this.#newest[slot] = row;
    if (this.#counts[slot]!++ === 0) this.#holders++;
  }

  #grow(rows: number): void {
    const before = this.#rows;
    const larger = (array: Int32Array<ArrayBuffer>) => {
      const copy = new Int32Array(rows);
      copy.set(array);
      return copy;
    };
    const keys = new Uint32Array(rows * KEY_WORDS);
    keys.set(this.#keys);
    this.#keys = keys;
    this.#bytes = new Uint8Array(keys.buffer);
    const usedAt = new Float64Array(rows);
    usedAt.set(this.#usedAt);
    this.#usedAt = usedAt;
    this.#owners = larger(this.#owners).fill(NONE, before);
    this.#states = larger(this.#states);
    this.#una = larger(this.#una);
    this.#max = larger(this.#max);
    this.#rcv = larger(this.#rcv);
    this.#next = larger(this.#next);
    this.#newer = larger(this.#newer);
    this.#older = larger(this.#older);
    this.#rows = rows;
    this.#buckets = new Int32Array(2 ** Math.ceil(Math.log2(rows))).fill(NONE);
    // No row is free when it grows.
    for (let row = 0; row < before; row++) this.#chain(row);
    for (let row = rows - 1; row >= before; row--) {
      this.#next[row] = this.#free;
      this.#free = row;
    }
  }
}
