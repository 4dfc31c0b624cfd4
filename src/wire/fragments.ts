/**
 * Reassembly of IP fragments (RFC 791, RFC 8200 section 4.5), in bounded memory and time.
 *
 * A datagram whose fragments overlap is given up: in IPv6 always (RFC 5722), in IPv4 if they differ in a byte. A repeated
 * fragment is not an overlap. If the capture has cut fragments, the datagram ends before the first missing byte.
 */
import { copyBytes } from "./copy.ts";
import type { IpHeader } from "./ip-header.ts";

/** Bytes before the datagram in each buffer, for its IP header and extension headers. */
const HEADER_SPACE = 256;
const MAX_DATAGRAM = 65535;
/** Units of 8 bytes in the largest datagram. */
const UNITS = 8192;
/** us; Linux's net.ipv4.ipfrag_time. */
const TIMEOUT = 30_000_000;

/** One datagram that is being reassembled. */
class Assembly {
  readonly bytes = new Uint8Array(new ArrayBuffer(HEADER_SPACE + MAX_DATAGRAM + 1));
  readonly view = new DataView(this.bytes.buffer);
  /** By unit, 1 if it is there, and 1 if a fragment begins with it. */
  readonly filled = new Uint8Array(UNITS);
  readonly starts = new Uint8Array(UNITS);
  hash = 0;
  family = 0;
  protocol = 0;
  id = 0;
  readonly addresses = new Uint8Array(32);
  since = 0;
  /** Its fragments overlapped: it is given up, but kept so that its later fragments are recognized. */
  isDead = false;
  /** Units that are there; bytes of the whole datagram, 0 while the last fragment is missing. */
  units = 0;
  total = 0;
  /** Bytes up to the end of the furthest fragment; bytes up to the first that the capture cut. */
  reach = 0;
  cutAt = Infinity;
  /** Bytes of the headers before the datagram, 0 while the first fragment is missing. */
  header = 0;

  begin(hash: number, header: IpHeader, time: number): void {
    this.hash = hash;
    this.family = header.family;
    this.protocol = header.protocol;
    this.id = header.id;
    this.since = time;
    this.isDead = false;
    this.units = 0;
    this.total = 0;
    this.header = 0;
    this.filled.fill(0, 0, (this.reach + 7) >> 3);
    this.starts.fill(0, 0, (this.reach + 7) >> 3);
    this.reach = 0;
    this.cutAt = Infinity;
  }
}

export class Fragments {
  /** The datagram that `add` has finished: an IP packet without fragment header; valid until the next `add`. */
  bytes: Uint8Array = new Uint8Array(0);
  view: DataView = new DataView(new ArrayBuffer(0));
  ip = 0;
  /** Offset after the last captured byte, and after the last byte on the wire. */
  end = 0;
  wireEnd = 0;
  /** Datagrams given up because a fragment did not come in time, or because there were too many. */
  incomplete = 0;
  /** Datagrams given up because their fragments overlapped. */
  overlapping = 0;

  /** Datagrams that are being reassembled, the oldest first, and unused buffers. */
  readonly #active: Assembly[] = [];
  readonly #free: Assembly[] = [];
  /** The datagram finished last. Its buffer is not reused yet: the next fragment may be in it, if the datagram is a tunnel's. */
  #finished: Assembly | null = null;

  /** `limit`: most datagrams that are being reassembled at a time, about 80 KB each. */
  constructor(readonly limit = 256) {}

  /** Datagrams that are being reassembled. */
  get pending(): number {
    return this.#active.length;
  }

  /**
   * Takes a fragment, whose header `parseIp` has read from `bytes`, at `time` (us). True if it completes a datagram.
   * A fragment with impossible lengths is ignored.
   */
  add(bytes: Uint8Array, view: DataView, header: IpHeader, time: number): boolean {
    this.#expire(time);
    const from = header.fragmentOffset;
    const size = header.ip + header.length - header.transport;
    const headerBytes = (header.fragmentHeader || header.transport) - header.ip;
    // The length field of IPv6 does not count the header itself.
    const counted = header.family === 4 ? headerBytes : headerBytes - 40;
    if (size <= 0 || headerBytes > HEADER_SPACE || counted + from + size > MAX_DATAGRAM) return false;
    // All fragments except the last must have a multiple of 8 bytes (RFC 791, RFC 8200).
    if (header.moreFragments && size % 8 !== 0) return false;

    const assembly = this.#find(bytes, view, header, time);
    if (assembly.isDead) return false;
    const captured = Math.max(0, Math.min(size, header.end - header.transport));
    const state = this.#place(assembly, bytes, header, from, size, captured);
    if (state === OVERLAP) {
      assembly.isDead = true;
      this.overlapping++;
    }
    if (state !== PLACED) return false;
    if (!header.moreFragments) assembly.total = from + size;
    if (from === 0) this.#keepHeader(assembly, bytes, header, headerBytes);
    if (assembly.total === 0 || assembly.header === 0 || assembly.units < (assembly.total + 7) >> 3)
      return false;
    this.#finish(assembly);
    return true;
  }

  /** Gives up all datagrams that are being reassembled, and counts them as incomplete. */
  clear(): void {
    for (const assembly of this.#active) {
      if (!assembly.isDead) this.incomplete++;
      this.#free.push(assembly);
    }
    this.#active.length = 0;
  }

  /** Gives up datagrams after TIMEOUT, and also if the time has jumped back by as much. */
  #expire(time: number): void {
    while (this.#active.length > 0 && Math.abs(time - this.#active[0]!.since) > TIMEOUT) this.#dropOldest();
  }

  #dropOldest(): void {
    const oldest = this.#active.shift()!;
    if (!oldest.isDead) this.incomplete++;
    this.#free.push(oldest);
  }

  #find(bytes: Uint8Array, view: DataView, header: IpHeader, time: number): Assembly {
    const at = header.ip + (header.family === 4 ? 12 : 8);
    const size = header.family === 4 ? 8 : 32;
    let hash = header.id ^ (header.protocol << 16);
    for (let i = 0; i < size; i += 4) hash = Math.imul(hash ^ view.getUint32(at + i), 0x9e3779b1) | 0;
    for (const assembly of this.#active) {
      if (
        assembly.hash === hash &&
        assembly.family === header.family &&
        assembly.id === header.id &&
        // In IPv6 only the Next Header field of the first fragment counts (RFC 8200 section 4.5).
        (header.family === 6 || assembly.protocol === header.protocol) &&
        areSame(assembly.addresses, 0, bytes, at, size)
      ) {
        return assembly;
      }
    }
    if (this.#active.length >= this.limit) this.#dropOldest();
    const assembly = this.#free.pop() ?? new Assembly();
    assembly.begin(hash, header, time);
    copyBytes(bytes, at, size, assembly.addresses, 0);
    this.#active.push(assembly);
    return assembly;
  }

  #place(
    assembly: Assembly,
    bytes: Uint8Array,
    header: IpHeader,
    from: number,
    size: number,
    captured: number,
  ): number {
    const { filled, starts } = assembly;
    const first = from >> 3;
    const last = (from + size + 7) >> 3;
    const isBeyond = assembly.total > 0 && from + size > assembly.total;
    const contradicts = !header.moreFragments && Math.max(assembly.total, assembly.reach) > from + size;
    if (isBeyond || contradicts) return OVERLAP;
    let known = 0;
    for (let unit = first; unit < last; unit++) known += filled[unit]!;
    if (known > 0) {
      const agrees = this.#agrees(assembly, bytes, header.transport, from, captured);
      if (!agrees) return OVERLAP;
      if (isRepeated(assembly, first, last)) return REPEATED;
      if (header.family === 6) return OVERLAP;
    }
    for (let unit = first; unit < last; unit++) filled[unit] = 1;
    starts[first] = 1;
    assembly.units += last - first - known;
    assembly.reach = Math.max(assembly.reach, from + size);
    copyBytes(bytes, header.transport, captured, assembly.bytes, HEADER_SPACE + from);
    if (captured < size) assembly.cutAt = Math.min(assembly.cutAt, from + captured);
    return PLACED;
  }

  /** Whether the bytes that fragment and datagram both have are the same. Bytes after a cut are not known. */
  #agrees(assembly: Assembly, bytes: Uint8Array, at: number, from: number, captured: number): boolean {
    const known = Math.min(captured, assembly.reach - from, assembly.cutAt - from);
    for (let i = 0; i < known; i++) {
      if (!assembly.filled[(from + i) >> 3]) continue;
      if (assembly.bytes[HEADER_SPACE + from + i] !== bytes[at + i]) return false;
    }
    return true;
  }

  /** The header of the first fragment becomes that of the datagram. */
  #keepHeader(assembly: Assembly, bytes: Uint8Array, header: IpHeader, size: number): void {
    assembly.header = size;
    assembly.protocol = header.protocol;
    const ip = HEADER_SPACE - size;
    copyBytes(bytes, header.ip, size, assembly.bytes, ip);
    if (header.family === 6) assembly.bytes[ip + header.fragmentNext - header.ip] = header.protocol;
    else assembly.view.setUint16(ip + 6, 0);
  }

  #finish(assembly: Assembly): void {
    this.#active.splice(this.#active.indexOf(assembly), 1);
    if (this.#finished) this.#free.push(this.#finished);
    this.#finished = assembly;
    this.bytes = assembly.bytes;
    this.view = assembly.view;
    this.ip = HEADER_SPACE - assembly.header;
    this.wireEnd = HEADER_SPACE + assembly.total;
    this.end = Math.min(this.wireEnd, HEADER_SPACE + assembly.cutAt);
    const length = assembly.header + assembly.total;
    if (assembly.family === 4) assembly.view.setUint16(this.ip + 2, length);
    else assembly.view.setUint16(this.ip + 4, length - 40);
  }
}

const PLACED = 0;
const REPEATED = 1;
const OVERLAP = 2;

/** Whether one fragment of exactly these units was taken before. */
function isRepeated({ filled, starts }: Assembly, first: number, last: number): boolean {
  for (let unit = first; unit < last; unit++) if (!filled[unit]) return false;
  if (!starts[first] || (filled[last] && !starts[last])) return false;
  for (let unit = first + 1; unit < last; unit++) if (starts[unit]) return false;
  return true;
}

function areSame(one: Uint8Array, at: number, other: Uint8Array, otherAt: number, size: number): boolean {
  for (let i = 0; i < size; i++) if (one[at + i] !== other[otherAt + i]) return false;
  return true;
}
