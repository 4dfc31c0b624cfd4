/** Where the headers of a queued packet are. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { locate } from "../../src/intercept/data-plane/nfqueue.ts";
import { Packet } from "../../src/wire/packet.ts";
import { buildPacket } from "../inject/packets.ts";

const PAYLOAD = Uint8Array.from({ length: 40 }, (_, index) => index);

function segment(family: 4 | 6, options = 12): Uint8Array {
  const [source, destination] = family === 4 ? ["10.0.0.2", "10.1.0.2"] : ["fd00::2", "fd00:1::2"];
  const ports = { sourcePort: 80, destinationPort: 4000 };
  return buildPacket({
    source: source!,
    destination: destination!,
    ...ports,
    seq: 7,
    options: new Uint8Array(options).fill(1),
    payload: PAYLOAD,
  });
}

/** An IPv6 packet with these extension headers: type, and length in bytes. */
function extended(headers: [type: number, length: number][]): Uint8Array {
  const plain = segment(6);
  const extensions = headers.map(([type, length], index) => {
    const bytes = new Uint8Array(length);
    bytes[0] = headers[index + 1]?.[0] ?? 6;
    bytes[1] = type === 51 ? length / 4 - 2 : length / 8 - 1;
    return bytes;
  });
  const ip = plain.slice(0, 40);
  ip[6] = headers[0]![0];
  return new Uint8Array(Buffer.concat([ip, ...extensions, plain.subarray(40)]));
}

/** What is found of a packet of `length` bytes on the wire, at an offset that is not 0; null if nothing. */
function found(bytes: Uint8Array, length = bytes.length) {
  const memory = new Uint8Array(new ArrayBuffer(bytes.length + 96));
  memory.fill(0xee).set(bytes, 32);
  const packet = new Packet(memory);
  if (!locate(packet, 32, bytes.length, length)) return null;
  const { ip, tcp, payload, end } = packet;
  return { ip: ip - 32, tcp: tcp - 32, payload: payload - 32, end: end - 32, length: packet.length };
}

test.each([
  ["IPv4", segment(4), 20],
  ["IPv6", segment(6), 40],
  [
    "IPv6 with hop-by-hop, routing and destination options",
    extended([
      [0, 8],
      [43, 24],
      [60, 16],
    ]),
    88,
  ], // prettier-ignore
  ["IPv6 with an authentication header", extended([[51, 24]]), 64],
  ["IPv6 with the first fragment", extended([[44, 8]]), 48],
])("%s", (_, bytes, tcp) => {
  // The second byte of a fragment header is reserved.
  if (bytes[6] === 44) bytes[41] = 0;
  expect(found(bytes)).toEqual({ ip: 0, tcp, payload: tcp + 32, end: bytes.length, length: 40 });
});

test.each([
  ["IPv4", changed(segment(4), 9, 17), 20],
  ["IPv6", changed(segment(6), 6, 17), 40],
])("UDP over %s", (_, bytes, udp) => {
  const length = bytes.length - udp - 8;
  expect(found(bytes)).toEqual({ ip: 0, tcp: udp, payload: udp + 8, end: bytes.length, length });
});

test("a cut packet: the payload's length is that on the wire, also above 64 KiB", () => {
  const bytes = segment(4).subarray(0, 60);
  expect(found(bytes, 150_000)).toEqual({ ip: 0, tcp: 20, payload: 52, end: 60, length: 149_948 });
});

function changed(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const copy = bytes.slice();
  copy[at] = value;
  return copy;
}

test.each([
  ["another protocol over IPv4", changed(segment(4), 9, 47)],
  ["another protocol over IPv6", changed(segment(6), 6, 47)],
  ["a UDP header cut off", changed(segment(4), 9, 17).subarray(0, 27)],
  ["a later fragment of IPv4", changed(segment(4), 7, 8)],
  ["a later fragment of IPv6", changed(extended([[44, 8]]), 43, 8)],
  ["another version", changed(segment(4), 0, 0x55)],
  ["an IPv4 header below 20 bytes", changed(segment(4), 0, 0x44)],
  ["a TCP header below 20 bytes", changed(segment(4), 32, 0x40)],
  ["a TCP header cut off", segment(4).subarray(0, 39)],
  ["TCP options cut off", segment(4).subarray(0, 51)],
  ["extension headers cut off", extended([[0, 64]]).subarray(0, 60)],
])("%s is not read", (_, bytes) => {
  expect(found(bytes)).toBeNull();
});

test("no bytes lead outside of what was captured", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(
        segment(4),
        segment(6),
        extended([
          [0, 8],
          [44, 8],
        ]),
      ), // prettier-ignore
      fc.array(fc.tuple(fc.nat(100), fc.nat(255)), { maxLength: 6 }),
      fc.nat(140),
      (bytes, changes, length) => {
        const copy = bytes.slice(0, length);
        for (const [at, value] of changes) if (at < copy.length) copy[at] = value;
        const place = found(copy);
        if (place === null) return;
        // Of UDP, which a changed byte may make of it, the header has 8 bytes.
        expect(place.tcp + 8).toBeLessThanOrEqual(place.payload);
        expect(place.payload).toBeLessThanOrEqual(place.end);
        expect(place.end).toBe(copy.length);
        expect(place.length).toBe(copy.length - place.payload);
      },
    ),
  );
});
