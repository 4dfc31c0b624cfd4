/** An open channel: what one side sends arrives at the other, however the bytes are cut, and invalid bytes do no harm. */
import { describe, expect, test } from "bun:test";
import { CompatClient } from "../../src/channel/compat-client.ts";
import type { Client, Peer } from "../../src/channel/contract.ts";
import { FrameReader } from "../../src/channel/frame.ts";
import { RECORD_LIMIT } from "../../src/channel/seal.ts";
import { ChannelServer } from "../../src/channel/server.ts";
import {
  ADDRESS,
  carry,
  type Ends,
  type Events,
  makeEnds,
  openEnds,
  recordClient,
  recordPeer,
  sayAnything,
  settle,
  takeAll,
  WELCOME,
} from "./ends.ts";
import { type Fields, makePacket, makeRow, seen } from "./packets.ts";
import { fc } from "./seed.ts";

const TIMESTAMPS = [1, 1, 8, 10, 0, 1, 2, 3, 4, 5, 6, 7];
const SYN_OPTIONS = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 1, 2, 3, 0, 0, 0, 0, 1, 3, 3, 7];

describe("a response arrives as it was captured, without its payload", () => {
  const table: [string, Fields][] = [
    ["no options", {}],
    ["a SYN-ACK", { flags: 0x12, options: SYN_OPTIONS, seq: 0xffffffff, ack: 0x80000000 }],
    ["data", { options: TIMESTAMPS, length: 1448, payload: [1, 2, 3, 4, 5, 6, 7] }],
    ["64 KiB of it", { length: 65495 }],
    ["IPv6", { family: 6, options: TIMESTAMPS, length: 100 }],
    ["more than an IPv6 length says", { family: 6, length: 200_000 }],
    ["IP options", { ipOptions: [1, 1, 1, 0], options: TIMESTAMPS, flags: 0x11 }],
    [
      "all options that there can be",
      { ipOptions: Array(40).fill(1), options: Array(40).fill(1), length: 3 },
    ],
  ];
  for (const [name, fields] of table) {
    test(name, () => {
      const { client, clientEvents, peer } = openEnds();
      const packet = makePacket(fields);
      expect(peer.response(packet)).toBe(true);
      carry(peer, client, 77);
      expect(clientEvents).toEqual([
        ["response", { ...seen(packet), length: fields.length ?? 0 }, 77, -1, 0],
      ]);
    });
  }

  test("headers that the capture has cut", () => {
    const { client, clientEvents, peer } = openEnds();
    const packet = makePacket({ options: Array(40).fill(1), length: 100 });
    packet.end = packet.tcp + 33;
    peer.response(packet);
    carry(peer, client, 77);
    const [[, { tcp, length }]] = clientEvents as [[string, { tcp: string; length: number }]];
    expect([tcp.length, length]).toEqual([66, 100]);
  });

  test("what is no TCP packet is not sent, and counted", () => {
    const { client, clientEvents, peer } = openEnds();
    const broken: [string, (packet: ReturnType<typeof makePacket>) => void][] = [
      ["another family", (packet) => (packet.bytes[packet.ip] = 0x50)],
      ["half a TCP header", (packet) => (packet.end = packet.tcp + 19)],
      ["a TCP header inside the IP header", (packet) => (packet.tcp = packet.ip + 16)],
      ["headers without end", (packet) => Object.assign(packet, { payload: 900, end: 900 })],
    ];
    for (const [, spoil] of broken) {
      const packet = makePacket({});
      spoil(packet);
      expect(peer.response(packet)).toBe(false);
    }
    expect(peer.unsupported).toBe(broken.length);
    settle(client, peer, 0);
    expect(clientEvents).toEqual([]);
  });
});

test("flows, ranges, questions, answers and BYE arrive", () => {
  const { client, clientEvents, peer, peerEvents } = openEnds();
  const flows = [makeRow(1), makeRow(2)];
  for (const flow of flows) expect(client.register(flow, 0)).toBe(true);
  client.ranges([{ first: "10.0.0.1", last: "10.0.0.9" }]);
  client.ask({ id: 7, what: "route", to: "192.0.2.7" });
  carry(client, peer, 0);
  peer.facts({ id: 7, via: "eth0" });
  peer.bye("the intercept was stopped");
  carry(peer, client, 0);
  expect(peerEvents).toEqual([
    ...flows.map((flow) => ["register", Buffer.from(flow).toString("hex")]),
    ["ranges", [{ first: "10.0.0.1", last: "10.0.0.9" }]],
    ["ask", { id: 7, what: "route", to: "192.0.2.7" }],
    ["closed", "stopped", "the intercept was stopped"],
  ]);
  expect(clientEvents).toEqual([
    ["facts", { id: 7, via: "eth0" }],
    ["closed", "bye", "the intercept was stopped"],
  ]);
});

test("lists of any length are sent in parts, or left out where that means the same", () => {
  const { client, peer, peerEvents } = openEnds();
  const long = "2001:0db8:ffff:ffff:ffff:ffff:ffff:ffff";
  const ranges = Array.from({ length: 1201 }, () => ({ first: long, last: long }));
  expect(client.ranges(ranges)).toBe(true);
  carry(client, peer, 0);
  expect(peerEvents.flatMap(([, list]) => list)).toEqual(ranges);

  for (const [count, told] of [
    [500, 500],
    [501, 0],
  ] as const) {
    const services = Array.from({ length: count }, () => ({ address: long, port: 65535 }));
    const ends = makeEnds({}, {}, { ...WELCOME, services });
    settle(ends.client, ends.peer, 0);
    const [[event, welcome]] = ends.clientEvents as [[string, typeof WELCOME]];
    expect([event, welcome.services.length]).toEqual(["welcome", told]);
  }
});

test("nothing is taken before the channel is open and after it is closed", () => {
  const { client, peer } = makeEnds();
  const tryAll = () => [
    client.register(makeRow(1), 0),
    client.ranges([]),
    client.ask({ id: 1, what: "route" }),
    peer.response(makePacket({})),
    peer.facts({ id: 1 }),
  ];
  expect(tryAll()).toEqual(Array(5).fill(false));
  settle(client, peer, 0);
  expect(tryAll()).toEqual(Array(5).fill(true));
  client.bye("");
  carry(client, peer, 0);
  expect(tryAll()).toEqual(Array(5).fill(false));
});

test("text of the other side is made safe for a log", () => {
  const { client, clientEvents, peer } = openEnds();
  peer.bye(`\u001b[31mbad\r\nnews\u2028 ${"x".repeat(1000)}`);
  carry(peer, client, 0);
  const [[, , text]] = clientEvents as [[string, string, string]];
  expect(text).toMatch(/^\[31mbad {2}news {2}x+$/);
  expect(text.length).toBeLessThanOrEqual(300);
});

describe("signs of life", () => {
  test("a PING after 25 ms without anything else", () => {
    const { client, clientEvents, peer } = openEnds();
    peer.advance(0);
    expect(peer.wait(0, 500_000)).toBe(25_000);
    peer.advance(24_999);
    expect(carry(peer, client, 24_999)).toBe(false);
    expect(client.silentFor(24_999)).toBe(24_999);
    peer.advance(25_000);
    expect(carry(peer, client, 26_000)).toBe(true);
    expect(client.silentFor(26_500)).toBe(500);
    expect(clientEvents).toEqual([]);
    expect(peer.wait(26_000, 500_000)).toBe(24_000);
  });

  test("none while responses are sent, and none that pile up for a reader that does not read", () => {
    const { client, peer } = openEnds();
    peer.advance(0);
    peer.response(makePacket({}));
    for (let now = 0; now < 1_000_000; now += 10_000) {
      peer.advance(now);
      expect(peer.wait(now, 500_000)).toBeGreaterThan(0);
    }
    expect(takeAll(peer.outgoing)).toHaveLength(8 + 8 + 48 + 16);
    peer.advance(1_015_000);
    expect(carry(peer, client, 0)).toBe(true);
  });
});

describe("invalid frames end the channel", () => {
  const frame = (type: number, ...body: number[]) => [0, 0, 0, body.length, type, 0, 0, 0, ...body];
  const text = (value: string) => [...new TextEncoder().encode(value)];
  const record = (captured: number, offset: number, bytes: number) => [
    ...[0, 0, 0, 40, 0, captured, 0, offset],
    ...Array(bytes).fill(0x45),
  ];
  const toClient: [string, number[], string][] = [
    ["a body beyond the bound", [0, 4, 0, 1, 33, 0, 0, 0], "is not a frame"],
    ["something behind the type", [0, 0, 0, 0, 34, 0, 0, 1], "is not a frame"],
    ["a frame that goes on in the next record", [0, 0, 0, 2, 34, 0, 0, 0, 1], "ends in a frame"],
    ["a record in a record", frame(6, ...Array(40).fill(0)), "unknown type 6"],
    ["an unknown type", frame(99), "unknown type 99"],
    ["a copy's frame", frame(16), "unknown type 16"],
    ["a second WELCOME", frame(32, ...text("{}")), "unknown type 32"],
    ["a record without its head", frame(33, 0, 0, 0, 40), "cut off"],
    ["a record that is longer than its frame", frame(33, ...record(44, 20, 40)), "cut off"],
    ["facts that are no JSON", frame(35, ...text("{")), "facts"],
    ["facts without an id", frame(35, ...text("{}")), "facts"],
  ];
  for (const [name, bytes, expected] of toClient) {
    test(`to the copy: ${name}`, () => {
      const { client, clientEvents, peer } = openEnds();
      sayAnything(peer, client, Uint8Array.from(bytes));
      expect(clientEvents).toEqual([["closed", "malformed", expect.stringContaining(expected)]]);
    });
  }

  const toPeer: [string, number[], string][] = [
    ["a body beyond the bound", [1, 0, 0, 0, 16, 0, 0, 0], "is not a frame"],
    ["half a header", [0, 0, 0, 0, 5], "ends in a frame"],
    ["half a flow", frame(16, ...Array(18).fill(1)), "cut off"],
    ["ranges that are a list", frame(17, ...text("[]")), "ranges"],
    [
      "ranges with control characters",
      frame(17, ...text('{"ranges":[{"first":"\\u001b","last":"a"}]}')),
      "ranges",
    ],
    ["no UTF-8", frame(18, 0xff, 0xfe), "question"],
    ["a question without a subject", frame(18, ...text('{"id":1}')), "question"],
    ["an intercept's frame", frame(33), "unknown type 33"],
    ["a hello again", frame(1, ...Array(56).fill(0)), "unknown type 1"],
  ];
  for (const [name, bytes, expected] of toPeer) {
    test(`to the intercept: ${name}`, () => {
      const { client, peer, peerEvents } = openEnds();
      sayAnything(client, peer, Uint8Array.from(bytes));
      expect(peerEvents).toEqual([["closed", "malformed", expect.stringContaining(expected)]]);
    });
  }

  const records: [string, number[]][] = [
    ["neither IPv4 nor IPv6", [0x75]],
    ["another protocol than TCP", [0x45, 0, 0, 40, 0, 0, 0, 0, 64, 17]],
    ["a TCP header of 16 bytes", [0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, ...Array(22).fill(0), 0x40]],
    ["a TCP header longer than the packet", [0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, ...Array(22).fill(0), 0x60]],
  ];
  for (const [name, begin] of records) {
    test(`a record with ${name} is left out, and counted`, () => {
      const { client, clientEvents, peer } = openEnds();
      const headers = [...begin, ...Array(40 - begin.length).fill(0)];
      const good = makePacket({ seq: 5 });
      const bytes = frame(33, 0, 0, 0, 40, 0, 40, 0, 20, ...headers);
      sayAnything(peer, client, Uint8Array.from(bytes));
      peer.response(good);
      carry(peer, client, 0);
      expect(client.malformed).toBe(1);
      expect(clientEvents).toEqual([["response", seen(good), 0, -1, 0]]);
    });
  }

  test("a WELCOME that cannot be read", () => {
    const { client, clientEvents, peer } = makeEnds({}, {}, {
      ...WELCOME,
      mode: "everything",
    } as never);
    settle(client, peer, 0);
    expect(clientEvents.map(([event, code]) => [event, code])).toEqual([["closed", "malformed"]]);
  });
});

// Properties.

const packets: fc.Arbitrary<Fields> = fc.record({
  family: fc.constantFrom(4 as const, 6 as const),
  seq: fc.nat(2 ** 32 - 1),
  flags: fc.nat(63),
  options: fc.nat(10).chain((words) => fc.array(fc.nat(255), { minLength: words * 4, maxLength: words * 4 })),
  length: fc.nat(65000),
});

/** Where a stream is cut: any places, with many that are close together. */
const cuts = fc.array(fc.oneof(fc.nat(20), fc.nat(3000)), { maxLength: 60 });

/** Feeds a stream in pieces, each in a place of its own that is overwritten after. */
function feedInPieces(end: Client | Peer, stream: Uint8Array, sizes: number[]): void {
  const memory = new Uint8Array(stream.length + 7);
  let from = 0;
  for (const size of [...sizes, stream.length]) {
    const piece = stream.subarray(from, from + size);
    memory.set(piece, 7);
    end.feed(memory, 7, 7 + piece.length, 9);
    memory.fill(0xa5);
    from += piece.length;
  }
}

describe("any way to cut the stream of bytes gives the same events", () => {
  test("from the intercept to the copy", () => {
    fc.assert(
      fc.property(fc.array(packets, { maxLength: 30 }), cuts, (list, sizes) => {
        const speak = ({ peer }: Ends) => {
          const pieces: Uint8Array[] = [];
          for (const [index, fields] of list.entries()) {
            peer.response(makePacket(fields));
            if (index % 10 === 3) peer.facts({ id: index });
            if (index % 10 === 7) pieces.push(takeAll(peer.outgoing));
          }
          peer.bye("over");
          return new Uint8Array(Buffer.concat([...pieces, takeAll(peer.outgoing)]));
        };
        const whole = openEnds();
        const stream = speak(whole);
        whole.client.feed(stream, 0, stream.length, 9);
        const cut = openEnds();
        feedInPieces(cut.client, speak(cut), sizes);
        expect(whole.clientEvents).toHaveLength(list.length + Math.floor((list.length + 6) / 10) + 1);
        expect(whole.clientEvents.at(-1)).toEqual(["closed", "bye", "over"]);
        expect(cut.clientEvents).toEqual(whole.clientEvents);
      }),
    );
  });

  test("from the copy to the intercept, with the handshake", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(1000), { maxLength: 100 }), cuts, (list, sizes) => {
        const speak = (feed: (peer: Peer, stream: Uint8Array) => void) => {
          const { client, peer, peerEvents } = makeEnds();
          feed(peer, takeAll(client.outgoing));
          carry(peer, client, 0);
          feed(peer, takeAll(client.outgoing));
          carry(peer, client, 0);
          for (const number of list) {
            if (number % 7 === 0) client.ask({ id: number, what: "route" });
            client.register(makeRow(number), 0);
          }
          client.bye("over");
          feed(peer, takeAll(client.outgoing));
          return peerEvents;
        };
        const whole = speak((peer, stream) => peer.feed(stream, 0, stream.length, 0));
        expect(whole.at(-1)).toEqual(["closed", "bye", "over"]);
        expect(speak((peer, stream) => feedInPieces(peer, stream, sizes))).toEqual(whole);
      }),
    );
  });
});

describe("garbage never throws, never closes an end twice, never makes its memory grow", () => {
  const garbage = fc.oneof(
    fc.uint8Array({ maxLength: 5000, size: "max" }),
    // Frames of the right form with anything in them.
    fc
      .array(
        fc.tuple(
          fc.constantFrom(1, 2, 3, 4, 5, 6, 16, 17, 18, 32, 33, 34, 35, 99),
          fc.oneof(
            fc.uint8Array({ maxLength: 300 }),
            fc.json().map((text) => new TextEncoder().encode(text)),
          ),
        ),
        { maxLength: 10 },
      )
      .map((frames) =>
        Uint8Array.from(
          frames.flatMap(([type, body]) => [
            0,
            0,
            body.length >> 8,
            body.length & 255,
            type,
            0,
            0,
            0,
            ...body,
          ]),
        ),
      ),
  );

  function assertOneFarewell(events: Events): void {
    expect(events.filter(([event]) => event === "closed").length).toBeLessThanOrEqual(1);
  }

  test("in xcopy's protocol", () => {
    fc.assert(
      fc.property(garbage, cuts, fc.constantFrom("new", "open", "sealed"), (bytes, sizes, how) => {
        const ends = how === "new" ? makeEnds({ copy: new Uint8Array(16) }) : openEnds();
        const { client, clientEvents, peer, peerEvents } = ends;
        if (how === "sealed") {
          sayAnything(peer, client, bytes);
          if (peer.state === "open") sayAnything(client, peer, bytes);
        } else {
          feedInPieces(client, bytes, sizes);
          feedInPieces(peer, bytes, sizes);
        }
        client.disconnected("");
        peer.disconnected("");
        assertOneFarewell(clientEvents);
        assertOneFarewell(peerEvents);
        expect(peer.outgoing.waiting).toBeLessThan(2048);
      }),
    );
  });

  test("in that of tcpcopy 1.x", () => {
    const hello = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0);
    fc.assert(
      fc.property(garbage, cuts, fc.boolean(), (bytes, sizes, isOpen) => {
        const clientEvents: Events = [];
        const client = new CompatClient(recordClient(clientEvents));
        client.begin(0);
        feedInPieces(client, bytes, sizes);
        client.disconnected("");
        assertOneFarewell(clientEvents);
        const peerEvents: Events = [];
        const server = new ChannelServer({ key: null, insecure: true, compat: "combined" });
        const peer = server.accept(ADDRESS, recordPeer(peerEvents), 0);
        if (isOpen) peer.feed(hello, 0, hello.length, 0);
        feedInPieces(peer, bytes, sizes);
        peer.disconnected("");
        assertOneFarewell(peerEvents);
      }),
    );
  });

  test("the announced length of a body alone takes no memory", () => {
    const claim = new Uint8Array(300);
    claim.set([0, 1, 0, 0, 6]);
    const before = process.memoryUsage().arrayBuffers;
    const readers = Array.from({ length: 1000 }, () => {
      const reader = new FrameReader(
        () => true,
        () => {},
      );
      reader.limit = RECORD_LIMIT;
      reader.feed(claim, 0, claim.length);
      return reader;
    });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(readers.length * 1024);
    // The same readers do hold a body that comes.
    for (const reader of readers) reader.feed(new Uint8Array(60_000), 0, 60_000);
    expect(process.memoryUsage().arrayBuffers - before).toBeGreaterThan(readers.length * 60_000);
  });
});
