/**
 * Reads and writes maps of the kernel programs by bpf(2), for threads that have only a descriptor and not libbpf: many elements
 * per call (Linux 5.6), without allocations.
 */
import { address, ENOENT, EPERM, strerror } from "../libc.ts";
import { bpfCall } from "./call.ts";

const BPF_MAP_LOOKUP_ELEM = 1;
const BPF_MAP_DELETE_ELEM = 3;
const BPF_MAP_LOOKUP_BATCH = 24;
const BPF_MAP_UPDATE_BATCH = 26;
const BPF_MAP_DELETE_BATCH = 27;
const ATTRIBUTES = 56; // union bpf_attr, batch
/** Bytes for the cursor of a batch look-up; that of a hash map takes 4. */
const CURSOR = 64;

/**
 * Reads one element of any map into `value`, which of a per-CPU map has room for every possible CPU. False if the key is not
 * in the map. Throws with errno's text.
 */
export function lookUp(fd: number, key: Uint8Array, value: Uint8Array): boolean {
  const words = new Uint32Array(new ArrayBuffer(ATTRIBUTES));
  words[0] = fd;
  writePointer(words, 2, address(key));
  writePointer(words, 4, address(value));
  const code = -bpfCall(BPF_MAP_LOOKUP_ELEM, address(words), ATTRIBUTES);
  if (code !== 0 && code !== ENOENT) throw new Error(`Cannot read a BPF map: ${strerror(code)}`);
  return code === 0;
}

/**
 * Whether the calling thread may look into maps that it has a descriptor of: before Linux 6.0 bpf(2) is closed to threads without
 * CAP_BPF where the sysctl kernel.unprivileged_bpf_disabled says so, also for that.
 */
export function mayUseMaps(): boolean {
  const words = new Uint32Array(new ArrayBuffer(ATTRIBUTES));
  words[0] = 0xffff_ffff; // no descriptor: the privilege is looked at first
  return bpfCall(BPF_MAP_LOOKUP_ELEM, address(words), ATTRIBUTES) !== -EPERM;
}

/** Removes an element of a map, if it is there. Throws with errno's text. */
export function deleteElement(fd: number, key: Uint8Array): void {
  const words = new Uint32Array(new ArrayBuffer(ATTRIBUTES));
  words[0] = fd;
  writePointer(words, 2, address(key));
  const code = -bpfCall(BPF_MAP_DELETE_ELEM, address(words), ATTRIBUTES);
  if (code !== 0 && code !== ENOENT) throw new Error(`Cannot delete from a BPF map: ${strerror(code)}`);
}

/** A hash map with keys of `keyBytes` and values of `valueWords` words of 4 bytes. */
export class BpfHashMap {
  /** Most elements of one call. */
  readonly capacity: number;
  /** `capacity` keys, contiguous. The caller writes them before a call, with the `values`. */
  readonly keys: Uint8Array;
  readonly values: Uint32Array;
  isAtEnd = false;
  readonly #attributes = new Uint32Array(new ArrayBuffer(ATTRIBUTES));
  readonly #attributesAt = address(this.#attributes);
  readonly #cursor = new Uint32Array(new ArrayBuffer(CURSOR));
  readonly #keyBytes: number;
  readonly #valueWords: number;
  readonly #keysAt: number;
  readonly #valuesAt: number;
  readonly #fd: number;

  constructor(fd: number, keyBytes: number, capacity: number, valueWords = 1) {
    this.#fd = fd;
    this.#keyBytes = keyBytes;
    this.#valueWords = valueWords;
    this.capacity = capacity;
    this.keys = new Uint8Array(new ArrayBuffer(capacity * keyBytes));
    this.values = new Uint32Array(new ArrayBuffer(capacity * valueWords * 4));
    this.#keysAt = address(this.keys);
    this.#valuesAt = address(this.values);
  }

  /** Sets the first `count` keys in the map to their values. Throws with errno's text. */
  update(count: number): void {
    if (count === 0) return;
    const code = this.#call(BPF_MAP_UPDATE_BATCH, 0, count);
    if (code !== 0) throw new Error(`Cannot update a BPF map: ${strerror(code)}`);
  }

  /** Removes the first `count` keys from the map; those that are not in it are skipped. Throws with errno's text. */
  delete(count: number): void {
    for (let done = 0; done < count; ) {
      const code = this.#call(BPF_MAP_DELETE_BATCH, done, count - done);
      if (code !== 0 && code !== ENOENT) throw new Error(`Cannot delete from a BPF map: ${strerror(code)}`);
      // The kernel stops at a key that is not in the map.
      done += this.#attributes[8]! + 1;
    }
  }

  /**
   * Reads up to `capacity` elements into `keys` and `values`: from the first one on, or on from where the last call ended.
   * Returns how many; `isAtEnd` says whether there are no more. Elements may be removed between two calls.
   * Throws with errno's text.
   */
  read(isFirst: boolean): number {
    const code = this.#call(BPF_MAP_LOOKUP_BATCH, 0, this.capacity, isFirst);
    if (code !== 0 && code !== ENOENT) throw new Error(`Cannot read a BPF map: ${strerror(code)}`);
    this.isAtEnd = code === ENOENT;
    return this.#attributes[8]!;
  }

  /** Whether the first of `keys` is in the map; then the first of `values` is its value. Throws with errno's text. */
  has(): boolean {
    const words = this.#attributes;
    words.fill(0);
    words[0] = this.#fd;
    writePointer(words, 2, this.#keysAt);
    writePointer(words, 4, this.#valuesAt);
    const code = -bpfCall(BPF_MAP_LOOKUP_ELEM, this.#attributesAt, ATTRIBUTES);
    if (code !== 0 && code !== ENOENT) throw new Error(`Cannot read a BPF map: ${strerror(code)}`);
    return code === 0;
  }

  /**
   * How many elements the map has; those that are added or removed meanwhile may be counted or not. Stops counting at `enough`.
   * Overwrites `keys` and `values`. Throws with errno's text.
   */
  count(enough = Infinity): number {
    let count = 0;
    for (let first = true; count < enough; first = false) {
      count += this.read(first);
      if (this.isAtEnd) break;
    }
    return count;
  }

  /** One batch command. Returns 0 or a positive errno; word 8 of the attributes is then the number of elements done. */
  #call(command: number, from: number, count: number, isFirst = false): number {
    const words = this.#attributes;
    words.fill(0);
    if (command === BPF_MAP_LOOKUP_BATCH) {
      const cursorAt = address(this.#cursor);
      if (!isFirst) writePointer(words, 0, cursorAt);
      writePointer(words, 2, cursorAt);
    }
    writePointer(words, 4, this.#keysAt + from * this.#keyBytes);
    writePointer(words, 6, this.#valuesAt + from * this.#valueWords * 4);
    words[8] = count;
    words[9] = this.#fd;
    return -bpfCall(command, this.#attributesAt, ATTRIBUTES);
  }
}

function writePointer(words: Uint32Array, index: number, pointer: number): void {
  words[index] = pointer;
  words[index + 1] = pointer / 4294967296;
}
