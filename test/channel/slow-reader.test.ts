/** A copy that reads too slowly: memory is bounded, the oldest responses are discarded, no frame is cut. */
import { describe, expect, test } from "bun:test";
import { ChannelClient } from "../../src/channel/client.ts";
import { CompatClient } from "../../src/channel/compat-client.ts";
import type { Client, ClientHandlers } from "../../src/channel/contract.ts";
import { FrameReader } from "../../src/channel/frame.ts";
import { Outgoing } from "../../src/channel/outgoing.ts";
import { Opener, Sealer } from "../../src/channel/seal.ts";
import { ChannelServer } from "../../src/channel/server.ts";
import { ADDRESS, INSTANCE, makeKey, recordPeer, settle } from "./ends.ts";
import { makePacket } from "./packets.ts";
import { fc } from "./seed.ts";

const BOUND = 1 << 18;

/** Any frames in, any numbers of bytes out: what comes out is whole, in order, and its absences are counted. */
test.each([false, true])(
  "an Outgoing is a queue of whole frames that loses the oldest, sealed: %p",
  (isSealed) => {
    const step = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({ add: fc.integer({ min: 4, max: 300 }), kept: fc.constant(false) }),
      },
      { weight: 1, arbitrary: fc.record({ add: fc.integer({ min: 4, max: 300 }), kept: fc.boolean() }) },
      { weight: 2, arbitrary: fc.record({ write: fc.nat(400) }) },
      { weight: 1, arbitrary: fc.record({ expand: fc.constantFrom(1024, 2048, 4096) }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        let capacity = 1024;
        const out = new Outgoing(capacity, 512);
        const written: number[] = [];
        const key = makeKey();
        const opener = new Opener(key);
        const reader = new FrameReader(
          (_type, bytes, _view, from, to) => {
            // No record is missing, whatever was discarded.
            written.push(...opener.open(bytes, from, to)!);
            return true;
          },
          () => {},
        );
        if (isSealed) out.sealWith(new Sealer(key));
        const lengths: number[] = [];
        const write = (most: number) => {
          const count = Math.min(most, out.fill());
          if (isSealed) reader.feed(out.bytes, out.from, out.from + count);
          else written.push(...out.bytes.subarray(out.from, out.from + count));
          out.take(count);
          return count;
        };
        for (const one of steps) {
          if ("write" in one) write(one.write);
          else if ("expand" in one) {
            capacity = Math.max(capacity, one.expand);
            out.expand(capacity, 512);
          } else {
            out.open(1, one.add, one.kept);
            const number = lengths.push(one.add) - 1;
            // In two steps, as rows are added.
            const at = out.grow(4, 1);
            out.view.setUint32(at, number);
            const rest = out.grow(one.add - 4, 0);
            out.bytes.fill(number & 255, rest, rest + one.add - 4);
          }
          expect(out.waiting).toBeLessThanOrEqual(capacity + 512);
        }
        while (write(Number.POSITIVE_INFINITY) > 0);
        expect([out.isEmpty, out.waiting, reader.isPartial]).toEqual([true, 0, false]);
        const view = new DataView(Uint8Array.from(written).buffer);
        let last = -1;
        let whole = 0;
        let bytes = 0;
        for (let at = 0; at < written.length; at += lengths[last]!) {
          const number = view.getUint32(at);
          expect(number).toBeGreaterThan(last);
          const body = written.slice(at + 4, at + lengths[number]!);
          expect(body).toEqual(Array(lengths[number]! - 4).fill(number & 255));
          last = number;
          whole++;
          bytes += lengths[number]!;
        }
        expect(whole + out.discarded).toBe(lengths.length);
        expect(bytes + out.discardedBytes).toBe(lengths.reduce((sum, length) => sum + length, 0));
        expect(last).toBe(lengths.length - 1);
      }),
    );
  },
);

test("an Outgoing refuses a frame that it could never hold", () => {
  expect(() => new Outgoing(1024, 4096).open(1, 1024, false)).toThrow(RangeError);
  expect(() => new Outgoing(4096, 1024).open(1, 1025, false)).toThrow(RangeError);
  const sealed = new Outgoing(4096, 1024);
  sealed.sealWith(new Sealer(makeKey()));
  expect(() => sealed.open(1, 1024 - 23, false)).toThrow(RangeError);
  sealed.open(1, 1024 - 24, false);
  sealed.grow(1024 - 24, 1);
  expect(sealed.fill()).toBe(1024);
});

describe.each([null, "combined", "separate"] as const)("in the protocol %p", (compat) => {
  function open() {
    const seqs: number[] = [];
    const facts: number[] = [];
    const ends: string[] = [];
    const handlers: ClientHandlers = {
      onWelcome: () => {},
      onResponse: (packet) => seqs.push(packet.seq),
      onFacts: ({ id }) => facts.push(id),
      onClosed: (code) => ends.push(code),
    };
    const server = new ChannelServer({ key: null, insecure: true, compat, outgoingBytes: BOUND });
    const peer = server.accept(ADDRESS, recordPeer([]), 0);
    const client: Client = compat
      ? new CompatClient(handlers)
      : new ChannelClient({ key: null, instance: INSTANCE, handlers });
    client.begin(0);
    settle(client, peer, 0);
    return { client, peer, seqs, facts, ends };
  }

  test("the newest responses arrive, the others are counted", () => {
    const { client, peer, seqs, facts, ends } = open();
    const packet = makePacket({ options: [1, 1, 1, 0] });
    const add = (seq: number) => {
      packet.view.setUint32(packet.tcp + 4, seq);
      peer.response(packet);
    };
    const read = (most: number) => {
      const count = Math.min(most, peer.outgoing.fill());
      client.feed(peer.outgoing.bytes, peer.outgoing.from, peer.outgoing.from + count, 0);
      peer.outgoing.take(count);
      return count;
    };
    const count = 40_000;
    // One frame is begun and cut in the middle of a record, then the reader stops.
    for (let seq = 0; seq < 100; seq++) add(seq);
    read(1000);
    peer.facts({ id: 42 });
    for (let seq = 100; seq < count; seq++) {
      add(seq);
      expect(peer.outgoing.waiting).toBeLessThanOrEqual(BOUND + 65536);
    }
    while (read(777) > 0);
    expect(ends).toEqual([]);
    expect(seqs).toEqual(seqs.toSorted((one, other) => one - other));
    expect(seqs.slice(0, 100)).toEqual(Array.from({ length: 100 }, (_, seq) => seq));
    expect(seqs.at(-1)).toBe(count - 1);
    expect(peer.outgoing.discarded).toBeGreaterThan(count / 2);
    expect(seqs.length + peer.outgoing.discarded).toBe(count);
    // The answer to a question is not what goes.
    expect(facts).toEqual(compat ? [] : [42]);
    // What it kept is about as much as it may, and in one piece at the end.
    expect(seqs.length).toBeGreaterThan(BOUND / 2 / 72);
    const kept = seqs.slice(-1000);
    expect(kept).toEqual(Array.from({ length: 1000 }, (_, i) => count - 1000 + i));
  });
});
