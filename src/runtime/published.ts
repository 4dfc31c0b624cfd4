/** Plain data that a main thread writes into shared memory and data planes, which have no event loop, read: the latest version of it. */
import { deserialize, serialize } from "node:v8";

/** Version (number of publications), and the length of each of two places that are written in turn. */
const HEADER_WORDS = 4;
const VERSION = 0;
const LENGTH = 1;

/** Memory for data of at most so many bytes, as node:v8 serializes it. */
export function createPublished(bytes: number): SharedArrayBuffer {
  return new SharedArrayBuffer(HEADER_WORDS * 4 + 2 * bytes);
}

function placeOf(memory: SharedArrayBuffer, version: number): Uint8Array {
  const room = (memory.byteLength - HEADER_WORDS * 4) / 2;
  return new Uint8Array(memory, HEADER_WORDS * 4 + (version & 1) * room, room);
}

/** Writes data; only the main thread does. Returns the version that it has; the first is 1. Throws a RangeError if it is too long. */
export function publishData(memory: SharedArrayBuffer, data: object): number {
  const words = new Int32Array(memory, 0, HEADER_WORDS);
  const version = words[VERSION]! + 1;
  const bytes = serialize(data);
  placeOf(memory, version).set(bytes);
  words[LENGTH + (version & 1)] = bytes.length;
  Atomics.store(words, VERSION, version);
  return version;
}

/** Reads it, one data plane's side. */
export class PublishedReader<T> {
  /** Of what was read last; 0: nothing was published yet. */
  version = 0;
  readonly #words: Int32Array;

  constructor(private readonly memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory, 0, HEADER_WORDS);
  }

  /** Whether there is something that was not read yet. */
  get hasNews(): boolean {
    return Atomics.load(this.#words, VERSION) !== this.version;
  }

  read(): T {
    for (;;) {
      const version = Atomics.load(this.#words, VERSION);
      const bytes = placeOf(this.memory, version).slice(0, this.#words[LENGTH + (version & 1)]);
      // The place is written again only two versions later.
      if (Atomics.load(this.#words, VERSION) - version > 1) continue;
      this.version = version;
      return deserialize(bytes) as T;
    }
  }
}
