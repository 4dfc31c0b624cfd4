/** Datagrams as they go out: whole or in fragments they are put together again byte for byte, with right checksums. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { HEADROOM, PacketBatch } from "../../src/wire/batch.ts";
import { wordsOf } from "../../src/wire/checksum.ts";
import { Fragments } from "../../src/wire/fragments.ts";
import { ipPair } from "../../src/wire/ip.ts";
import { IP_OK, IpHeader, parseIp } from "../../src/wire/ip-header.ts";
import { DatagramHeader, hasRoomFor, packetsOf, pushDatagram } from "../../src/wire/udp.ts";
import { bytesOf } from "../bpf/build.ts";
import { seeded } from "../support/seed.ts";

const PAIRS = {
  4: ipPair(bytesOf("10.0.0.1"), bytesOf("10.0.0.2")),
  6: ipPair(bytesOf("fd00::1"), bytesOf("fd00::2")),
};

/** RFC 1071, the plain way. */
function checksumOf(parts: Uint8Array[]): number {
  const bytes = Buffer.concat(parts);
  let sum = 0;
  for (let at = 0; at < bytes.length; at++) sum += at % 2 === 0 ? bytes[at]! << 8 : bytes[at]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 65536);
  return ~sum & 0xffff;
}

function pseudoHeader(family: 4 | 6, packet: Uint8Array, udp: Uint8Array): Uint8Array {
  const addresses = family === 4 ? packet.subarray(12, 20) : packet.subarray(8, 40);
  const { length } = udp;
  return Uint8Array.of(...addresses, 0, 17, length >> 8, length & 0xff);
}

interface Sent {
  packets: Uint8Array[];
  /** The UDP datagram, header included, as a receiver puts it together. */
  udp: Uint8Array;
  since: number[];
}

function send(family: 4 | 6, payload: Uint8Array, mtu: number, header: Partial<DatagramHeader> = {}): Sent {
  const batch = new PacketBatch();
  const whole = Object.assign(new DatagramHeader(), { sourcePort: 5000, targetPort: 53, id: 7, ...header });
  const from = new Uint8Array(payload.length + 3);
  from.set(payload, 3);
  const count = packetsOf(family, payload.length, mtu);
  expect(hasRoomFor(batch, payload.length, count)).toBe(true);
  pushDatagram(batch, wordsOf(batch.bytes), PAIRS[family], whole, from, 3, payload.length, mtu, 99);
  expect(batch.count).toBe(count);
  const packets = Array.from({ length: batch.count }, (_, row) =>
    batch.bytes.slice(batch.offset[row]!, batch.offset[row]! + batch.length[row]!),
  );
  expect(batch.offset[0]).toBe(HEADROOM);
  return { packets, udp: assemble(packets), since: [...batch.due.subarray(0, batch.count)] };
}

function assemble(packets: Uint8Array[]): Uint8Array {
  const fragments = new Fragments();
  const header = new IpHeader();
  for (const packet of packets) {
    const view = new DataView(packet.buffer);
    expect(parseIp(view, 0, packet.length, packet.length, header)).toBe(IP_OK);
    expect(header.length).toBe(packet.length);
    if (!header.isFragment) return packet.subarray(header.transport);
    if (!fragments.add(packet, view, header, 0)) continue;
    parseIp(fragments.view, fragments.ip, fragments.end, fragments.wireEnd, header);
    return fragments.bytes.slice(header.transport, header.end);
  }
  throw new Error("it is not complete");
}

test("any datagram fits into packets of any size, and arrives whole", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(4 as const, 6 as const),
      fc.oneof(fc.integer({ min: 0, max: 3000 }), fc.integer({ min: 60_000, max: 65_507 })),
      fc.integer({ min: 576, max: 9000 }),
      fc.nat(),
      (family, length, mtu, salt) => {
        const payload = Uint8Array.from({ length }, (_, at) => (at * 31 + salt) >> (at & 3));
        const { packets, udp, since } = send(family, payload, mtu);
        for (const packet of packets) {
          expect(packet.length).toBeLessThanOrEqual(mtu);
          if (family === 4) expect(checksumOf([packet.subarray(0, 20)])).toBe(0);
        }
        expect(Buffer.compare(udp.subarray(8), payload)).toBe(0);
        expect(new DataView(udp.buffer, udp.byteOffset).getUint16(4)).toBe(udp.length);
        expect(checksumOf([pseudoHeader(family, packets[0]!, udp), udp])).toBe(0);
        expect(since.filter((us) => us === 99)).toHaveLength(1);
        expect(since.at(-1)).toBe(99);
      },
    ),
    seeded(60),
  );
});

test("a checksum that comes to 0 is sent as all ones", () => {
  // Two bytes that bring the sum of everything else to 0xffff.
  const { packets, udp } = send(4, Uint8Array.of(0, 0), 1500);
  const rest = new DataView(udp.buffer, udp.byteOffset).getUint16(6);
  const { udp: other } = send(4, Uint8Array.of(rest >> 8, rest & 0xff), 1500);
  expect(new DataView(other.buffer, other.byteOffset).getUint16(6)).toBe(0xffff);
  expect(checksumOf([pseudoHeader(4, packets[0]!, other), other])).toBe(0);
});

test("a datagram captured without a checksum has none over IPv4, and one over IPv6", () => {
  const [ip4, ip6] = ([4, 6] as const).map((family) =>
    send(family, bytesOf("1.2.3.4"), 1500, { hasChecksum: false }),
  );
  expect([...ip4!.udp.subarray(6, 8)]).toEqual([0, 0]);
  expect(checksumOf([pseudoHeader(6, ip6!.packets[0]!, ip6!.udp), ip6!.udp])).toBe(0);
});

test("TTL, traffic class and the don't-fragment flag are those of the header", () => {
  const header = { ttl: 3, trafficClass: 0xb9 };
  const [ip4] = send(4, new Uint8Array(10), 1500, header).packets;
  expect([ip4![1], ip4![8], ip4![6]! >> 5]).toEqual([0xb9, 3, 0]);
  const [fixed] = send(4, new Uint8Array(10), 1500, { ...header, dontFragment: true }).packets;
  expect(fixed![6]! >> 5).toBe(2);
  const [ip6] = send(6, new Uint8Array(10), 1500, header).packets;
  expect([ip6![0], ip6![1], ip6![7]]).toEqual([0x6b, 0x90, 3]);
  for (const packet of send(6, new Uint8Array(4000), 1500, header).packets) expect(packet[7]).toBe(3);
});

test.each([
  [4, 65_507, 1500, 45],
  [4, 65_508, 1500, 0],
  [6, 65_527, 1500, 46],
  [4, 1472, 1500, 1],
  [4, 1473, 1500, 2],
  [6, 1452, 1500, 1],
  [6, 1453, 1500, 2],
] as const)("IPv%d: %d bytes at an MTU of %d are %d packets", (family, length, mtu, count) => {
  expect(packetsOf(family, length, mtu)).toBe(count);
});
