/** The flows that are ours, in the map `flows` that the response program reads: a bit per path and local port. */
import { mapShared, PROT_READ, PROT_WRITE } from "../native/libc.ts";

const WORDS_PER_PATH = 65536 / 32;

export class Flows {
  readonly #words: Int32Array;

  /** `map` is the descriptor of the map `flows`, made for `paths` paths; -1: there is no response program. */
  constructor(map: number, paths: number) {
    const words = Math.max(1, paths) * WORDS_PER_PATH;
    const memory =
      map < 0 ? new ArrayBuffer(words * 4) : mapShared(map, words * 4, PROT_READ | PROT_WRITE).buffer;
    this.#words = new Int32Array(memory, 0, words);
  }

  /** From now on responses to this local port (host order) are taken and dropped. */
  add(path: number, port: number): void {
    Atomics.or(this.#words, path * WORDS_PER_PATH + (port >>> 5), 1 << (port & 31));
  }

  /** From now on responses to this local port pass to this host's TCP. */
  remove(path: number, port: number): void {
    Atomics.and(this.#words, path * WORDS_PER_PATH + (port >>> 5), ~(1 << (port & 31)));
  }

  has(path: number, port: number): boolean {
    return (this.#words[path * WORDS_PER_PATH + (port >>> 5)]! & (1 << (port & 31))) !== 0;
  }
}
