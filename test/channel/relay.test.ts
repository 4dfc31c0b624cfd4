/** A relay on the way between copy and intercept: it learns nothing, and nothing that it does is taken for the other side's. */
import { describe, expect, test } from "bun:test";
import { Opener, Sealer } from "../../src/channel/seal.ts";
import {
  ADDRESS,
  carry,
  type Ends,
  type Events,
  makeEnds,
  makeKey,
  openEnds,
  recordPeer,
  settle,
  takeAll,
} from "./ends.ts";
import { makePacket, makeRow } from "./packets.ts";
import { fc } from "./seed.ts";

const key = makeKey();
const both = { copy: key, intercept: key };

/** Two ends that have a key, and are open. */
function open(): Ends {
  const ends = makeEnds(both);
  settle(ends.client, ends.peer, 0);
  ends.clientEvents.length = 0;
  ends.peerEvents.length = 0;
  return ends;
}

/** The records in what one end has said. */
function records(bytes: Uint8Array): Uint8Array[] {
  const found: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 8 + new DataView(bytes.buffer, bytes.byteOffset).getUint32(at);
    found.push(bytes.slice(at, end));
    at = end;
  }
  return found;
}

/** What the copy of `ends` says for so many flows, a record for each. */
function register({ client }: Ends, numbers: readonly number[]): Uint8Array[] {
  return numbers.flatMap((number) => {
    client.register(makeRow(number), 0);
    return records(takeAll(client.outgoing));
  });
}

const hex = (number: number) => ["register", Buffer.from(makeRow(number)).toString("hex")];
const TAMPERED = ["closed", "tampered", expect.stringContaining("somebody on the way")];

/** Hands over what the relay made of it, then ends the connection; the events at the intercept. */
function relayed({ peer, peerEvents, server }: Ends, bytes: Uint8Array): Events {
  peer.feed(bytes, 0, bytes.length, 0);
  peer.disconnected("");
  const { tampered, ended } = server.closed;
  expect(tampered + ended + server.closed["cut off"]).toBe(1);
  return peerEvents;
}

describe.each([
  ["with a key", both],
  ["without one", {}],
])("who reads along, %s", (_, keys) => {
  test("sees no field of a header, no payload, no flow, no question", () => {
    const secret = [...Buffer.from("0123456789abcdef")];
    const { client, peer, clientEvents, peerEvents } = makeEnds(keys);
    const seen: Uint8Array[] = [];
    const pass = (from: typeof client | typeof peer, to: typeof client | typeof peer) => {
      const bytes = takeAll(from.outgoing);
      seen.push(bytes);
      to.feed(bytes, 0, bytes.length, 0);
      return bytes.length > 0;
    };
    const settleSeen = () => {
      while ([pass(client, peer), pass(peer, client)].includes(true));
    };
    settleSeen();
    const packet = makePacket({ options: Array(12).fill(1), payload: secret, seq: 0x12345678 });
    peer.response(packet);
    peer.facts({ id: 1, answer: "0123456789abcdef" });
    const registers = "copy" in keys;
    if (registers) client.register(makeRow(7), 0);
    client.ask({ id: 1, what: "0123456789abcdef" });
    if (registers) client.ranges([{ first: "10.0.0.1", last: "10.0.0.9" }]);
    settleSeen();
    client.bye("0123456789abcdef");
    settleSeen();
    // All of it has arrived.
    expect([clientEvents.length, peerEvents.length]).toEqual([4, registers ? 5 : 3]);
    const all = Buffer.concat(seen).toString("latin1");
    const headers = Buffer.from(packet.bytes.subarray(packet.ip, packet.ip + 40));
    const known: [string, Uint8Array][] = [
      ["payload, a response, a question, a text", Uint8Array.from(secret)],
      ["JSON", Buffer.from('"services"')],
      ["WELCOME's cookie", Buffer.from("cookie")],
      ["addresses", headers.subarray(12, 20)],
      ["ports and sequence number", headers.subarray(20, 28)],
      ["TCP options", new Uint8Array(12).fill(1)],
      ["a flow", makeRow(7)],
      ["a range", Buffer.from("10.0.0.9")],
    ];
    for (const [what, bytes] of known)
      expect([what, all.includes(Buffer.from(bytes).toString("latin1"))]).toEqual([what, false]);
  });

  test("who has the keys of one connection opens nothing of another", () => {
    const streams = [0, 1].map(() => {
      const ends = makeEnds(keys);
      settle(ends.client, ends.peer, 0);
      return register(ends, [1])[0]!;
    });
    // The same words, the same number of the record.
    expect(streams[0]).not.toEqual(streams[1]);
    const later = makeEnds(keys);
    settle(later.client, later.peer, 0);
    expect(relayed(later, streams[0]!).at(-1)).toEqual(TAMPERED);
  });
});

test("a relay that adds a registration ends the channel, and registers nothing", () => {
  const plain = Uint8Array.of(0, 0, 0, 52, 16, 0, 0, 0, ...makeRow(9));
  const guesses = [makeKey(), new Uint8Array(32), key].map((guess) => {
    const bytes = new Uint8Array(new ArrayBuffer(8 + plain.length + 16));
    bytes.set(plain, 8);
    new Sealer(guess).seal(bytes, new DataView(bytes.buffer), 0, 8 + plain.length);
    return bytes;
  });
  for (const added of [plain, ...guesses]) {
    for (const ends of [open(), openEnds()]) {
      const [before, after] = register(ends, [1, 2]);
      const events = relayed(ends, new Uint8Array(Buffer.concat([before!, added, after!])));
      expect(events).toEqual([hex(1), TAMPERED]);
    }
  }
});

describe("what a relay does to records", () => {
  const table: [string, (records: Uint8Array[]) => Uint8Array[], number[]][] = [
    ["nothing", (all) => all, [1, 2, 3]],
    ["leaves one out", ([one, , three]) => [one!, three!], [1]],
    ["leaves the first out", ([, two, three]) => [two!, three!], []],
    ["repeats one", ([one, two, three]) => [one!, one!, two!, three!], [1]],
    ["swaps two", ([one, two, three]) => [two!, one!, three!], []],
    ["plays all again", (all) => [...all, ...all], [1, 2, 3]],
    ["puts an empty one in", ([one, two]) => [one!, Uint8Array.of(0, 0, 0, 0, 6, 0, 0, 0), two!], [1]],
    ["puts a REFUSE in", ([one, two]) => [one!, Uint8Array.of(0, 0, 0, 2, 3, 0, 0, 0, 0, 3), two!], [1]],
  ];
  for (const [name, change, taken] of table) {
    test(name, () => {
      const ends = open();
      const changed = change(register(ends, [1, 2, 3]));
      const events = relayed(ends, new Uint8Array(Buffer.concat(changed)));
      const end = name === "nothing" ? ["closed", "ended", expect.any(String)] : TAMPERED;
      expect(events).toEqual([...taken.map(hex), end]);
    });
  }

  test("ends the connection: between two records, and in the middle of one", () => {
    const length = register(open(), [1, 2]).reduce((sum, record) => sum + record.length, 0);
    for (let cut = 0; cut <= length; cut++) {
      const ends = open();
      const stream = new Uint8Array(Buffer.concat(register(ends, [1, 2])));
      const whole = Math.floor((2 * cut) / length);
      const code = (2 * cut) % length === 0 ? "ended" : "cut off";
      expect(relayed(ends, stream.subarray(0, cut))).toEqual([
        ...[1, 2].slice(0, whole).map(hex),
        ["closed", code, expect.any(String)],
      ]);
    }
  });

  test("changes any bit, puts in or takes out any byte", () => {
    const length = Buffer.concat(register(open(), [1, 2])).length;
    for (let at = 0; at < length; at++) {
      for (const how of ["changed", "added", "left out"] as const) {
        const ends = open();
        const stream = [...Buffer.concat(register(ends, [1, 2]))];
        if (how === "changed") stream[at]! ^= 1 << (at % 8);
        else if (how === "added") stream.splice(at, 0, 0);
        else stream.splice(at, 1);
        const events = relayed(ends, Uint8Array.from(stream));
        // What was whole before it may have been taken.
        const taken = events.slice(0, -1);
        expect(taken).toEqual([hex(1)].slice(0, at < length / 2 ? 0 : 1));
        expect(["tampered", "cut off"]).toContain(events.at(-1)![1] as string);
      }
    }
  });

  test("the same from the intercept to the copy", () => {
    const say = ({ peer }: Ends) => {
      peer.response(makePacket({ seq: 1, options: Array(12).fill(1) }));
      return takeAll(peer.outgoing);
    };
    const length = say(open()).length;
    for (let at = 0; at < length; at++) {
      const ends = open();
      const stream = say(ends);
      stream[at]! ^= 1 << (at % 8);
      ends.client.feed(stream, 0, stream.length, 0);
      ends.client.disconnected("");
      const [[event, code], more] = ends.clientEvents as [unknown[], unknown];
      expect([event, more]).toEqual(["closed", undefined]);
      expect(["tampered", "cut off"]).toContain(code as string);
    }
  });
});

test("a relay that changes any byte of the handshake lets nobody in", () => {
  for (const keys of [both, {}]) {
    const length = takeAll(makeEnds(keys).client.outgoing).length;
    for (const side of ["copy", "intercept"]) {
      for (let at = 0; at < length; at++) {
        const { client, clientEvents, peer, peerEvents } = makeEnds(keys);
        const pass = (
          from: typeof client | typeof peer,
          to: typeof client | typeof peer,
          spoils: boolean,
        ) => {
          const bytes = takeAll(from.outgoing);
          if (spoils) bytes[at]! ^= 1 << (at % 8);
          to.feed(bytes, 0, bytes.length, 0);
        };
        pass(client, peer, side === "copy");
        pass(peer, client, side === "intercept");
        settle(client, peer, 0);
        client.disconnected("");
        peer.disconnected("");
        for (const [event] of [...clientEvents, ...peerEvents]) expect(event).toBe("closed");
      }
    }
  }
});

test("any cuts and any one change: what is taken was said, in order, up to the change", () => {
  const sizes = fc.array(fc.nat(200), { maxLength: 40 });
  const flows = fc.array(fc.nat(1000), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(flows, sizes, fc.nat(), fc.nat(7), (numbers, cuts, place, bit) => {
      const ends = open();
      const all = register(ends, numbers);
      const stream = new Uint8Array(Buffer.concat(all));
      const at = place % stream.length;
      stream[at]! ^= 1 << bit;
      let from = 0;
      for (const size of [...cuts, stream.length]) {
        const to = Math.min(from + size, stream.length);
        ends.peer.feed(stream, from, to, 0);
        from = to;
      }
      ends.peer.disconnected("");
      const whole = Math.floor(at / all[0]!.length);
      expect(ends.peerEvents.slice(0, -1)).toEqual(numbers.slice(0, whole).map(hex));
      expect(["tampered", "cut off"]).toContain(ends.peerEvents.at(-1)![1] as string);
    }),
  );
});

test("an intercept and a copy that both have no key do not take each other for one that has", () => {
  const { client, clientEvents, server, peer } = makeEnds({});
  settle(client, peer, 0);
  expect(clientEvents).toEqual([["welcome", expect.anything(), false]]);
  const events: Events = [];
  const other = server.accept(ADDRESS, recordPeer(events), 0);
  carry(makeEnds({ copy: key }).client, other, 0);
  expect(events.map(([event, code]) => [event, code])).toEqual([["closed", "intercept without key"]]);
});

describe("the keys of records", () => {
  const seal = (sealer: Sealer, text: number[]) => {
    const bytes = new Uint8Array(new ArrayBuffer(8 + text.length + 16));
    bytes.set(text, 8);
    expect(sealer.seal(bytes, new DataView(bytes.buffer), 0, 8 + text.length)).toBe(bytes.length);
    return bytes;
  };

  test("change on the way, on both sides at the same record, and the old one opens nothing", () => {
    const first = makeKey();
    const before = 2 ** 20 - 1;
    const [sealer, opener, old] = [
      new Sealer(first, before),
      new Opener(first, before),
      new Opener(first, before + 1),
    ];
    for (const text of [[1, 2, 3], [], [4]]) {
      const record = seal(sealer, text);
      if (sealer.key !== first) expect(old.open(record, 8, record.length)).toBeNull();
      expect([...opener.open(record, 8, record.length)!]).toEqual(text);
      expect(sealer.key).not.toEqual(first);
      expect(sealer.key).toEqual(opener.key);
    }
  });

  test("no nonce comes twice, beyond 32 bits too", () => {
    const nonces = (count: number, records: number) => {
      const sealer = new Sealer(makeKey(), count);
      return Array.from({ length: records }, () => {
        const nonce = Buffer.from(sealer.nonce).toString("hex");
        sealer.step();
        return nonce;
      });
    };
    expect(new Set(nonces(0, 70_000)).size).toBe(70_000);
    expect(nonces(2 ** 32 - 1, 2)).toEqual(["0000000000000000ffffffff", "000000000000000100000000"]);
  });

  test("end the channel when they are spent", () => {
    for (const side of ["client", "peer"] as const) {
      const ends = open();
      const end = ends[side];
      const sealer = new Sealer(makeKey(), 2 ** 48 - 2);
      end.outgoing.sealWith(sealer);
      const say = () => {
        if (side === "client") ends.client.register(makeRow(1), 0);
        else ends.peer.facts({ id: 1 });
        return takeAll(end.outgoing).length > 0;
      };
      end.advance(1);
      expect([say(), end.state, say(), say()]).toEqual([true, "open", true, false]);
      expect(() => seal(sealer, [1])).toThrow("the key is spent");
      end.advance(2);
      expect(ends[`${side}Events`]).toEqual([
        ["closed", "stopped", expect.stringContaining("as one connection may")],
      ]);
    }
  });
});
