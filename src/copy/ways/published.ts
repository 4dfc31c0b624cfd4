/** The ways to the targets as they are now, in memory that the main thread writes and every data plane reads. */
import { deserialize, serialize } from "node:v8";
import type { EgressConfig } from "../../inject/path.ts";

/** One of the egresses that injectors send by. */
export interface PublishedEgress {
  config: EgressConfig;
  /** Another number: its interface was made anew, with the same index. */
  epoch: number;
}

export interface PublishedWay {
  /** Index into `egresses`. */
  egress: number;
  /** The address of this host that its packets are sent from; null: it is given by the paths, and stays. */
  source: Uint8Array | null;
  /** Whether nothing is sent. */
  isHeld: boolean;
}

/** `ways`: in the order of the configuration. */
export interface PublishedWays {
  egresses: PublishedEgress[];
  ways: PublishedWay[];
}

/** Bytes for the ways to one target, at most, with its egress. */
const BYTES_PER_WAY = 1024;
const BYTES = 4096;
/** Version (number of publications), and the length of each of two places that are written in turn. */
const HEADER_WORDS = 4;
const VERSION = 0;
const LENGTH = 1;

/** Memory for the ways to so many targets. */
export function createPublished(ways: number): SharedArrayBuffer {
  return new SharedArrayBuffer(HEADER_WORDS * 4 + 2 * roomFor(ways));
}

function roomFor(ways: number): number {
  return BYTES + ways * BYTES_PER_WAY;
}

function placeOf(memory: SharedArrayBuffer, version: number): Uint8Array {
  const room = (memory.byteLength - HEADER_WORDS * 4) / 2;
  return new Uint8Array(memory, HEADER_WORDS * 4 + (version & 1) * room, room);
}

/** Writes the ways; only the main thread does. Returns the version that they have; the first is 1. */
export function publishWays(memory: SharedArrayBuffer, ways: PublishedWays): number {
  const words = new Int32Array(memory, 0, HEADER_WORDS);
  const version = words[VERSION]! + 1;
  const bytes = serialize(ways);
  placeOf(memory, version).set(bytes);
  words[LENGTH + (version & 1)] = bytes.length;
  Atomics.store(words, VERSION, version);
  return version;
}

/** Reads the ways, one data plane's side. */
export class PublishedReader {
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

  read(): PublishedWays {
    for (;;) {
      const version = Atomics.load(this.#words, VERSION);
      const bytes = placeOf(this.memory, version).slice(0, this.#words[LENGTH + (version & 1)]);
      // The place is written again only two versions later.
      if (Atomics.load(this.#words, VERSION) - version > 1) continue;
      this.version = version;
      return deserialize(bytes) as PublishedWays;
    }
  }
}
