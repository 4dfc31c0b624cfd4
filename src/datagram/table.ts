/**
 * The table of UDP flows: rows of fixed size in typed arrays, found by the client's flow or by our own, and linked in the
 * order of their last use.
 */
export const NONE = -1;

// Words of a row. The first ones are the client's flow as captured (IPv4 as IPv4-mapped IPv6), and the number of the copy.
export const CLIENT_ADDRESS = 0;
export const ONLINE_ADDRESS = 4;
export const CLIENT_PORTS = 8;
/** Index of the service; in the upper half the generation of clients: see DatagramReplay.endClients. */
export const SERVICE = 9;
export const COPY = 10;
/** Words of the key by which a client's flow is found. */
export const KEY_WORDS = 11;
/** Path and source port of our own flow. */
export const PATH = 11;
export const PORT = 12;
/** First and last entry of the flow in `AwaitingAnswers`. */
export const FIRST_WAITING = 13;
export const LAST_WAITING = 14;
const CLIENT_CHAIN = 15;
const OWN_CHAIN = 16;
/** The rows used before and after this one. */
const OLDER = 17;
const NEWER = 18;
export const ROW = 20;

/** The finalizer of MurmurHash3. */
function mix(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

export class FlowTable {
  readonly words: Int32Array;
  /** By row: when it was used last, us. */
  readonly usedAt: Float64Array;
  /** Rows in use. */
  count = 0;
  private readonly clientHeads: Int32Array;
  private readonly ownHeads: Int32Array;
  private readonly mask: number;
  private oldest = NONE;
  private newest = NONE;
  /** Rows that were used and are free again, linked by NEWER; rows from `fresh` on were never used. */
  private free = NONE;
  private fresh = 0;

  /** `fromClient`: by path, whether it sends from the clients' addresses. */
  constructor(
    readonly capacity: number,
    private readonly fromClient: boolean[],
  ) {
    const heads = 2 ** Math.ceil(Math.log2(Math.max(2, capacity)));
    this.words = new Int32Array(capacity * ROW);
    this.usedAt = new Float64Array(capacity);
    this.clientHeads = new Int32Array(heads).fill(NONE);
    this.ownHeads = new Int32Array(heads).fill(NONE);
    this.mask = heads - 1;
  }

  /** One more path. */
  addPath(fromClient: boolean): void {
    this.fromClient.push(fromClient);
  }

  /** The row that was used least recently, or NONE. */
  get leastRecent(): number {
    return this.oldest;
  }

  /** The next more recently used row after `s`, or NONE. */
  after(s: number): number {
    return this.words[s * ROW + NEWER]!;
  }

  /** `key`: KEY_WORDS words. */
  findClient(key: Int32Array): number {
    const { words } = this;
    let s = this.clientHeads[this.hashClient(key, 0)]!;
    for (; s !== NONE; s = words[s * ROW + CLIENT_CHAIN]!) {
      let i = KEY_WORDS - 1;
      while (i >= 0 && words[s * ROW + i] === key[i]) i--;
      if (i < 0) return s;
    }
    return NONE;
  }

  /** `address`: four words at `at`, only read for a path that sends from the clients' addresses. */
  findOwn(path: number, port: number, address: Int32Array, at: number): number {
    const { words } = this;
    let s = this.ownHeads[this.hashOwn(path, port, address, at)]!;
    for (; s !== NONE; s = words[s * ROW + OWN_CHAIN]!) {
      const row = s * ROW;
      if (words[row + PORT] !== port || words[row + PATH] !== path) continue;
      if (!this.fromClient[path]) return s;
      let i = 3;
      while (i >= 0 && words[row + CLIENT_ADDRESS + i] === address[at + i]) i--;
      if (i < 0) return s;
    }
    return NONE;
  }

  /** Adds a row for a client's flow (`key`) and our flow, as the last used one; NONE if all rows are in use. */
  add(key: Int32Array, path: number, port: number, now: number): number {
    let s = this.free;
    if (s !== NONE) this.free = this.words[s * ROW + NEWER]!;
    else if (this.fresh < this.capacity) s = this.fresh++;
    else return NONE;
    const { words } = this;
    const row = s * ROW;
    for (let i = 0; i < KEY_WORDS; i++) words[row + i] = key[i]!;
    words[row + PATH] = path;
    words[row + PORT] = port;
    words[row + FIRST_WAITING] = NONE;
    words[row + LAST_WAITING] = NONE;
    const client = this.hashClient(key, 0);
    words[row + CLIENT_CHAIN] = this.clientHeads[client]!;
    this.clientHeads[client] = s;
    const own = this.hashOwn(path, port, words, row + CLIENT_ADDRESS);
    words[row + OWN_CHAIN] = this.ownHeads[own]!;
    this.ownHeads[own] = s;
    this.count++;
    this.append(s, now);
    return s;
  }

  /** Makes a row the last used one. */
  touch(s: number, now: number): void {
    if (this.newest === s) {
      this.usedAt[s] = now;
      return;
    }
    this.unlink(s);
    this.append(s, now);
  }

  remove(s: number): void {
    const { words } = this;
    const row = s * ROW;
    unchain(words, this.clientHeads, this.hashClient(words, row), CLIENT_CHAIN, s);
    const own = this.hashOwn(words[row + PATH]!, words[row + PORT]!, words, row + CLIENT_ADDRESS);
    unchain(words, this.ownHeads, own, OWN_CHAIN, s);
    this.unlink(s);
    words[row + NEWER] = this.free;
    this.free = s;
    this.count--;
  }

  private append(s: number, now: number): void {
    const { words } = this;
    this.usedAt[s] = now;
    words[s * ROW + OLDER] = this.newest;
    words[s * ROW + NEWER] = NONE;
    if (this.newest === NONE) this.oldest = s;
    else words[this.newest * ROW + NEWER] = s;
    this.newest = s;
  }

  private unlink(s: number): void {
    const { words } = this;
    const older = words[s * ROW + OLDER]!;
    const newer = words[s * ROW + NEWER]!;
    if (older === NONE) this.oldest = newer;
    else words[older * ROW + NEWER] = newer;
    if (newer === NONE) this.newest = older;
    else words[newer * ROW + OLDER] = older;
  }

  private hashClient(words: Int32Array, at: number): number {
    let hash = Math.imul(words[at + CLIENT_PORTS]!, 31) + words[at + COPY]!;
    for (let i = CLIENT_ADDRESS; i < CLIENT_PORTS; i++) hash = (Math.imul(hash, 31) + words[at + i]!) | 0;
    return mix(hash) & this.mask;
  }

  private hashOwn(path: number, port: number, address: Int32Array, at: number): number {
    let hash = (path << 16) ^ port;
    if (this.fromClient[path]) {
      for (let i = at; i < at + 4; i++) hash = (Math.imul(hash, 31) + address[i]!) | 0;
    }
    return mix(hash) & this.mask;
  }
}

/** Removes a row from a hash chain. */
function unchain(words: Int32Array, heads: Int32Array, bucket: number, chain: number, s: number): void {
  const next = words[s * ROW + chain]!;
  let at = heads[bucket]!;
  if (at === s) {
    heads[bucket] = next;
    return;
  }
  while (words[at * ROW + chain] !== s) at = words[at * ROW + chain]!;
  words[at * ROW + chain] = next;
}
