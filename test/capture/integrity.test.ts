/** Checksums of captured packets: right ones are right, every change of a bit is seen, what offloads leave is known. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  BLANK,
  checkIpHeader,
  checkTransport,
  MERGED,
  OFFLOADED,
  RIGHT,
  UNKNOWN,
  type Verdict,
  WRONG,
} from "../../src/capture/integrity.ts";
import { ipHeaderLength } from "../../src/wire/ip.ts";
import { Packet } from "../../src/wire/packet.ts";
import { naiveChecksum } from "../inject/packets.ts";
import { seeded } from "../support/seed.ts";

const parameters = seeded(500);
const ALL = OFFLOADED | MERGED | BLANK;

interface Fields {
  family: 4 | 6;
  isUdp: boolean;
  addresses: Uint8Array;
  payload: Uint8Array;
  /** Offset of the packet in its memory. */
  at: number;
}

const fields: fc.Arbitrary<Fields> = fc.record({
  family: fc.constantFrom(4 as const, 6 as const),
  isUdp: fc.boolean(),
  addresses: fc.uint8Array({ minLength: 32, maxLength: 32 }),
  payload: fc.uint8Array({ maxLength: 300, size: "max" }),
  at: fc.nat(7),
});

/** A packet with right checksums, made the plain way. */
function make({ family, isUdp, addresses, payload, at }: Fields): Packet {
  const header = ipHeaderLength(family);
  const transport = isUdp ? 8 : 20;
  const length = transport + payload.length;
  const packet = new Packet(new Uint8Array(at + header + length + 5).fill(0xa5));
  const { bytes, view } = packet;
  packet.ip = at;
  packet.tcp = at + header;
  packet.payload = packet.tcp + transport;
  packet.end = packet.payload + payload.length;
  packet.length = payload.length;
  bytes.fill(0, at, packet.payload);
  bytes.set(payload, packet.payload);
  const own = addresses.subarray(0, family === 4 ? 8 : 32);
  const protocol = isUdp ? 17 : 6;
  if (family === 4) {
    view.setUint32(at, 0x45000000 | (header + length));
    view.setUint16(at + 8, 0x4000 | protocol);
    bytes.set(own, at + 12);
    view.setUint16(at + 10, naiveChecksum(bytes.subarray(at, at + 20)));
  } else {
    view.setUint32(at, 0x60000000);
    view.setUint32(at + 4, (length << 16) | (protocol << 8));
    bytes.set(own, at + 8);
  }
  view.setUint32(packet.tcp, 0xc3500050);
  if (isUdp) view.setUint16(packet.tcp + 4, length);
  else view.setUint16(packet.tcp + 12, 0x5018);
  setChecksum(packet, naiveChecksum(covered(packet)) || (isUdp ? 0xffff : 0));
  return packet;
}

/** The pseudo header and what follows it. */
function covered({ bytes, ip, tcp, payload, length, family }: Packet, withPayload = true): Uint8Array {
  const own = family === 4 ? bytes.subarray(ip + 12, ip + 20) : bytes.subarray(ip + 8, ip + 40);
  const size = payload - tcp + length;
  const pseudo = [0, payload - tcp === 8 ? 17 : 6, size >> 8, size & 0xff];
  return Uint8Array.of(...own, ...pseudo, ...(withPayload ? bytes.subarray(tcp, tcp + size) : []));
}

function isUdp(packet: Packet): boolean {
  return packet.payload - packet.tcp === 8;
}

function setChecksum(packet: Packet, checksum: number): void {
  packet.view.setUint16(packet.tcp + (isUdp(packet) ? 6 : 16), checksum);
}

describe("the checksum of TCP and UDP", () => {
  test("is right as its sender computed it, and wrong after any change of a bit", () => {
    fc.assert(
      fc.property(fields, fc.nat(), fc.nat(7), (one, where, bit) => {
        const packet = make(one);
        expect(checkTransport(packet, 0)).toBe(RIGHT);
        const changed = where % (packet.end - packet.tcp);
        // The length of UDP says how much is summed: a smaller one is another datagram, a larger one is malformed.
        if (one.isUdp && changed >= 4 && changed < 6) return;
        packet.bytes[packet.tcp + changed]! ^= 1 << bit;
        const checksum = packet.view.getUint16(packet.tcp + (one.isUdp ? 6 : 16));
        const none = one.family === 4 ? UNKNOWN : WRONG;
        expect(checkTransport(packet, 0)).toBe(one.isUdp && checksum === 0 ? none : WRONG);
      }),
      parameters,
    );
  });

  test("belongs to the addresses", () => {
    fc.assert(
      fc.property(fields, fc.nat(), (one, where) => {
        const packet = make(one);
        const size = one.family === 4 ? 8 : 32;
        packet.bytes[packet.ip + (one.family === 4 ? 12 : 8) + (where % size)]! ^= 4;
        expect(checkTransport(packet, 0)).toBe(WRONG);
      }),
      parameters,
    );
  });

  test("that a sender left to its NIC is accepted where the capture cannot tell, with and without the length", () => {
    fc.assert(
      fc.property(fields, (one) => {
        const packet = make(one);
        const pseudo = covered(packet, false);
        const whole = 0xffff - naiveChecksum(pseudo);
        const without = 0xffff - naiveChecksum(Uint8Array.of(...pseudo.subarray(0, -2), 0, 0));
        for (const checksum of [whole, without]) {
          setChecksum(packet, checksum);
          expect(checkTransport(packet, OFFLOADED)).toBe(RIGHT);
        }
      }),
      parameters,
    );
  });

  const plain = { addresses: new Uint8Array(32).fill(9), payload: new Uint8Array(2000).fill(1), at: 1 };
  const tcp4 = { ...plain, family: 4, isUdp: false } as const;
  const udp4 = { ...plain, family: 4, isUdp: true } as const;
  const udp6 = { ...plain, family: 6, isUdp: true } as const;
  /** Sets the checksum, then the fields of the packet. */
  const set = (checksum: number, change: Partial<Packet> = {}) => {
    return (packet: Packet) => {
      setChecksum(packet, checksum);
      Object.assign(packet, change);
    };
  };
  const damage = set(0x1234);
  const cut = (packet: Packet) => Object.assign(packet, { end: packet.end - 1 });
  const pad = (packet: Packet) => Object.assign(packet, { length: packet.length + 5, end: packet.end + 5 });
  const cases: [string, Fields, (packet: Packet) => void, accepted: number, Verdict][] = [
    ["wrong, in a packet larger than a frame, on the wire", tcp4, damage, OFFLOADED, WRONG],
    ["wrong, in a packet larger than a frame, which a NIC may have merged", tcp4, damage, MERGED, UNKNOWN],
    ["wrong, in a datagram larger than a frame", udp4, damage, MERGED, WRONG],
    ["wrong, in a frame", { ...tcp4, payload: new Uint8Array(1460) }, damage, ALL, WRONG],
    ["wrong, but verified by the NIC", tcp4, set(0x1234, { isVerified: true }), 0, RIGHT],
    ["of a packet that the capture has cut", tcp4, cut, 0, UNKNOWN],
    ["of a datagram that the capture has cut", udp6, cut, 0, UNKNOWN],
    ["absent, in TCP on the wire", tcp4, set(0), OFFLOADED, WRONG],
    ["absent, in a recorded TCP packet", tcp4, set(0), BLANK, UNKNOWN],
    ["absent, in UDP over IPv4", udp4, set(0), 0, UNKNOWN],
    ["absent, in UDP over IPv6", udp6, set(0), ALL, WRONG],
    ["of a datagram with bytes behind it", udp4, pad, 0, RIGHT],
    ["of a datagram shorter than its header", udp4, (one) => one.view.setUint16(one.tcp + 4, 7), 0, UNKNOWN],
    ["of more than IP has", tcp4, set(0x1234, { length: 65_516 }), 0, UNKNOWN],
  ];
  test.each(cases)("%s", (_, one, change, accepted, verdict) => {
    const packet = make(one);
    change(packet);
    expect(checkTransport(packet, accepted)).toBe(verdict);
  });
});

describe("the checksum of an IPv4 header", () => {
  test("is right as it was sent, and wrong after any change of a bit", () => {
    fc.assert(
      fc.property(fields, fc.integer({ min: 1, max: 19 }), fc.nat(7), (one, where, bit) => {
        const packet = make({ ...one, family: 4 });
        expect(checkIpHeader(packet, 0)).toBe(RIGHT);
        packet.bytes[packet.ip + where]! ^= 1 << bit;
        expect(checkIpHeader(packet, 0)).toBe(WRONG);
      }),
      parameters,
    );
  });

  test("covers the options, and is missing in IPv6 and in what some systems record", () => {
    const packet = new Packet(new Uint8Array(24));
    packet.bytes.set([0x46, 0, 0, 44, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 148, 4, 0, 0]);
    expect(checkIpHeader(packet, ALL)).toBe(UNKNOWN);
    expect(checkIpHeader(packet, OFFLOADED | MERGED)).toBe(WRONG);
    packet.view.setUint16(10, naiveChecksum(packet.bytes));
    expect(checkIpHeader(packet, 0)).toBe(RIGHT);
    packet.bytes[23] = 1;
    expect(checkIpHeader(packet, 0)).toBe(WRONG);
    packet.bytes[0] = 0x60;
    expect(checkIpHeader(packet, 0)).toBe(RIGHT);
  });
});
