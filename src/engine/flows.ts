/** Hash tables from a flow to its session, chained through the session rows: fixed heads, never a rehash. */
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

function powerOfTwoAtLeast(n: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(2, n)));
}

/** The finalizer of MurmurHash3. */
function mix(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

/** Words of a client flow: two addresses, the ports and the copy, as in the session row. */
export const FLOW_WORDS = COPY + 1;

/** Sessions by the client's connection (addresses and ports as captured) and copy. */
export class ClientFlows {
  private readonly heads: Int32Array;
  private readonly mask: number;
  private readonly table: SessionTable;

  constructor(table: SessionTable) {
    const buckets = powerOfTwoAtLeast(table.capacity);
    this.heads = new Int32Array(buckets).fill(NONE);
    this.mask = buckets - 1;
    this.table = table;
  }

  private bucket(words: Int32Array, at: number): number {
    let hash = Math.imul(words[at + CLIENT_PORTS]!, 31) + words[at + COPY]!;
    for (let i = CLIENT_ADDRESS; i < CLIENT_PORTS; i++) hash = (Math.imul(hash, 31) + words[at + i]!) | 0;
    return mix(hash) & this.mask;
  }

  /** `key`: FLOW_WORDS words. */
  find(key: Int32Array): number {
    const { words } = this.table;
    for (let s = this.heads[this.bucket(key, 0)]!; s !== NONE; s = words[s * ROW + CLIENT_CHAIN]!) {
      const row = s * ROW;
      let i = FLOW_WORDS - 1;
      while (i >= 0 && words[row + i] === key[i]) i--;
      if (i < 0) return s;
    }
    return NONE;
  }

  /** Adds a session by the flow in its row. */
  add(s: number): void {
    const { words } = this.table;
    const bucket = this.bucket(words, s * ROW);
    words[s * ROW + CLIENT_CHAIN] = this.heads[bucket]!;
    this.heads[bucket] = s;
  }

  remove(s: number): void {
    const { words } = this.table;
    const bucket = this.bucket(words, s * ROW);
    let at = this.heads[bucket]!;
    if (at === s) {
      this.heads[bucket] = words[s * ROW + CLIENT_CHAIN]!;
      return;
    }
    while (at !== NONE) {
      const next = words[at * ROW + CLIENT_CHAIN]!;
      if (next === s) {
        words[at * ROW + CLIENT_CHAIN] = words[s * ROW + CLIENT_CHAIN]!;
        return;
      }
      at = next;
    }
  }
}

/** Sessions by our own flow to the target (path and source port). */
export class OwnFlows {
  private readonly heads: Int32Array;
  private readonly mask: number;
  private readonly table: SessionTable;

  constructor(table: SessionTable) {
    const buckets = powerOfTwoAtLeast(table.capacity);
    this.heads = new Int32Array(buckets).fill(NONE);
    this.mask = buckets - 1;
    this.table = table;
  }

  private bucket(path: number, port: number): number {
    return mix((path << 16) ^ port) & this.mask;
  }

  find(path: number, port: number): number {
    const { words } = this.table;
    let s = this.heads[this.bucket(path, port)]!;
    while (s !== NONE && (words[s * ROW + PORT] !== port || words[s * ROW + PATH] !== path)) {
      s = words[s * ROW + OWN_CHAIN]!;
    }
    return s;
  }

  /** Adds a session by the path and port in its row. */
  add(s: number): void {
    const { words } = this.table;
    const bucket = this.bucket(words[s * ROW + PATH]!, words[s * ROW + PORT]!);
    words[s * ROW + OWN_CHAIN] = this.heads[bucket]!;
    this.heads[bucket] = s;
  }

  remove(s: number): void {
    const { words } = this.table;
    const bucket = this.bucket(words[s * ROW + PATH]!, words[s * ROW + PORT]!);
    let at = this.heads[bucket]!;
    if (at === s) {
      this.heads[bucket] = words[s * ROW + OWN_CHAIN]!;
      return;
    }
    while (at !== NONE) {
      const next = words[at * ROW + OWN_CHAIN]!;
      if (next === s) {
        words[at * ROW + OWN_CHAIN] = words[s * ROW + OWN_CHAIN]!;
        return;
      }
      at = next;
    }
  }
}
