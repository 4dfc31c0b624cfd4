/**
 * A flow as 9 words: client address (4 words, IPv4 in the first and zeros), server address (4 words), client port and
 * server port. All in the bytes of the wire; the words are only hashed and compared. REGISTER frames of the channel
 * and the kernel map `learned` have the same 36 bytes.
 */
import type { Packet } from "../../wire/packet.ts";

export const KEY_WORDS = 9;
export const KEY_BYTES = KEY_WORDS * 4;
/** Offsets in bytes. */
export const SERVER = 16;
export const CLIENT_PORT = 32;
export const SERVER_PORT = 34;

/** One flow, as words and as bytes; reused. */
export class FlowKey {
  readonly words: Uint32Array;
  readonly bytes: Uint8Array;

  constructor() {
    const memory = new ArrayBuffer(KEY_BYTES);
    this.words = new Uint32Array(memory);
    this.bytes = new Uint8Array(memory);
  }

  /** The flow of a response: from the server to the client. */
  ofResponse(packet: Packet): this {
    const { bytes, ip, tcp } = packet;
    const own = this.bytes;
    if (packet.family === 4) {
      this.words.fill(0);
      for (let index = 0; index < 4; index++) {
        own[index] = bytes[ip + 16 + index]!;
        own[SERVER + index] = bytes[ip + 12 + index]!;
      }
    } else {
      for (let index = 0; index < 16; index++) {
        own[index] = bytes[ip + 24 + index]!;
        own[SERVER + index] = bytes[ip + 8 + index]!;
      }
    }
    own[CLIENT_PORT] = bytes[tcp + 2]!;
    own[CLIENT_PORT + 1] = bytes[tcp + 3]!;
    own[SERVER_PORT] = bytes[tcp]!;
    own[SERVER_PORT + 1] = bytes[tcp + 1]!;
    return this;
  }

  /** The flow of what a client sends: from the client to the server. */
  ofRequest(packet: Packet): this {
    const { bytes, ip, tcp } = packet;
    const own = this.bytes;
    const [length, source] = packet.family === 4 ? [4, ip + 12] : [16, ip + 8];
    this.words.fill(0);
    for (let index = 0; index < length; index++) {
      own[index] = bytes[source + index]!;
      own[SERVER + index] = bytes[source + length + index]!;
    }
    for (let index = 0; index < 4; index++) own[CLIENT_PORT + index] = bytes[tcp + index]!;
    return this;
  }

  /** The flow whose 36 bytes are at `at`. */
  ofBytes(bytes: Uint8Array, at: number): this {
    for (let index = 0; index < KEY_BYTES; index++) this.bytes[index] = bytes[at + index]!;
    return this;
  }
}

/** Hashes and compares flows, with or without the server's address. */
export class FlowMatch {
  readonly #seed: number;

  /** `seed`: 32 bits that nobody outside can guess. `withServer`: false where the target answers from elsewhere. */
  constructor(
    seed: number,
    readonly withServer: boolean,
  ) {
    this.#seed = seed | 0;
  }

  /** 32 bits, of the words from `at` on. */
  hash(words: Uint32Array, at = 0): number {
    let hash = this.#seed;
    for (let index = 0; index < KEY_WORDS; index++) {
      if (!this.withServer && index >= 4 && index < 8) continue;
      hash = Math.imul(hash ^ words[at + index]!, 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    hash = Math.imul(hash, 0x85ebca6b);
    return (hash ^ (hash >>> 13)) >>> 0;
  }

  same(one: Uint32Array, at: number, other: Uint32Array, otherAt: number): boolean {
    for (let index = 0; index < KEY_WORDS; index++) {
      if (!this.withServer && index >= 4 && index < 8) continue;
      if (one[at + index] !== other[otherAt + index]) return false;
    }
    return true;
  }
}
