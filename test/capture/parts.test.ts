/** Packets above 64 KiB cut into segments. */
import { describe, expect, test } from "bun:test";
import { Parts } from "../../src/capture/parts.ts";
import { finishTcpChecksum, wordsOf } from "../../src/wire/checksum.ts";
import { IP_OK, IpHeader, parseIp } from "../../src/wire/ip-header.ts";
import { Packet } from "../../src/wire/packet.ts";
import { ACK, FIN, PSH, SYN, URG } from "../../src/wire/tcp.ts";
import { build, DESTINATION_OPTIONS, type Frame, HOP_BY_HOP } from "../bpf/build.ts";
import { fc } from "../config/seed.ts";
import { naiveChecksum } from "../inject/packets.ts";

const V6 = { source: "fd00::1", destination: "fd00::2" };

/** A packet as a source hands it over. */
function captured(fields: Frame, cut = 0): Packet {
  const { ip } = build({ totalLength: 0, ...fields });
  const bytes = new Uint8Array(new ArrayBuffer(6 + ip.length));
  bytes.set(ip, 6);
  if (fields.extensions?.[0] === HOP_BY_HOP) {
    const view = new DataView(bytes.buffer);
    view.setUint16(6 + 42, 0xc204);
    view.setUint32(6 + 44, ip.length - 40);
  }
  const packet = new Packet(bytes);
  const header = new IpHeader();
  expect(parseIp(packet.view, 6, bytes.length, bytes.length, header)).toBe(IP_OK);
  packet.ip = 6;
  packet.tcp = header.transport;
  packet.payload = header.transport + packet.headerLength;
  packet.end = bytes.length - cut;
  packet.length = bytes.length - packet.payload;
  packet.time = 5;
  packet.think = 7;
  packet.index = 3;
  packet.ifindex = 2;
  return packet;
}

interface Part {
  bytes: Uint8Array;
  tcp: number;
  payload: number;
  length: number;
  flags: number;
  seq: number;
  think: number;
}

function partsOf(packet: Packet): Part[] {
  const parts: Part[] = [];
  new Parts().pass(packet, (part) => {
    expect([part.time, part.index, part.ifindex]).toEqual([packet.time, packet.index, packet.ifindex]);
    const { tcp, payload, length, flags, seq, think } = part;
    const bytes = part.bytes.slice(part.ip, part.end);
    parts.push({ bytes, tcp: tcp - part.ip, payload: payload - part.ip, length, flags, seq, think });
  });
  return parts;
}

const payloadOf = (parts: Part[]) =>
  Buffer.concat(parts.map(({ bytes, payload }) => bytes.subarray(payload)));

test("a packet of up to 64 KiB is passed on as it is", () => {
  for (const fields of [{ payload: 65_495 }, { ...V6, payload: 65_475 }, { payload: 0, flags: SYN }]) {
    const packet = captured(fields);
    const passed: Packet[] = [];
    new Parts().pass(packet, (one) => passed.push(one));
    expect(passed).toEqual([packet]);
    expect(passed[0]).toBe(packet);
  }
});

describe("a larger one becomes IP packets of its bytes", () => {
  const kinds: [name: string, fields: Frame, headers: number][] = [
    ["IPv4", {}, 40],
    ["IPv4 with options", { ipOptions: 8, tcpOptions: 12 }, 60],
    ["IPv6", V6, 60],
    ["IPv6 with a jumbo payload option", { ...V6, extensions: [HOP_BY_HOP], tcpOptions: 12 }, 72],
    ["with more headers behind it", { ...V6, extensions: [HOP_BY_HOP, DESTINATION_OPTIONS] }, 68],
  ];
  test.each(kinds)("%s", (_, fields, headers) => {
    const sizes = [65_536 - headers, 65_536, 131_071, 200_001, 524_000];
    for (const size of sizes) {
      const packet = captured({ seq: 0xffff_0000, payload: size, ...fields });
      const parts = partsOf(packet);
      expect(parts.length).toBe(Math.ceil(size / (65_535 - headers)));
      expect(Bun.hash(payloadOf(parts))).toBe(Bun.hash(packet.bytes.subarray(packet.payload, packet.end)));
      let seq = 0xffff_0000;
      for (const [index, part] of parts.entries()) {
        const header = new IpHeader();
        const view = new DataView(part.bytes.buffer);
        expect(parseIp(view, 0, part.bytes.length, part.bytes.length, header)).toBe(IP_OK);
        expect(header).toMatchObject({ length: part.bytes.length, transport: part.tcp, protocol: 6 });
        expect([part.payload, part.seq, part.think]).toEqual([headers, seq, index === 0 ? 7 : -1]);
        expect(part.flags).toBe(index === parts.length - 1 ? ACK | PSH : ACK);
        if (header.family === 4) expect(naiveChecksum(part.bytes.subarray(0, part.tcp))).toBe(0);
        // The sum that offloads leave: finished over the segment, it is that of RFC 9293.
        finishTcpChecksum(wordsOf(part.bytes), part.tcp, part.bytes.length - part.tcp);
        expect(naiveChecksum(pseudoHeaderAnd(part))).toBe(0);
        seq = (seq + part.length) >>> 0;
      }
    }
  });
});

/** The segment behind its pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1), whose sum is 0. */
function pseudoHeaderAnd({ bytes, tcp }: Part): Uint8Array {
  const length = bytes.length - tcp;
  const isIp4 = bytes[0]! >> 4 === 4;
  const addresses = isIp4 ? bytes.subarray(12, 20) : bytes.subarray(8, 40);
  return Buffer.concat([addresses, Uint8Array.of(0, 6, length >> 8, length & 0xff), bytes.subarray(tcp)]);
}

test("SYN and URG stay with the first part, FIN and PSH with the last, and a SYN counts one", () => {
  const parts = partsOf(captured({ seq: 10, payload: 140_000, flags: SYN | URG | FIN | PSH | ACK }));
  expect(parts.map(({ flags, seq }) => [flags, seq])).toEqual([
    [SYN | URG | ACK, 10],
    [ACK, 11 + 65_495],
    [FIN | PSH | ACK, 11 + 2 * 65_495],
  ]);
});

test("what the capture cut is cut of the parts", () => {
  fc.assert(
    fc.property(fc.nat(140_040), (cut) => {
      const packet = captured({ payload: 140_000 }, cut);
      const parts = partsOf(packet);
      expect(parts.map(({ length }) => length)).toEqual([65_495, 65_495, 9010]);
      const there = Math.max(0, 140_000 - cut);
      expect(payloadOf(parts).length).toBe(there);
      expect(parts[0]!.bytes.length).toBe(Math.min(65_535, 140_040 - cut));
    }),
    { numRuns: 20 },
  );
});

test("it stops where nobody wants more", () => {
  let count = 0;
  new Parts().pass(captured({ payload: 500_000 }), () => ++count < 3);
  expect(count).toBe(3);
});
