/** Responses with their payload, for a copy that reads it. */
import { describe, expect, test } from "bun:test";
import { ChannelClient } from "../../src/channel/client.ts";
import type { Candidate } from "../../src/channel/contract.ts";
import { ChannelServer } from "../../src/channel/server.ts";
import type { Packet } from "../../src/wire/packet.ts";
import { HEAD_BYTES, type Prefix, WHOLE } from "../../src/wire/prefix.ts";
import { seeded } from "../support/seed.ts";
import { ADDRESS, carry, INSTANCE, recordClient, recordPeer, settle, WELCOME } from "./ends.ts";
import { makePacket } from "./packets.ts";
import { fc } from "./seed.ts";

interface Segment {
  seq: number;
  flags: number;
  length: number;
  payload: number[];
}

function segmentOf(packet: Packet): Segment {
  const to = Math.min(packet.end, packet.payload + packet.length);
  return {
    seq: packet.seq,
    flags: packet.flags,
    length: packet.length,
    payload: [...packet.bytes.subarray(packet.payload, to)],
  };
}

/** An open channel to a copy that reads payload, or not, and what it was handed. */
function open(readsPayload: boolean, prefix?: Prefix) {
  const heard: Segment[] = [];
  const candidates: Candidate[] = [];
  const server = new ChannelServer({ key: null, insecure: true });
  const handlers = { ...recordClient([]), onResponse: (packet: Packet) => heard.push(segmentOf(packet)) };
  const client = new ChannelClient({
    key: null,
    instance: INSTANCE,
    readsPayload,
    ...(prefix && { prefix }),
    handlers,
  });
  client.begin(0);
  const peerHandlers = {
    ...recordPeer([]),
    admit: (copy: Candidate) => {
      candidates.push(copy);
      return WELCOME;
    },
  };
  const peer = server.accept(ADDRESS, peerHandlers, 0);
  settle(client, peer, 0);
  return { client, peer, heard, candidates };
}

const bytes = (count: number) => Array.from({ length: count }, (_, index) => (index * 7) & 0xff);

test("the intercept learns that the copy reads payload", () => {
  expect(open(true).candidates).toMatchObject([{ readsPayload: true, prefix: WHOLE }]);
  const prefix = { bytes: 512, takesHeads: true };
  expect(open(true, prefix).candidates).toMatchObject([{ readsPayload: true, prefix }]);
  expect(open(false).candidates[0]).not.toHaveProperty("readsPayload");
});

test("of datagrams it gets headers all the same", () => {
  const { client, peer, heard } = open(true);
  const datagram = makePacket({ payload: bytes(100) });
  const { ip, tcp, view } = datagram;
  datagram.bytes[ip + 9] = 17;
  view.setUint16(tcp + 4, 20 + 100);
  datagram.payload = tcp + 8;
  datagram.length = 12 + 100;
  for (let times = 0; times < 2; times++) peer.response(datagram);
  peer.response(makePacket({ payload: bytes(3) }));
  carry(peer, client, 1);
  expect(client.malformed).toBe(0);
  expect(heard.map(({ length, payload }) => [length, payload.length])).toEqual([
    [112, 0],
    [112, 0],
    [3, 3],
  ]);
});

describe("where a copy reads only a prefix", () => {
  const head = [...Buffer.from("HTTP/1.1 200 OK\r\n\r\n")];
  test.each<[string, number[], boolean, number]>([
    ["of a short segment it gets all", bytes(512), true, 512],
    ["of a long one the prefix, and its length", bytes(60_000), true, 512],
    ["of one that begins with a head more", [...head, ...bytes(60_000)], true, HEAD_BYTES],
    ["unless it does not want that", [...head, ...bytes(60_000)], false, 512],
  ])("%s", (_, payload, takesHeads, captured) => {
    const { client, peer, heard } = open(true, { bytes: 512, takesHeads });
    const packet = makePacket({ seq: 7, flags: 0x19, payload });
    const { end } = packet;
    peer.response(packet);
    carry(peer, client, 1);
    expect(heard).toEqual([
      { seq: 7, flags: 0x19, length: payload.length, payload: payload.slice(0, captured) },
    ]);
    // It goes to other copies, too.
    expect(packet.end).toBe(end);
  });
});

test("a copy that does not read it gets headers", () => {
  const { client, peer, heard } = open(false);
  peer.response(makePacket({ payload: bytes(100) }));
  carry(peer, client, 1);
  expect(heard).toMatchObject([{ length: 100, payload: [] }]);
});

describe("whole", () => {
  for (const count of [1, 100, 1448, 15_999, 16_000, 16_001, 65_000]) {
    for (const family of [4, 6] as const) {
      test(`${count} bytes, IPv${family}`, () => {
        const { client, peer, heard } = open(true);
        const payload = bytes(count);
        const seq = 0xffffff00;
        peer.response(makePacket({ family, seq, flags: 0x19, options: Array(12).fill(1), payload }));
        carry(peer, client, 1);
        expect(heard.flatMap((segment) => segment.payload)).toEqual(payload);
        let next = seq;
        for (const [index, segment] of heard.entries()) {
          expect(segment.seq).toBe(next >>> 0);
          expect(segment.length).toBe(segment.payload.length);
          expect(segment.flags).toBe(index === heard.length - 1 ? 0x19 : 0x10);
          next += segment.length;
        }
      });
    }
  }

  test("payload that the capture cut off is missing at the end", () => {
    const { client, peer, heard } = open(true);
    peer.response(makePacket({ length: 20_000, payload: bytes(17_000) }));
    carry(peer, client, 1);
    expect(heard.map(({ length, payload }) => [length, payload.length])).toEqual([
      [16_000, 16_000],
      [4000, 1000],
    ]);
  });

  test("any segments, in order", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(40_000), { maxLength: 6 }), (counts) => {
        const { client, peer, heard } = open(true);
        for (const count of counts) peer.response(makePacket({ payload: bytes(count) }));
        carry(peer, client, 1);
        expect(heard.flatMap(({ payload }) => payload)).toEqual(counts.flatMap(bytes));
      }),
      seeded(30),
    );
  });
});

test("a copy that asked for a prefix can ask for all of it later, and asks for it again when it comes back", () => {
  const { client, peer, heard, candidates } = open(true, { bytes: 512, takesHeads: true });
  const packet = makePacket({ seq: 7, flags: 0x19, payload: bytes(2000) });
  peer.response(packet);
  client.readWhole();
  settle(client, peer, 1);
  const whole = makePacket({ seq: 2007, flags: 0x19, payload: bytes(2000) });
  peer.response(whole);
  carry(peer, client, 2);
  expect(heard.map(({ payload }) => payload.length)).toEqual([512, 2000]);
  expect(candidates.length).toBe(1);

  client.disconnected("");
  client.begin(3);
  const again: Candidate[] = [];
  const handlers = { ...recordPeer([]), admit: (copy: Candidate) => (again.push(copy) ? WELCOME : "") };
  settle(client, new ChannelServer({ key: null, insecure: true }).accept(ADDRESS, handlers, 3), 3);
  expect(again).toMatchObject([{ readsPayload: true, prefix: WHOLE }]);
});
