/** Reassembly, against another that keeps every fragment and puts them together byte by byte. */
import { Fragments } from "../../../src/wire/fragments.ts";
import { IP_OK, IpHeader, parseIp } from "../../../src/wire/ip-header.ts";
import { expectThat, type Target } from "../target.ts";

/** A fragment in an input: id and family, offset in units, size (2 bytes), flags, what is in it, bytes cut, time. */
const STEP = 8;
const LIMIT = 3;
const TIMEOUT_US = 30_000_000;
const MOST = 65535;

interface Piece {
  from: number;
  data: Uint8Array;
  /** Bytes of it on the wire, of which `data` are what was captured. */
  size: number;
}
interface Kept {
  key: number;
  since: number;
  isDead: boolean;
  pieces: Piece[];
  total: number;
}

export const target: Target = {
  about:
    "reassembly of IPv4 and IPv6 fragments: overlaps, repeats, cuts, time-outs, too many at a time; agrees with a simpler one",
  longest: STEP * 60,
  rounds: 1500,
  words: [],

  take(input) {
    const fragments = new Fragments(LIMIT);
    const header = new IpHeader();
    const other = new Reference();
    const found: string[] = [];
    let time = 1e12;
    for (let at = 0; at + STEP <= input.length; at += STEP) {
      const [who, units, high, low, flags, content, cut, wait] = input.subarray(
        at,
        at + STEP,
      ) as unknown as number[];
      const size = ((high! << 8) | low!) % 3000;
      const more = (flags! & 1) !== 0;
      const from = (flags! & 2 ? units! * 32 : units!) * 8;
      time += (wait! & 0x80 ? wait! & 0x7f : 0) * 1e6;
      const family = who! & 1 ? 6 : 4;
      // Fragments of one datagram agree where they overlap, except those that are made to differ.
      const data = Uint8Array.from(
        { length: size },
        (_, i) => ((from + i) * 7 + (flags! & 4 ? content! : 0)) & 0xff,
      );
      const packet =
        family === 4
          ? packet4((who! >> 1) & 3, from, more, data)
          : packet6((who! >> 1) & 3, from, more, data);
      const end = packet.length - Math.min(size, flags! & 8 ? cut! : 0);
      const view = new DataView(packet.buffer);
      expectThat(parseIp(view, 0, end, packet.length, header) === IP_OK, () => "A fragment is not read");
      // A whole datagram is none.
      if (!header.isFragment) continue;
      const isWhole = fragments.add(packet, view, header, time);
      const captured = data.subarray(0, end - (packet.length - size));
      const expected = other.add(who! & 7, family, from, more, captured, size, time);
      expectThat(
        isWhole === (expected !== null),
        () =>
          `Fragment ${at / STEP}: ${isWhole ? "" : "not "}complete, and should${expected ? "" : " not"} be`,
      );
      expectThat(fragments.pending <= LIMIT, () => `${fragments.pending} are kept`);
      expectThat(
        fragments.incomplete === other.incomplete,
        () => `${fragments.incomplete} incomplete, not ${other.incomplete}`,
      );
      expectThat(
        fragments.overlapping === other.overlapping,
        () => `${fragments.overlapping} overlapping, not ${other.overlapping}`,
      );
      if (expected) checkWhole(fragments, family, expected);
      found.push(`${isWhole ? "w" : ""}${fragments.pending}${Math.min(fragments.overlapping, 3)}`);
    }
    return found.slice(-2).join();
  },
};

function checkWhole(
  fragments: Fragments,
  family: 4 | 6,
  expected: { data: Uint8Array; total: number },
): void {
  const { bytes, view, ip, end, wireEnd } = fragments;
  const header = new IpHeader();
  expectThat(parseIp(view, ip, end, wireEnd, header) === IP_OK, () => "The whole is not read");
  // The header of an IPv6 fragment is taken out.
  expectThat(
    header.family === family && !header.isFragment && header.protocol === 17,
    () => "The header of the whole",
  );
  expectThat(
    wireEnd - header.transport === expected.total,
    () => `${wireEnd - header.transport} bytes, not ${expected.total}`,
  );
  const data = bytes.subarray(header.transport, end);
  expectThat(
    Buffer.compare(data, expected.data) === 0,
    () => `Other bytes: ${data.length}, not ${expected.data.length}`,
  );
}

/** By the rules of the first comment of src/wire/fragments.ts and the RFCs that it names. */
class Reference {
  incomplete = 0;
  overlapping = 0;
  #kept: Kept[] = [];

  add(key: number, family: 4 | 6, from: number, more: boolean, data: Uint8Array, size: number, time: number) {
    while (this.#kept.length > 0 && time - this.#kept[0]!.since > TIMEOUT_US) this.#drop();
    if (size === 0 || (family === 4 ? 20 : 0) + from + size > MOST || (more && size % 8 !== 0)) return null;
    let kept = this.#kept.find((one) => one.key === key);
    if (!kept) {
      if (this.#kept.length === LIMIT) this.#drop();
      kept = { key, since: time, isDead: false, pieces: [], total: 0 };
      this.#kept.push(kept);
    }
    if (kept.isDead) return null;
    const { pieces } = kept;
    const reach = Math.max(0, ...pieces.map((piece) => piece.from + piece.size));
    const ends = from + size;
    const isRepeated = pieces.some((piece) => piece.from === from && piece.size === size);
    const overlaps = pieces.filter((piece) => piece.from < ends && from < piece.from + piece.size);
    const differ = overlaps.some((piece) => !agree(piece, { from, data, size }, firstCut(pieces)));
    const isBeyond = kept.total > 0 && ends > kept.total;
    const contradicts = !more && (reach > ends || (kept.total > 0 && kept.total !== ends));
    if (isBeyond || contradicts || differ || (family === 6 && overlaps.length > 0 && !isRepeated)) {
      kept.isDead = true;
      this.overlapping++;
      return null;
    }
    if (isRepeated) return null;
    pieces.push({ from, data, size });
    if (!more) kept.total = ends;
    return kept.total > 0 ? this.#whole(kept) : null;
  }

  #whole(kept: Kept): { data: Uint8Array; total: number } | null {
    const bytes = new Uint8Array(kept.total);
    const isThere = new Uint8Array(kept.total);
    for (const { from, data, size } of kept.pieces) {
      bytes.set(data, from);
      isThere.fill(1, from, from + size);
    }
    if (isThere.includes(0)) return null;
    this.#kept.splice(this.#kept.indexOf(kept), 1);
    return { data: bytes.subarray(0, Math.min(kept.total, firstCut(kept.pieces))), total: kept.total };
  }

  #drop(): void {
    if (!this.#kept.shift()!.isDead) this.incomplete++;
  }
}

function firstCut(pieces: Piece[]): number {
  const cuts = pieces
    .filter(({ data, size }) => data.length < size)
    .map(({ from, data }) => from + data.length);
  return Math.min(Infinity, ...cuts);
}

/** Whether the bytes that both have are the same; what is behind a cut is not known. */
function agree(one: Piece, other: Piece, cutAt: number): boolean {
  const from = Math.max(one.from, other.from);
  const to = Math.min(one.from + one.data.length, other.from + other.data.length, cutAt);
  for (let at = from; at < to; at++)
    if (one.data[at - one.from] !== other.data[at - other.from]) return false;
  return true;
}

function packet4(id: number, from: number, more: boolean, data: Uint8Array): Uint8Array {
  const packet = new Uint8Array(new ArrayBuffer(20 + data.length));
  const view = new DataView(packet.buffer);
  view.setUint32(0, 0x45000000 + packet.length);
  view.setUint32(4, (id << 16) | (more ? 0x2000 : 0) | ((from >> 3) & 0x1fff));
  view.setUint32(8, 0x40110000);
  view.setUint32(12, 0x0a000001);
  view.setUint32(16, 0x0a000002);
  packet.set(data, 20);
  return packet;
}

function packet6(id: number, from: number, more: boolean, data: Uint8Array): Uint8Array {
  const packet = new Uint8Array(new ArrayBuffer(48 + data.length));
  const view = new DataView(packet.buffer);
  view.setUint32(0, 0x60000000);
  view.setUint32(4, ((8 + data.length) << 16) | 0x2c40);
  view.setUint8(23, 1);
  view.setUint8(39, 2);
  view.setUint32(40, (17 << 24) | (from & 0xfff8) | (more ? 1 : 0));
  view.setUint32(44, id);
  packet.set(data, 48);
  return packet;
}
