/** Finding the session of a flow: hash tables of fixed size, chained through the session rows, that never rehash. */
import {
  CLIENT_ADDRESS,
  CLIENT_CHAIN,
  CLIENT_PORTS,
  COPY,
  NONE,
  OWN_CHAIN,
  PATH,
  PORT,
  ROW,
  type SessionTable,
} from "./table.ts";

/** The finalizer of MurmurHash3. */
export function mix(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

/** Sessions by bucket, linked by the word `chain` of their rows. */
class Buckets {
  private readonly heads: Int32Array;
  private readonly words: Int32Array;

  constructor(
    table: SessionTable,
    private readonly chain: number,
  ) {
    this.heads = new Int32Array(2 ** Math.ceil(Math.log2(Math.max(2, table.capacity)))).fill(NONE);
    this.words = table.words;
  }

  first(hash: number): number {
    return this.heads[mix(hash) & (this.heads.length - 1)]!;
  }

  next(s: number): number {
    return this.words[s * ROW + this.chain]!;
  }

  add(hash: number, s: number): void {
    const bucket = mix(hash) & (this.heads.length - 1);
    this.words[s * ROW + this.chain] = this.heads[bucket]!;
    this.heads[bucket] = s;
  }

  remove(hash: number, s: number): void {
    const bucket = mix(hash) & (this.heads.length - 1);
    let at = this.heads[bucket]!;
    if (at === s) {
      this.heads[bucket] = this.next(s);
      return;
    }
    while (at !== NONE && this.next(at) !== s) at = this.next(at);
    if (at !== NONE) this.words[at * ROW + this.chain] = this.next(s);
  }
}

/** Words of a client flow: two addresses, the ports and the copy, as in the session row. */
export const FLOW_WORDS = COPY + 1;

function hashClientFlow(words: Int32Array, at: number): number {
  let hash = Math.imul(words[at + CLIENT_PORTS]!, 31) + words[at + COPY]!;
  for (let i = CLIENT_ADDRESS; i < CLIENT_PORTS; i++) hash = (Math.imul(hash, 31) + words[at + i]!) | 0;
  return hash;
}

/** Sessions by the client's connection (addresses and ports as captured) and copy. */
export class ClientFlows {
  private readonly words: Int32Array;
  private readonly buckets: Buckets;

  constructor(table: SessionTable) {
    this.words = table.words;
    this.buckets = new Buckets(table, CLIENT_CHAIN);
  }

  /** `key`: FLOW_WORDS words. */
  find(key: Int32Array): number {
    let s = this.buckets.first(hashClientFlow(key, 0));
    for (; s !== NONE; s = this.buckets.next(s)) {
      let i = FLOW_WORDS - 1;
      while (i >= 0 && this.words[s * ROW + i] === key[i]) i--;
      if (i < 0) return s;
    }
    return NONE;
  }

  /** Adds a session by the flow in its row. */
  add(s: number): void {
    this.buckets.add(hashClientFlow(this.words, s * ROW), s);
  }

  remove(s: number): void {
    this.buckets.remove(hashClientFlow(this.words, s * ROW), s);
  }
}

/** Sessions by our own flow to the target: path, source port, and the client's address if the path sends from it. */
export class OwnFlows {
  private readonly words: Int32Array;
  private readonly buckets: Buckets;

  /** `fromClient`: by path, whether it sends from the clients' addresses. */
  constructor(
    table: SessionTable,
    private readonly fromClient: boolean[] = [],
  ) {
    this.words = table.words;
    this.buckets = new Buckets(table, OWN_CHAIN);
  }

  /** One more path. */
  addPath(fromClient: boolean): void {
    this.fromClient.push(fromClient);
  }

  /** `address`: four words at `at`, only read for a path that sends from the clients' addresses. */
  find(path: number, port: number, address: Int32Array, at: number): number {
    const { words } = this;
    const fromClient = this.fromClient[path];
    let s = this.buckets.first(this.hash(path, port, address, at));
    for (; s !== NONE; s = this.buckets.next(s)) {
      const row = s * ROW;
      if (words[row + PORT] !== port || words[row + PATH] !== path) continue;
      if (!fromClient) return s;
      let i = 3;
      while (i >= 0 && words[row + CLIENT_ADDRESS + i] === address[at + i]) i--;
      if (i < 0) return s;
    }
    return NONE;
  }

  /** Adds a session by the path, port and client's address in its row. */
  add(s: number): void {
    this.buckets.add(this.hashOf(s), s);
  }

  remove(s: number): void {
    this.buckets.remove(this.hashOf(s), s);
  }

  private hashOf(s: number): number {
    const row = s * ROW;
    return this.hash(this.words[row + PATH]!, this.words[row + PORT]!, this.words, row + CLIENT_ADDRESS);
  }

  private hash(path: number, port: number, address: Int32Array, at: number): number {
    let hash = (path << 16) ^ port;
    if (this.fromClient[path]) {
      for (let i = at; i < at + 4; i++) hash = (Math.imul(hash, 31) + address[i]!) | 0;
    }
    return hash;
  }
}
