/** The wire format of tcpcopy and intercept 1.x, laid out by hand: struct msg_clt_s and msg_server_s. */
import { describe, expect, test } from "bun:test";
import { checkCompatAddress } from "../../src/channel/compat.ts";
import { CompatClient } from "../../src/channel/compat-client.ts";
import type { Peer } from "../../src/channel/contract.ts";
import { makeHello } from "../../src/channel/hello.ts";
import { ChannelServer, type ServerOptions } from "../../src/channel/server.ts";
import { failing } from "../config/failing.ts";
import { ADDRESS, carry, type Events, makeEnds, recordClient, recordPeer, settle, takeAll } from "./ends.ts";
import { makeFlow, makePacket, type Seen, seen } from "./packets.ts";
import { fc } from "./seed.ts";

/** Bytes from hexadecimal digits in any arrangement. */
function bytesOf(...digits: string[]): Uint8Array {
  return new Uint8Array(Buffer.from(digits.join("").replaceAll(/\s/g, ""), "hex"));
}

const HELLO = bytesOf("00000000 0000 0006 00000000 0000");
/** 192.0.2.7:40000 is a client of 10.0.0.2:8080. */
const ADD = bytesOf("c0000207 9c40 0001 0a000002 1f90");
/** What a tcpcopy does not tell of a flow that it registers. */
const UNNUMBERED = `${"00".repeat(15)}03`;
const FLOW = `c0000207${"00".repeat(12)}0a000002${"00".repeat(12)}9c401f90`;

/** A SYN-ACK, as Linux answers: MSS, SACK permitted, timestamps, window scale. */
const SYN_ACK_IP = "4500 003c 0000 4000 4006 1234 0a000002 c0000207";
const SYN_ACK_TCP = "1f90 9c40 11223344 55667788 a012 fe88 abcd 0000";
const SYN_ACK_OPTIONS = "020405b4 0402 080a 01020304 05060708 01 030307";
const SYN_ACK = bytesOf(SYN_ACK_IP, SYN_ACK_TCP, SYN_ACK_OPTIONS, "00000000");
const SYN_ACK_SEEN: Seen = {
  ip: SYN_ACK_IP.replaceAll(" ", ""),
  tcp: (SYN_ACK_TCP + SYN_ACK_OPTIONS).replaceAll(" ", ""),
  length: 0,
};

/** 1,448 bytes of data with timestamps. */
const DATA_IP = "4500 05dc 0001 4000 4006 4321 0a000002 c0000207";
const DATA_TCP = "1f90 9c40 11223345 5566778a 8018 01f5 0000 0000";
const DATA_OPTIONS = "0101080a 01020305 05060709";
const DATA = bytesOf(DATA_IP, DATA_TCP, DATA_OPTIONS, "00".repeat(12));
const DATA_SEEN: Seen = {
  ip: DATA_IP.replaceAll(" ", ""),
  tcp: (DATA_TCP + DATA_OPTIONS).replaceAll(" ", ""),
  length: 1448,
};

function openClient(): { client: CompatClient; events: Events } {
  const events: Events = [];
  const client = new CompatClient(recordClient(events));
  client.begin(0);
  expect(takeAll(client.outgoing)).toEqual(HELLO);
  expect(events).toEqual([
    ["welcome", { mode: "compat", slot: 0, cookie: null, services: [], version: "1.x" }, false],
  ]);
  events.length = 0;
  return { client, events };
}

function acceptPeer(options: Partial<ServerOptions> = {}): {
  peer: Peer;
  events: Events;
  server: ChannelServer;
} {
  const events: Events = [];
  const server = new ChannelServer({ key: null, insecure: true, compat: "combined", ...options });
  return { peer: server.accept(ADDRESS, recordPeer(events), 0), events, server };
}

function openPeer(options: Partial<ServerOptions> = {}): { peer: Peer; events: Events } {
  const { peer, events } = acceptPeer(options);
  peer.feed(HELLO, 0, HELLO.length, 0);
  expect(events).toEqual([["admit", null, false, 6]]);
  events.length = 0;
  return { peer, events };
}

const responses = (...list: Seen[]) => list.map((one) => ["response", one, 5, -1, 0]);

describe("towards an intercept 1.x", () => {
  test("a flow is a CLIENT_ADD", () => {
    const { client } = openClient();
    expect(client.register(bytesOf(FLOW), 0)).toBe(true);
    expect(takeAll(client.outgoing)).toEqual(ADD);
  });

  test("a flow of IPv6 is refused", () => {
    const { client } = openClient();
    for (const at of [12, 15, 31]) {
      const flow = bytesOf(FLOW);
      flow[at] = 1;
      expect(client.register(flow, 0)).toBe(false);
    }
    expect(takeAll(client.outgoing)).toHaveLength(0);
    expect(client.ranges()).toBe(false);
    expect(client.ask()).toBe(false);
  });

  test("an address of IPv6 is refused with a reason", () => {
    checkCompatAddress(new Uint8Array(4), "10.0.0.2");
    expect(failing(() => checkCompatAddress(new Uint8Array(16), "2001:db8::2"))).toEqual({
      message: 'Cannot use "2001:db8::2" with --compat: the format of tcpcopy 1.x carries IPv4 only',
      fix: "Leave --compat out and run xcopy on both hosts, or name an IPv4 address.",
      exitCode: 2,
    });
  });

  const streams: [string, Uint8Array, Seen[]][] = [
    ["separate", bytesOf(hex(SYN_ACK), hex(DATA)), [SYN_ACK_SEEN, DATA_SEEN]],
    ["combined, one each", bytesOf("0001", hex(SYN_ACK), "0001", hex(DATA)), [SYN_ACK_SEEN, DATA_SEEN]],
    ["combined", bytesOf("0002", hex(SYN_ACK), hex(DATA)), [SYN_ACK_SEEN, DATA_SEEN]],
    ["combined, 16 of them", bytesOf("0010", hex(DATA).repeat(16)), Array(16).fill(DATA_SEEN)],
  ];
  for (const [name, stream, expected] of streams) {
    test(`responses that are ${name}, however they are cut`, () => {
      for (const size of [stream.length, 1, 2, 3, 64, 65, 66, 67]) {
        const { client, events } = openClient();
        for (let from = 0; from < stream.length; from += size) {
          client.feed(stream, from, Math.min(from + size, stream.length), 5);
        }
        expect(events).toEqual(responses(...expected));
      }
    });
  }

  test("an IP header that says it has options, which are not there", () => {
    const { client, events } = openClient();
    const record = Uint8Array.from(DATA);
    record[0] = 0x46;
    record[3]! += 4;
    client.feed(record, 0, 64, 5);
    const ip = `46${DATA_SEEN.ip.slice(2, 6)}e0${DATA_SEEN.ip.slice(8)}`;
    expect(events).toEqual(responses({ ip, tcp: DATA_SEEN.tcp, length: 1448 }));
  });

  test("more TCP options than there is room for", () => {
    const { client, events } = openClient();
    const record = bytesOf(
      DATA_IP,
      "1f90 9c40 11223345 5566778a f018 01f5 0000 0000",
      DATA_OPTIONS,
      "01".repeat(12),
    );
    client.feed(record, 0, 64, 5);
    const tcp = Buffer.from(record.subarray(20)).toString("hex");
    expect(events).toEqual(responses({ ip: DATA_SEEN.ip, tcp, length: 1500 - 20 - 60 }));
  });

  const spoilt: [string, (record: Uint8Array) => void][] = [
    ["an IP header of 16 bytes", (record) => (record[0] = 0x44)],
    ["a TCP header of 16 bytes", (record) => (record[32] = 0x40)],
    ["headers longer than the packet", (record) => record.fill(0, 2, 4)],
  ];
  for (const [name, spoil] of spoilt) {
    test(`a record with ${name} is left out, and counted`, () => {
      const { client, events } = openClient();
      const record = Uint8Array.from(DATA);
      spoil(record);
      client.feed(record, 0, 64, 5);
      client.feed(SYN_ACK, 0, 64, 5);
      expect(events).toEqual(responses(SYN_ACK_SEEN));
      expect(client.malformed).toBe(1);
    });
  }

  const foreign: [string, Uint8Array, string][] = [
    ["17 combined responses", bytesOf("0011"), "malformed"],
    ["another protocol in a record", bytesOf(hex(DATA).replace("4006", "4011")), "malformed"],
    ["no IPv4 in a record", bytesOf("0001", "60".repeat(64)), "malformed"],
    [
      "records with payload",
      bytesOf("0002", hex(DATA), "00".repeat(128), hex(DATA), "00".repeat(128)),
      "malformed",
    ],
    ["TLS", bytesOf("16 0301 0200 01"), "stranger"],
    ["HTTP", bytesOf(Buffer.from("HTTP/1.1 400 Bad Request\r\n".padEnd(64)).toString("hex")), "malformed"],
  ];
  for (const [name, stream, code] of foreign) {
    test(`${name}: ends the channel`, () => {
      const { client, events } = openClient();
      client.feed(stream, 0, stream.length, 5);
      expect(events.at(-1)).toEqual(["closed", code, expect.any(String)]);
    });
  }

  test("an intercept that goes away, and one that comes back", () => {
    const { client, events } = openClient();
    client.feed(SYN_ACK, 0, 40, 5);
    client.disconnected("Connection reset by peer");
    expect(events).toEqual([["closed", "ended", "Connection reset by peer"]]);
    client.begin(0);
    events.length = 0;
    const stream = bytesOf("0001", hex(SYN_ACK));
    client.feed(stream, 0, stream.length, 5);
    expect(events).toEqual(responses(SYN_ACK_SEEN));
  });
});

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

describe("towards a tcpcopy 1.x", () => {
  test("every version is served", () => {
    for (const version of [1, 5, 7]) {
      const { peer, events } = acceptPeer();
      const hello = Uint8Array.from(HELLO);
      hello[7] = version;
      peer.feed(hello, 0, hello.length, 0);
      expect(events).toEqual([["admit", null, false, version]]);
    }
  });

  test("CLIENT_ADD registers, CLIENT_DEL is ignored, however they are cut", () => {
    const stream = bytesOf(hex(HELLO), hex(ADD), "c0000207 9c40 0002 0a000002 1f90", hex(ADD));
    for (const size of [stream.length, 1, 8, 13, 14, 15]) {
      const { peer, events } = acceptPeer();
      for (let from = 0; from < stream.length; from += size) {
        peer.feed(stream, from, Math.min(from + size, stream.length), 0);
      }
      expect(events).toEqual([
        ["admit", null, false, 6],
        ["register", FLOW + UNNUMBERED],
        ["register", FLOW + UNNUMBERED],
      ]);
    }
  });

  test("a response is a record of 64 bytes", () => {
    const packet = makePacket({});
    for (const [record, headers] of [
      [SYN_ACK, SYN_ACK_IP + SYN_ACK_TCP + SYN_ACK_OPTIONS],
      [DATA, DATA_IP + DATA_TCP + DATA_OPTIONS],
    ] as const) {
      const bytes = bytesOf(headers);
      packet.bytes = bytes;
      packet.view = new DataView(bytes.buffer);
      Object.assign(packet, { ip: 0, tcp: 20, payload: bytes.length, end: bytes.length });
      packet.length = record === DATA ? 1448 : 0;
      const separate = openPeer({ compat: "separate" }).peer;
      expect(separate.response(packet)).toBe(true);
      expect(takeAll(separate.outgoing)).toEqual(record);
      const combined = openPeer().peer;
      combined.response(packet);
      combined.response(packet);
      expect(takeAll(combined.outgoing)).toEqual(bytesOf("0002", hex(record), hex(record)));
    }
  });

  test("at most 16 are combined", () => {
    const { peer } = openPeer();
    for (let i = 0; i < 19; i++) peer.response(makePacket({}));
    const bytes = takeAll(peer.outgoing);
    const view = new DataView(bytes.buffer);
    expect(bytes).toHaveLength(2 + 16 * 64 + 2 + 3 * 64);
    expect([view.getUint16(0), view.getUint16(2 + 16 * 64)]).toEqual([16, 3]);
  });

  test("IP options are left out, and the lengths are right without them", () => {
    const { peer } = openPeer({ compat: "separate" });
    peer.response(makePacket({ ipOptions: Array(8).fill(1), length: 100, options: [1, 1, 1, 0] }));
    const record = takeAll(peer.outgoing);
    const view = new DataView(record.buffer);
    expect([record[0], view.getUint16(2), view.getUint16(20), record[32]]).toEqual([
      0x45,
      20 + 24 + 100,
      8080,
      0x60,
    ]);
  });

  test("of too many TCP options whole ones stay, and the lengths are right without the others", () => {
    const { peer } = openPeer({ compat: "separate" });
    const timestamps = [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8];
    const sack = [1, 1, 5, 26, ...Array(24).fill(9)];
    peer.response(makePacket({ options: [...timestamps, ...sack], length: 7 }));
    const record = takeAll(peer.outgoing);
    expect(new DataView(record.buffer).getUint16(2)).toBe(20 + 20 + 16 + 7);
    expect(record[32]! >> 4).toBe(9);
    expect([...record.subarray(40)]).toEqual([...timestamps, 1, 1, ...Array(10).fill(0)]);
  });

  test("what the format cannot carry is counted", () => {
    const { peer } = openPeer();
    expect(peer.response(makePacket({ family: 6 }))).toBe(false);
    expect(peer.response(makePacket({ length: 65536 - 40 }))).toBe(false);
    expect(peer.unsupported).toBe(2);
    expect(peer.response(makePacket({ length: 65535 - 40 }))).toBe(true);
    expect(peer.facts({ id: 1 })).toBe(false);
  });

  test("strangers are disconnected without a response", () => {
    const bytes = (text: string) => new TextEncoder().encode(text);
    const table: [Uint8Array, string][] = [
      [bytes("GET / HTTP/1.1\r\n\r\n"), "stranger"],
      [new Uint8Array(14), "stranger"],
      [bytesOf("00000000 0000 0006 0a000002 0000"), "stranger"],
      [bytesOf(hex(HELLO), "c0000207 9c40 0003 0a000002 1f90"), "malformed"],
    ];
    for (const [sent, code] of table) {
      const { peer, events, server } = acceptPeer();
      peer.feed(sent, 0, sent.length, 0);
      expect(events.at(-1)).toEqual(["closed", code, expect.any(String)]);
      expect(takeAll(peer.outgoing)).toHaveLength(0);
      expect(server.closed[code as "stranger"]).toBe(1);
    }
  });

  test("half a hello ends at the deadline", () => {
    const { peer, events } = acceptPeer();
    peer.feed(HELLO, 0, 8, 0);
    expect(peer.wait(2_999_000, 500_000)).toBe(1000);
    peer.advance(3_000_000);
    expect(events).toEqual([["closed", "late", "the handshake took longer than 3 s"]]);
  });

  test("from an address that is not named it is refused, and counted, before it registers anything", () => {
    const events: Events = [];
    const serves = (address: Uint8Array) => address[3] === 2;
    const server = new ChannelServer({ key: null, compat: "combined", serves });
    for (const host of [1, 2]) {
      const peer = server.accept(Uint8Array.of(10, 0, 0, host), recordPeer(events), 0);
      const flow = makeFlow(1);
      const said = Uint8Array.of(
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        6,
        ...Array(6).fill(0),
        ...flow.slice(0, 4),
        0,
        1,
        0,
        1,
        10,
        0,
        0,
        2,
        31,
        144,
      );
      peer.feed(said, 0, said.length, 0);
    }
    expect(events.map(([event, code]) => [event, code])).toEqual([
      ["closed", "not named"],
      ["admit", null],
      ["register", expect.any(String)],
    ]);
    expect(server.closed["not named"]).toBe(1);
  });

  test("a copy of xcopy without --compat is refused with a reason", () => {
    const { client, clientEvents } = makeEnds();
    const { peer, events } = acceptPeer();
    settle(client, peer, 0);
    const text = "this intercept speaks tcpcopy's protocol (--compat), the copy does not";
    expect(clientEvents).toEqual([["closed", "other protocol", text]]);
    expect(events).toEqual([["closed", "other protocol", text]]);
    // Not so somebody whose hello only begins like ours.
    const short = makeHello("intercept", 0, new Uint8Array(8), new Uint8Array(32), new Uint8Array(32));
    const other = acceptPeer();
    other.peer.feed(short, 0, short.length, 0);
    expect(other.events).toEqual([["closed", "stranger", expect.any(String)]]);
  });
});

test("both ends understand each other, in any pieces", () => {
  fc.assert(
    fc.property(
      fc.constantFrom("combined" as const, "separate" as const),
      fc.array(fc.record({ seq: fc.nat(2 ** 32 - 1), length: fc.nat(60000) }), { maxLength: 50 }),
      fc.array(fc.nat(150), { maxLength: 50 }),
      (compat, list, sizes) => {
        const { client, events } = openClient();
        const { peer, events: peerEvents } = openPeer({ compat });
        client.register(makeFlow(4), 0);
        carry(client, peer, 0);
        expect(peerEvents).toEqual([["register", hex(makeFlow(4)) + UNNUMBERED]]);
        const expected = list.map((fields) => {
          const packet = makePacket({ ...fields, options: [1, 1, 1, 0] });
          peer.response(packet);
          return seen(packet);
        });
        const stream = takeAll(peer.outgoing);
        let from = 0;
        for (const size of [...sizes, stream.length]) {
          const to = Math.min(from + size, stream.length);
          client.feed(stream, from, to, 5);
          from = to;
        }
        expect(events).toEqual(responses(...expected));
      },
    ),
  );
});

test("a tcpcopy that is not admitted gets no response: its protocol has none", () => {
  const events: Events = [];
  const server = new ChannelServer({ key: null, insecure: true, compat: "combined" });
  const peer = server.accept(ADDRESS, recordPeer(events, "it is full"), 0);
  peer.feed(HELLO, 0, HELLO.length, 0);
  expect(events.at(-1)).toEqual(["closed", "full", "it is full"]);
  expect(takeAll(peer.outgoing)).toHaveLength(0);
});
