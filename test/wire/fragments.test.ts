/** IP fragments, put together again. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Fragments } from "../../src/wire/fragments.ts";
import { IP_OK, IpHeader, parseIp } from "../../src/wire/ip-header.ts";
import { seeded } from "../support/seed.ts";

const UDP = 17;

interface Piece {
  family?: 4 | 6;
  id?: number;
  /** Bytes into the datagram. */
  offset: number;
  more: boolean;
  data: Uint8Array;
  /** Bytes of it that were captured. */
  captured?: number;
  source?: number;
  time?: number;
}

function packetOf({ family = 4, id = 7, offset, more, data, source = 1 }: Piece): Uint8Array {
  const header = family === 4 ? 20 : 48;
  const bytes = new Uint8Array(header + data.length);
  const view = new DataView(bytes.buffer);
  if (family === 4) {
    view.setUint32(0, 0x45000000 | bytes.length);
    view.setUint16(4, id);
    view.setUint16(6, (more ? 0x2000 : 0) | (offset >> 3));
    bytes[9] = UDP;
    bytes[15] = source;
  } else {
    bytes[0] = 0x60;
    view.setUint16(4, 8 + data.length);
    bytes[6] = 44;
    bytes[23] = source;
    bytes[40] = UDP;
    view.setUint16(42, offset | (more ? 1 : 0));
    view.setUint32(44, id);
  }
  bytes.set(data, header);
  return bytes;
}

const header = new IpHeader();

/** The datagram's content and captured length if the piece completes it. */
function add(fragments: Fragments, piece: Piece): { data: Uint8Array; length: number } | null {
  const bytes = packetOf(piece);
  const view = new DataView(bytes.buffer);
  const missing = piece.captured === undefined ? 0 : piece.data.length - piece.captured;
  expect(parseIp(view, 0, bytes.length - missing, bytes.length, header)).toBe(IP_OK);
  expect(header.isFragment).toBe(true);
  if (!fragments.add(bytes, view, header, piece.time ?? 0)) return null;
  const whole = new IpHeader();
  expect(parseIp(fragments.view, fragments.ip, fragments.end, fragments.wireEnd, whole)).toBe(IP_OK);
  expect(whole).toMatchObject({ isFragment: false, protocol: UDP, family: piece.family ?? 4 });
  return {
    data: fragments.bytes.slice(whole.transport, whole.end),
    length: whole.ip + whole.length - whole.transport,
  };
}

const content = Uint8Array.from({ length: 3000 }, (_, index) => index * 7 + (index >> 8));

/** Pieces of `content` that end at these places. */
function cut(family: 4 | 6, ...ends: number[]): Piece[] {
  return ends.map((end, index) => {
    const offset = index === 0 ? 0 : ends[index - 1]!;
    return { family, offset, more: end < content.length, data: content.slice(offset, end) };
  });
}

describe.each([4, 6] as const)("IPv%d", (family) => {
  const pieces = cut(family, 1480, 2960, 3000);

  test.each([
    [0, 1, 2],
    [2, 1, 0],
    [1, 2, 0],
    [1, 0, 2],
  ])("in the order %d, %d, %d", (first, second, third) => {
    const fragments = new Fragments();
    const results = [first, second, third].map((place) => add(fragments, pieces[place]!));
    expect(results).toEqual([null, null, { data: content, length: 3000 }]);
    expect(fragments).toMatchObject({ pending: 0, incomplete: 0, overlapping: 0 });
  });

  test("fragments of different datagrams do not mix", () => {
    const fragments = new Fragments();
    const ids = [1, 2, 3];
    for (const piece of pieces.slice(0, 2)) {
      for (const id of ids) {
        for (const source of [1, 2]) expect(add(fragments, { ...piece, id, source })).toBeNull();
      }
    }
    expect(fragments.pending).toBe(6);
    for (const id of ids) {
      for (const source of [1, 2])
        expect(add(fragments, { ...pieces[2]!, id, source })?.data).toEqual(content);
    }
    expect(fragments.pending).toBe(0);
  });

  test("repeated fragments are not an overlap", () => {
    const fragments = new Fragments();
    const order = [0, 0, 1, 1, 0, 2];
    expect(order.map((place) => add(fragments, pieces[place]!)).at(-1)?.data).toEqual(content);
    expect(fragments.overlapping).toBe(0);
  });

  test("an overlap with different bytes gives up the datagram, with its later fragments", () => {
    const fragments = new Fragments();
    add(fragments, pieces[0]!);
    expect(add(fragments, { family, offset: 1472, more: true, data: new Uint8Array(1488) })).toBeNull();
    expect(add(fragments, pieces[1]!)).toBeNull();
    expect(add(fragments, pieces[2]!)).toBeNull();
    expect(fragments).toMatchObject({ overlapping: 1, incomplete: 0 });
  });

  test("a repeated fragment with different bytes gives up the datagram", () => {
    const fragments = new Fragments();
    add(fragments, pieces[0]!);
    add(fragments, { ...pieces[0]!, data: new Uint8Array(1480) });
    expect(fragments.overlapping).toBe(1);
  });

  test(`an overlap with the same bytes is ${family === 4 ? "accepted" : "not accepted (RFC 5722)"}`, () => {
    const fragments = new Fragments();
    add(fragments, pieces[0]!);
    add(fragments, { family, offset: 1472, more: true, data: content.slice(1472, 2960) });
    expect(add(fragments, pieces[2]!)?.data).toEqual(family === 4 ? content : undefined);
    expect(fragments.overlapping).toBe(family === 4 ? 0 : 1);
  });

  test("a fragment after the last one gives up the datagram", () => {
    const fragments = new Fragments();
    add(fragments, pieces[2]!);
    add(fragments, { family, offset: 3000, more: true, data: content.slice(0, 80) });
    expect(fragments.overlapping).toBe(1);
  });

  test("a datagram that is not complete after 30 s is given up", () => {
    const fragments = new Fragments();
    add(fragments, pieces[0]!);
    add(fragments, { ...pieces[1]!, id: 8, time: 20e6 });
    add(fragments, { ...pieces[1]!, time: 31e6 });
    expect(fragments).toMatchObject({ pending: 2, incomplete: 1 });
    expect(add(fragments, { ...pieces[2]!, time: 31e6 })).toBeNull();
  });

  test("over the limit of datagrams the oldest is given up", () => {
    const fragments = new Fragments(4);
    for (let id = 0; id < 6; id++) add(fragments, { ...pieces[0]!, id });
    expect(fragments).toMatchObject({ pending: 4, incomplete: 2 });
    fragments.clear();
    expect(fragments).toMatchObject({ pending: 0, incomplete: 6 });
  });

  test("a fragment cut by the capture ends the known bytes of the datagram", () => {
    const fragments = new Fragments();
    add(fragments, pieces[0]!);
    add(fragments, { ...pieces[1]!, captured: 20 });
    expect(add(fragments, pieces[2]!)).toEqual({ data: content.slice(0, 1500), length: 3000 });
  });

  test.each([
    [
      "a fragment before the last that is no multiple of 8 bytes",
      { offset: 0, more: true, data: content.slice(0, 13) },
    ],
    ["a fragment that ends after byte 65,535", { offset: 65_528, more: false, data: content.slice(0, 100) }],
    ["an empty fragment", { offset: 8, more: true, data: new Uint8Array(0) }],
  ])("%s is ignored", (_, piece) => {
    const fragments = new Fragments();
    expect(add(fragments, { family, ...piece })).toBeNull();
    expect(fragments.pending).toBe(0);
  });
});

test("any fragments in any order with repetitions give the datagram, once", () => {
  const ends = fc
    .uniqueArray(fc.integer({ min: 1, max: 374 }), { maxLength: 12 })
    .map((units) => [...units.sort((a, b) => a - b).map((unit) => unit * 8), content.length]);
  const shuffled = ends.chain((ends) =>
    fc.tuple(
      fc.constant(ends),
      fc.shuffledSubarray([...ends.keys()], { minLength: ends.length }),
      fc.constantFrom(4 as const, 6 as const),
    ),
  );
  fc.assert(
    fc.property(shuffled, ([ends, order, family]) => {
      const fragments = new Fragments();
      const pieces = cut(family, ...ends);
      if (pieces.length === 1) return;
      for (const [turn, place] of order.entries()) {
        // Each but the last twice: a repetition of the last would begin another datagram.
        if (turn < order.length - 1) expect(add(fragments, pieces[place]!)).toBeNull();
        const result = add(fragments, pieces[place]!);
        expect(result?.data).toEqual(turn === order.length - 1 ? content : undefined);
      }
      expect(fragments).toMatchObject({ pending: 0, incomplete: 0, overlapping: 0 });
    }),
    seeded(200),
  );
});
