/** A hash table of the paths that answers come back on, like the map `paths` of bpf/response/response.bpf.c. */

/** A target as seen from one local address; addresses are 4 or 16 bytes in network order. */
export interface AnsweredPath {
  target: Uint8Array;
  local: Uint8Array;
  targetPort: number;
}

const NONE = -1;

export class PathTable {
  /** Paths by hash, linked by `#next`. */
  readonly #heads: Int32Array;
  readonly #next: Int32Array;

  constructor(private readonly paths: readonly AnsweredPath[]) {
    this.#heads = new Int32Array(2 ** Math.ceil(Math.log2(paths.length + 1))).fill(NONE);
    this.#next = new Int32Array(paths.length);
    for (const [index, { target, local, targetPort }] of paths.entries()) {
      const bucket = this.#bucket(target, 0, local, 0, target.length, targetPort);
      this.#next[index] = this.#heads[bucket]!;
      this.#heads[bucket] = index;
    }
  }

  /** The index of the path between addresses of `length` bytes at these offsets of a packet; -1 if there is none. */
  find(bytes: Uint8Array, target: number, local: number, length: number, targetPort: number): number {
    let path = this.#heads[this.#bucket(bytes, target, bytes, local, length, targetPort)]!;
    for (; path !== NONE; path = this.#next[path]!) {
      const one = this.paths[path]!;
      if (one.targetPort !== targetPort || one.target.length !== length) continue;
      if (isAt(one.target, bytes, target) && isAt(one.local, bytes, local)) return path;
    }
    return NONE;
  }

  #bucket(
    targets: Uint8Array,
    target: number,
    locals: Uint8Array,
    local: number,
    length: number,
    port: number,
  ): number {
    let hash = port;
    for (let i = 0; i < length; i++) {
      hash = (Math.imul(hash, 31) + targets[target + i]!) | 0;
      hash = (Math.imul(hash, 31) + locals[local + i]!) | 0;
    }
    return hash & (this.#heads.length - 1);
  }
}

function isAt(address: Uint8Array, bytes: Uint8Array, at: number): boolean {
  for (let i = 0; i < address.length; i++) if (address[i] !== bytes[at + i]) return false;
  return true;
}
