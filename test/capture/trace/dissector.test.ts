/** From a frame of a trace to the request in it. */
import { describe, expect, test } from "bun:test";
import { type KernelService, Services } from "../../../src/capture/services.ts";
import {
  Dissector,
  FRAGMENT,
  HEADERS_CUT,
  MALFORMED,
  NOT_IP,
  NOT_WANTED,
} from "../../../src/capture/trace/dissector.ts";
import { Frame } from "../../../src/capture/trace/frame.ts";
import { sum, wordsOf, writeChecksum } from "../../../src/wire/checksum.ts";
import { type Frame as Built, build, bytesOf, HOP_BY_HOP, ROUTING } from "../../bpf/build.ts";
import { hex } from "../../wire/placed.ts";
import { concat } from "./lay.ts";
import { fc } from "./seed.ts";

const TCP = 6;
const UDP = 17;
const NOW = 1e15;

function service(address: string | null, port: number, index: number, family: 4 | 6 = 4): KernelService {
  return { address: address === null ? null : bytesOf(address), family, port, index };
}

const WEB = service("10.0.0.2", 80, 3);
const dissectorOf = (services = [WEB], protocol = TCP) => new Dissector(new Services(services), protocol);

function dissectorRead(data: Uint8Array): Dissector {
  const dissector = dissectorOf();
  expect(dissector.read(frameOf(data))).toBe(3);
  return dissector;
}

/** A frame in the middle of a buffer. */
function frameOf(data: Uint8Array, { linkType = 1, cut = 0, time = NOW } = {}): Frame {
  const frame = new Frame();
  frame.bytes = concat(new Uint8Array(3), data, new Uint8Array(64));
  frame.view = new DataView(frame.bytes.buffer);
  frame.start = 3;
  frame.end = 3 + data.length - cut;
  frame.length = data.length;
  frame.linkType = linkType;
  frame.time = time;
  return frame;
}

function u16(value: number): number[] {
  return [value >> 8, value & 0xff];
}

/** An Ethernet frame with an IPv4 packet of any protocol, which has this content. */
function ip4(
  protocol: number,
  content: Uint8Array,
  totalLength = 20 + content.length,
  offset = 0,
): Uint8Array {
  const header = Uint8Array.from([0x45, 0, ...u16(totalLength), 0, 9, ...u16(offset), 64, protocol, 0, 0]);
  const packet = concat(header, Uint8Array.from([10, 9, 0, 1, 10, 9, 0, 2]), content);
  writeChecksum(packet, 10, sum(wordsOf(packet), 0, 20));
  return concat(Uint8Array.from([...new Array(12).fill(2), 8, 0]), packet);
}

const vxlan = (frame: Uint8Array, port = 4789): Uint8Array =>
  concat(
    Uint8Array.from([0xd0, 0, ...u16(port), ...u16(16 + frame.length), 0, 0, 8, 0, 0, 0, 0, 0, 1, 0]),
    frame,
  );
/** A frame around an IP packet. */
const framed = (packet: Uint8Array): Uint8Array =>
  concat(new Uint8Array(12).fill(2), hex(version(packet) === 4 ? "0800" : "86dd"), packet);
const version = (packet: Uint8Array): number => packet[0]! >> 4;
const ip6 = (next: number, content: Uint8Array): Uint8Array =>
  concat(
    Uint8Array.from([0x60, 0, 0, 0, ...u16(content.length), next, 64]),
    hex("fd000000 00000000 00000000 00000001 fd000000 00000000 00000000 00000002"),
    content,
  );
const destinationOptions = (packet: Uint8Array): Uint8Array =>
  Uint8Array.from([version(packet) === 4 ? 4 : 41, 0, 4, 1, 4, 0, 0, 0]);
const datagram = (port: number, content: Uint8Array): Uint8Array =>
  ip4(
    UDP,
    concat(Uint8Array.from([0xd0, 0, ...u16(port), ...u16(8 + content.length), 0, 0]), content),
  ).subarray(14);
const gre = (frame: Uint8Array): Uint8Array => concat(Uint8Array.from([0, 0, 0x65, 0x58]), frame);

const REQUEST: Built = { payload: "GET / HTTP/1.1\r\n\r\n", seq: 77 };

describe("services", () => {
  const services = [
    service(null, 80, 0),
    service(null, 80, 0, 6),
    service("10.0.0.2", 80, 1),
    service("10.0.0.3", 81, 2),
    service("fd00::2", 80, 4, 6),
  ];

  test.each<[string, Built, number]>([
    ["an address that is named", { destination: "10.0.0.2" }, 1],
    ["any other address", { destination: "10.0.0.99" }, 0],
    ["an IPv6 address that is named", { source: "fd00::1", destination: "fd00::2" }, 4],
    ["any other IPv6 address", { source: "fd00::1", destination: "fd00::3" }, 0],
    ["the port of another address", { destination: "10.0.0.2", destinationPort: 81 }, NOT_WANTED],
    ["the other address", { destination: "10.0.0.3", destinationPort: 81 }, 2],
    ["another port", { destinationPort: 443 }, NOT_WANTED],
    ["a response", { sourcePort: 80, destinationPort: 50000 }, NOT_WANTED],
    ["UDP", { protocol: UDP }, NOT_WANTED],
  ])("%s", (_, built, index) => {
    expect(dissectorOf(services).read(frameOf(build(built).bytes))).toBe(index);
  });

  test("of another protocol", () => {
    const datagram = ip4(UDP, Uint8Array.from([0xd0, 0, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4]));
    const dissector = dissectorOf([service(null, 53, 5)], UDP);
    expect(dissector.read(frameOf(datagram))).toBe(5);
    expect(dissector.header.end - dissector.payload).toBe(4);
    expect(dissector.read(frameOf(build({ destinationPort: 53 }).bytes))).toBe(NOT_WANTED);
  });
});

describe("lengths", () => {
  function lengthsOf(data: Uint8Array, options = {}): { length: number; captured: number } {
    const dissector = dissectorOf([WEB, service("fd00::2", 80, 3, 6)]);
    expect(dissector.read(frameOf(data, options))).toBe(3);
    const { header, payload } = dissector;
    return { length: header.ip + header.length - payload, captured: header.end - payload };
  }
  const six = { source: "fd00::1", destination: "fd00::2" };

  test("Ethernet's padding does not count", () => {
    expect(lengthsOf(build({ payload: 2, padding: 6 }).bytes)).toEqual({ length: 2, captured: 2 });
  });

  test("a packet that the capture has cut has its length on the wire", () => {
    expect(lengthsOf(build({ payload: 1000 }).bytes, { cut: 900 })).toEqual({ length: 1000, captured: 100 });
  });

  test("a total length of 0 means the length of the frame (TSO)", () => {
    expect(lengthsOf(build({ payload: 5000, totalLength: 0 }).bytes)).toEqual({
      length: 5000,
      captured: 5000,
    });
    const large = build({ payload: 100_000, totalLength: 0 }).bytes;
    expect(lengthsOf(large, { cut: 99_000 })).toEqual({ length: 100_000, captured: 1000 });
  });

  test("IPv6: a payload length of 0 means the length of the frame", () => {
    expect(lengthsOf(build({ ...six, payload: 90_000, totalLength: 0 }).bytes).length).toBe(90_000);
  });

  test("IPv6: a jumbo payload option has the length", () => {
    const { bytes } = build({
      ...six,
      payload: 90_000,
      totalLength: 0,
      extensions: [HOP_BY_HOP],
      padding: 4,
    });
    const at = 14 + 40;
    bytes.set([0xc2, 4], at + 2);
    new DataView(bytes.buffer).setUint32(at + 4, 8 + 20 + 90_000);
    expect(lengthsOf(bytes)).toEqual({ length: 90_000, captured: 90_000 });
  });

  test("IPv6: extension headers are skipped", () => {
    const { bytes } = build({ ...six, payload: 30, extensions: [HOP_BY_HOP, [ROUTING, 24], 51, 60] });
    expect(lengthsOf(bytes)).toEqual({ length: 30, captured: 30 });
  });

  test("IP and TCP options belong to the headers", () => {
    expect(lengthsOf(build({ payload: 30, ipOptions: 8, tcpOptions: 12 }).bytes).length).toBe(30);
  });
});

describe("tunnels", () => {
  const inner = build(REQUEST).bytes;

  test.each<[string, Uint8Array]>([
    ["VXLAN", ip4(UDP, vxlan(inner))],
    ["GRE", ip4(47, gre(inner))],
    ["VXLAN in GRE in VXLAN", ip4(UDP, vxlan(ip4(47, gre(ip4(UDP, vxlan(inner))))))],
  ])("a request in %s", (_, data) => {
    const dissector = dissectorOf();
    expect(dissector.read(frameOf(data))).toBe(3);
    const { view, header, payload, bytes } = dissector;
    expect(view.getUint32(header.transport + 4)).toBe(77);
    expect(new TextDecoder().decode(bytes.subarray(payload, header.end))).toBe("GET / HTTP/1.1\r\n\r\n");
  });

  /** What wraps an IP packet, or the frame that it comes in. */
  const wrappers: [string, (packet: Uint8Array) => Uint8Array][] = [
    ["IP in IP", (packet) => ip4(version(packet) === 4 ? 4 : 41, packet).subarray(14)],
    ["IP in IPv6", (packet) => ip6(version(packet) === 4 ? 4 : 41, packet)],
    ["IP in IPv6 with options", (packet) => ip6(60, concat(destinationOptions(packet), packet))],
    [
      "GRE",
      (packet) => ip4(47, concat(hex(version(packet) === 4 ? "00000800" : "000086dd"), packet)).subarray(14),
    ],
    ["VXLAN in IPv6", (packet) => ip6(UDP, vxlan(framed(packet)))],
    ["GENEVE", (packet) => datagram(6081, concat(hex("0140655800000700 01028000"), framed(packet)))],
    ["GTP-U", (packet) => datagram(2152, concat(hex("32ff0000 00000063 00010000"), packet))],
    ["a pseudowire", (packet) => datagram(6635, concat(hex("00010140 00000001"), framed(packet)))],
    [
      "VXLAN-GPE",
      (packet) => datagram(4790, concat(hex(`0c00000${version(packet) === 4 ? 1 : 2} 00002a00`), packet)),
    ],
    ["VXLAN on any port", (packet) => ip4(UDP, vxlan(framed(packet), 50_123)).subarray(14)],
  ];

  test.each(wrappers)("a request in %s, however it is cut", (_, wrap) => {
    const data = framed(wrap(inner.subarray(14)));
    expect(dissectorOf().read(frameOf(data))).toBe(3);
    const { header, payload } = dissectorRead(data);
    expect(header.ip + header.length - payload).toBe(18);
    for (let cut = 1; cut <= data.length; cut++) {
      const dissector = dissectorOf();
      const index = dissector.read(frameOf(data, { cut }));
      if (cut <= 18) expect(dissector.header.ip + dissector.header.length - dissector.payload).toBe(18);
      expect(index === 3).toBe(cut <= 18);
    }
  });

  test("a request in tunnels of any kind within each other", () => {
    const some = fc.array(fc.constantFrom(...wrappers), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(some, (chosen) => {
        const packet = chosen.reduce((packet, [, wrap]) => wrap(packet), inner.subarray(14));
        const { bytes, payload, header } = dissectorRead(framed(packet));
        expect(new TextDecoder().decode(bytes.subarray(payload, header.end))).toBe("GET / HTTP/1.1\r\n\r\n");
      }),
    );
  });

  test("fragments of a packet with another one in it", () => {
    const outer = ip4(4, build({ ...REQUEST, payload: 2000 }).bytes.subarray(14));
    const dissector = dissectorOf();
    const content = outer.subarray(34);
    const pieces = [
      ip4(4, content.slice(0, 1000), 1020, 0x2000),
      ip4(4, content.slice(1000), undefined, 125),
    ];
    expect(pieces.map((piece) => dissector.read(frameOf(piece)))).toEqual([FRAGMENT, 3]);
  });

  test("a datagram that looks like a tunnel's is a request where its own port is a service", () => {
    for (const port of [4789, 50_123]) {
      const outer = service(null, port, 8);
      const dissector = new Dissector(new Services([WEB]), TCP, new Services([outer]));
      expect(dissector.read(frameOf(ip4(UDP, vxlan(inner, port))))).toBe(8);
      expect(dissector.read(frameOf(ip4(UDP, vxlan(inner, port + 1))))).toBe(3);
    }
  });

  test("are unwrapped up to a bound", () => {
    let data = inner;
    for (let depth = 0; depth < 10; depth++) data = ip4(47, gre(data));
    expect(dissectorOf().read(frameOf(data))).toBe(NOT_WANTED);
  });

  test("one that is itself wanted is not unwrapped", () => {
    const dissector = dissectorOf([service(null, 4789, 8)], UDP);
    expect(dissector.read(frameOf(ip4(UDP, vxlan(inner))))).toBe(8);
    expect(dissector.payload - dissector.header.ip).toBe(28);
  });

  test("other packets in a tunnel are not wanted", () => {
    expect(dissectorOf().read(frameOf(ip4(UDP, vxlan(build({ destinationPort: 22 }).bytes))))).toBe(
      NOT_WANTED,
    );
  });
});

describe("fragments", () => {
  /** The frame's IPv4 packet in pieces that end at these places of its payload. */
  function fragmentsOf(data: Uint8Array, ...ends: number[]): Uint8Array[] {
    const content = data.subarray(34);
    return [...ends, content.length].map((end, index) => {
      const from = index === 0 ? 0 : ends[index - 1]!;
      const more = end < content.length ? 0x2000 : 0;
      const piece = ip4(data[23]!, content.slice(from, end), 20 + end - from, more | (from >> 3));
      piece.set(data.subarray(26, 34), 26);
      return piece;
    });
  }
  const large = build({ ...REQUEST, payload: 4000 }).bytes;

  test("a request in fragments", () => {
    const dissector = dissectorOf();
    const results = fragmentsOf(large, 1480, 2960).map((data) => dissector.read(frameOf(data)));
    expect(results).toEqual([FRAGMENT, FRAGMENT, 3]);
    const { header, payload, bytes } = dissector;
    expect(bytes.slice(payload, header.end)).toEqual(large.slice(54));
  });

  test("fragments of a request in a tunnel, and of a tunnel's packet", () => {
    for (const pieces of [
      fragmentsOf(large, 1480, 2960).map((data) => ip4(UDP, vxlan(data))),
      fragmentsOf(ip4(UDP, vxlan(large)), 1480, 2960),
      fragmentsOf(large, 1480).flatMap((data, index) =>
        fragmentsOf(ip4(UDP, vxlan(data)), 800).map((piece) => {
          piece[19] = index;
          return piece;
        }),
      ),
    ]) {
      const dissector = dissectorOf();
      const results = pieces.map((data) => dissector.read(frameOf(data)));
      expect(results.pop()).toBe(3);
      expect(new Set(results)).toEqual(new Set([FRAGMENT]));
      expect(dissector.bytes.slice(dissector.payload, dissector.header.end)).toEqual(large.slice(54));
    }
  });

  test("fragments of unwanted packets take no memory", () => {
    const dissector = dissectorOf();
    expect(dissector.read(frameOf(ip4(1, new Uint8Array(80), 100, 0x2000)))).toBe(NOT_WANTED);
    expect(dissector.fragments.pending).toBe(0);
  });
});

test.each<[string, Uint8Array, object, number]>([
  ["ARP", concat(new Uint8Array(12), Uint8Array.from([8, 6]), new Uint8Array(40)), {}, NOT_IP],
  ["an unknown link type", build({}).bytes, { linkType: 147 }, NOT_IP],
  ["cut in the IP header", build({}).bytes, { cut: 25 }, HEADERS_CUT],
  ["cut in the TCP header", build({}).bytes, { cut: 5 }, HEADERS_CUT],
  ["cut in the TCP options", build({ tcpOptions: 12 }).bytes, { cut: 4 }, HEADERS_CUT],
  ["an IP packet that ends in its TCP header", build({ totalLength: 30 }).bytes, {}, MALFORMED],
  ["an IP packet that ends in its own header", build({ totalLength: 19 }).bytes, {}, MALFORMED],
])("%s", (_, data, options, reason) => {
  expect(dissectorOf().read(frameOf(data, options))).toBe(reason);
});
